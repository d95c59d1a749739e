"""``gantrain-eval``: the numbers of runs, one or many, as users meet them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gantrain as package
from gantrain.run.directory import RunDirectory
from tests.commands.conftest import Command
from tests.conftest import REPOSITORY
from tests.evaluation.test_live import QUICK, RUN, evaluations


def test_eval_prints_one_json_object_with_the_run_s_own_final_numbers(gantrain_eval: Command, run: Path) -> None:
    outcome = gantrain_eval(f"run={run}", "json=true")
    assert outcome.exit_code == 0, outcome.err
    found = json.loads(outcome.out)
    own = evaluations(run)[-1]
    for name, value in own.items():  # the same operations on the same bytes
        if name != "step":
            assert found[name.split("/")[1]] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    assert found["step"] == own["step"] == 30 and found["n_fake"] == 200 and found["features"] == "classifier"
    assert f"eval_classifier_{found['protocol']}/fid" in own
    assert json.loads((run / "evaluations.jsonl").read_text())["fid"] == found["fid"]


def test_eval_takes_another_step_protocol_or_single_setting(gantrain_eval: Command, run: Path) -> None:
    own, earlier, other, raw = (
        json.loads(gantrain_eval(f"run={run}", "json=true", *more).out)
        for more in ([], ["step=10"], ["evaluation=pixels"], ["evaluation.generator=raw"])
    )
    assert earlier["step"] == 10 and earlier["fid"] != own["fid"] and earlier["protocol"] == own["protocol"]
    assert other["features"] == "pixels" and "fid" not in other and other["n_fake"] == 1797
    assert raw["fid"] != own["fid"] and raw["n_fake"] == 200
    assert len({own["protocol"], other["protocol"], raw["protocol"]}) == 3
    best = json.loads(gantrain_eval(f"run={run}", "json=true", "step=best").out)
    assert best["step"] == json.loads((run / "evaluation.json").read_text())["best"]["step"]


def test_eval_measures_many_runs_in_a_table_for_each_protocol(gantrain_eval: Command, run: Path) -> None:
    for name in ("more/one", "more/two"):
        shutil.copytree(run, run.parent / name)
    text = (run.parent / "more/two/config.yaml").read_text()
    (run.parent / "more/two/config.yaml").write_text(text.replace("n_fake: 200", "n_fake: 150"))
    (run.parent / "more/broken/checkpoints").mkdir(parents=True)
    (run.parent / "more/broken/config.yaml").write_text(text)
    outcome = gantrain_eval("run=./**")
    assert outcome.exit_code == 2 and "more/broken has no checkpoint yet" in outcome.err
    tables = outcome.out.strip().split("\n\n")
    assert len(tables) == 2
    assert sorted(table.count("30  ") for table in tables) == [1, 2]
    assert all("fid ↓" in table and "recall ↑" in table for table in tables)
    assert "200 of the averaged generator" in outcome.out and "150 of the averaged generator" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run=nowhere"], 2, "run=nowhere is not a folder"),
        (["run=no*where"], 2, "matches no run"),
        ([], 2, "run is not set"),
        (["run=run", "step=7"], 2, "keeps no checkpoint of step 7; there are 10, 20, 30"),
        (["run=run", "step=first"], 2, "step must be last, best or the step"),
        (["run=run", "evaluation=points"], 2, "modes needs data whose modes are known"),
        (["run=run", "evaluation=none"], 2, "evaluation=none measures nothing"),
        (["run=run", "evaluation.seed=5000000000"], 2, "evaluation.seed must be below 2^32"),
        (["run=run", "evaluation.k_density_coverage=300"], 2, "must be below the number of samples, 200"),
        (["run=run", "evaluation.is_splits=30"], 2, "200 samples have at most 20"),
        (["run=run", "evaluation.n_fake=many"], 2, "n_fake"),
        (["run=run", "evaluation.n_fake=3"], 2, "100 or more"),
        (["run=run", "evaluation=inception", "evaluation.weights=none.pth"], 3, "none.pth is not a file"),
        (["run=run", "evalution=pixels"], 2, "did you mean evaluation?"),
    ],
)
def test_eval_refuses_in_one_line(
    gantrain_eval: Command, run: Path, arguments: list[str], code: int, words: str
) -> None:
    before = sorted(path for path in run.rglob("*"))
    outcome = gantrain_eval(*arguments)
    assert outcome.exit_code == code and words in outcome.err, outcome.err
    assert outcome.err.count("gantrain: error") == 1 and "Traceback" not in outcome.err and not outcome.out
    assert sorted(path for path in run.rglob("*")) == before


def test_eval_uses_the_checkpoint_before_a_damaged_one_and_moves_nothing(gantrain_eval: Command, run: Path) -> None:
    (run / "checkpoints/step-000000030/state.safetensors").write_bytes(b"x")
    outcome = gantrain_eval(f"run={run}", "json=true")
    assert outcome.exit_code == 0 and json.loads(outcome.out)["step"] == 20
    assert "is damaged" in outcome.err and (run / "checkpoints/step-000000030").is_dir()


def test_a_run_s_own_list_of_trusted_modules_counts_for_nothing(gantrain_eval: Command, run: Path) -> None:
    text = (run / "config.yaml").read_text()
    text = text.replace("trusted_modules: []", "trusted_modules: [os]")
    (run / "config.yaml").write_text(text.replace("gantrain.architectures.dcgan.Generator", "os.getcwd"))
    outcome = gantrain_eval(f"run={run}")
    assert outcome.exit_code == 2 and "_target_=os.getcwd is not trusted" in outcome.err


def test_runs_from_before_there_was_evaluation_can_be_used(
    gantrain_eval: Command, gantrain_sample: Command, gantrain_export: Command, tmp_path: Path
) -> None:
    shutil.copytree(REPOSITORY / "tests" / "fixtures" / "0.1.0-format1", tmp_path / "old")
    outcome = gantrain_eval("run=old")
    assert outcome.exit_code == 2 and "was trained without evaluation; choose one" in outcome.err
    chosen = "points" if "Ring" in (tmp_path / "old/config.yaml").read_text() else "pixels"
    found = json.loads(gantrain_eval("run=old", f"evaluation={chosen}", "evaluation.n_fake=200", "json=true").out)
    assert found["n_fake"] == 200
    assert gantrain_sample("run=old", "n=4", "out=drawn").exit_code == 0 and Path("drawn/samples.npz").exists()
    assert gantrain_export("run=old", "out=exported").exit_code == 0
    assert package.load("exported").sample(2).shape[0] == 2


def test_reading_a_run_takes_no_lock_and_disturbs_nothing(gantrain_eval: Command, run: Path) -> None:
    with RunDirectory(run).open():
        assert gantrain_eval(f"run={run}", "json=true").exit_code == 0


def test_training_goes_on_with_too_few_images_to_measure_by(
    gantrain: Command, gantrain_eval: Command, tmp_path: Path
) -> None:
    (tmp_path / "few").mkdir()
    for k in range(20):
        Image.fromarray(np.full((8, 8), k, dtype=np.uint8)).save(tmp_path / "few" / f"{k}.png")
    folder = ("data=image_folder", "data.root=few", "data.size=8", "evaluation=pixels")
    outcome = gantrain(*RUN, *folder)
    assert outcome.exit_code == 0 and "20 real images are too few" in outcome.err and "evaluation=none" in outcome.err
    assert not (tmp_path / "run" / "evaluation.json").exists()
    outcome = gantrain_eval("run=run")
    assert outcome.exit_code == 2 and "20 real images are too few" in outcome.err


def test_null_on_the_command_line_is_a_value(gantrain: Command, gantrain_eval: Command) -> None:
    assert gantrain(*RUN, "evaluation=pixels", *QUICK, "evaluation.truncation=0.5").exit_code == 0
    own, whole = (json.loads(gantrain_eval("run=run", "json=true", *more).out) for more in ([], NO_TRUNCATION))
    assert "truncation 0.5" in own["described"] and "truncation" not in whole["described"]


NO_TRUNCATION = ["evaluation.truncation=null"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": 5}, "is no configuration of a training"),
        ({"architecture": {"latent_dim": 3}}, "is no configuration of a training"),
        ({"evaluation": 5}, "was trained without evaluation"),
        ({"architecture.latent_dim": 3}, "does not fit its config.yaml"),
        ({"evaluation.n_fake": "lots"}, "n_fake"),
    ],
)
def test_a_run_whose_settings_are_nonsense_gets_one_line(
    gantrain_eval: Command, run: Path, change: dict[str, Any], words: str
) -> None:
    import yaml

    settings = yaml.safe_load((run / "config.yaml").read_text())
    for key, value in change.items():
        node, *rest = key.split(".")
        if rest:
            settings[node][rest[0]] = value
        else:
            settings[node] = value
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    outcome = gantrain_eval(f"run={run}")
    assert outcome.exit_code in (2, 5) and words in outcome.err, outcome.err
    assert outcome.err.count("gantrain: error") == 1 and "Traceback" not in outcome.err


def test_a_run_s_file_does_not_say_where_to_write_or_which_weights_to_open(gantrain_eval: Command, run: Path) -> None:
    text = (run / "config.yaml").read_text()
    lines = [f"  cache: {run}/elsewhere" if line.startswith("  cache:") else line for line in text.splitlines()]
    lines = ["  weights: weights.pth" if line.startswith("  weights:") else line for line in lines]
    (run / "config.yaml").write_text("\n".join(lines))
    assert gantrain_eval(f"run={run}", "json=true").exit_code == 0
    assert not (run / "elsewhere").exists()
