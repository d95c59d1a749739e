"""Evaluation while training, and the commands that use what a run has made, as users meet them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gantrain as package
from gantrain.build import build_quality
from gantrain.checkpoint import Checkpoints, Retention
from gantrain.cli import eval as eval_command
from gantrain.cli import export as export_command
from gantrain.cli import sample as sample_command
from gantrain.errors import CheckpointError, ConfigError, StoppedError
from gantrain.evaluation import Live
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records
from gantrain.sampling import between, latents, samples_of, truncated
from gantrain.trained import Trained
from tests.conftest import REPOSITORY, Outcome, built, command, config, only

Command = Callable[..., Outcome]
SMALL = ("batch_size=16", "device=cpu", "architecture.generator.width=8", "architecture.discriminator.width=8")
QUICK = ("evaluation.n_fake=200", "evaluation.n_real=300")
RUN = ("run.dir=run", "total_steps=30", "log.every=10", *SMALL)


@pytest.fixture
def gantrain_eval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    yield from command(eval_command.main, "gantrain-eval", tmp_path, monkeypatch, capsys)


@pytest.fixture
def gantrain_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    yield from command(sample_command.main, "gantrain-sample", tmp_path, monkeypatch, capsys)


@pytest.fixture
def gantrain_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    yield from command(export_command.main, "gantrain-export", tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on digits with evaluation, made once.

    With plain performance, so that a generator that is built anew from its checkpoint computes what it computed while
    it trained. Otherwise its weights were in channels-last order then: the convolutions add up in another order, a
    pixel comes out 1e-7 higher or lower, and where that crosses the boundary between two grey levels (each of the
    200 × 64 pixels has a chance of 1e-7 × 127.5 × 2) the metrics see another image. Whether it happens depends on CPU.
    """
    folder = tmp_path_factory.mktemp("trained")
    play(folder / "run", "evaluation=classifier", *QUICK, "evaluation.every=10", "performance=plain")
    return folder / "run"


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained_run, tmp_path / "run")
    return tmp_path / "run"


def play(folder: Path, *overrides: str, stop: Callable[[], bool] = bool, steps: int = 30) -> dict[str, Any]:
    """Train as the command does, in this process; returns the trainer's state."""
    from omegaconf import OmegaConf

    from gantrain.cli.session import live as live_of

    settings = (f"total_steps={steps}", "log.every=10", "checkpoint.every=10", *SMALL, *overrides)
    cfg = config(*settings)
    trainer = (made := built(*settings)).trainer
    quality = build_quality(cfg, made.data, trainer.precision.device, live=True)
    run = RunDirectory(folder)
    facts = {"generator": {"shape": list(made.data.shape), "classes": made.data.classes}}
    checkpoints = Checkpoints(folder / "checkpoints", Retention(cfg.checkpoint.keep_last), lambda: facts)
    if (found := checkpoints.latest()) is not None:
        trainer.load_state_dict(found[1])
    folder.mkdir(exist_ok=True, parents=True)
    run.write_config(OmegaConf.to_yaml(cfg))
    with Records(run, trainer.step) as records:
        if (live := live_of(cfg, run, quality)) is not None:
            live.go_on(trainer.step)
            checkpoints.protected = live.protected
        trainer.train(records, checkpoints, stop, live)
    return trainer.state_dict()


def evaluations(folder: Path) -> list[dict[str, float]]:
    return [line for line in RunDirectory(folder).metrics() if any(name.startswith("eval_") for name in line)]


# ---- while training ---------------------------------------------------------------------------------------------


def test_a_run_is_measured_on_the_way_and_says_best_final_and_median(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain(*RUN, "evaluation=classifier", *QUICK, "evaluation.every=5")
    assert outcome.exit_code == 0, outcome.err
    found = evaluations(tmp_path / "run")
    assert [line["step"] for line in found] == [5, 10, 15, 20, 25, 30]
    tag = next(name for name in found[0] if name != "step").split("/")[0]
    assert tag.startswith("eval_classifier_") and all(n == "step" or n.startswith(f"{tag}/") for n in found[0])
    summary = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    course = {line["step"]: line[f"{tag}/fid"] for line in found}
    assert summary["tag"] == tag and summary["best"]["fid"] == min(course.values())
    assert summary["final"]["step"] == 30 and summary["final"]["fid"] == course[30]
    assert summary["median_of_last_5"]["fid"] == sorted(list(course.values())[1:])[2]
    assert {"best", "final", "median"} <= set(outcome.out.split()) and "fid" in outcome.out
    assert "right on" in outcome.out and "of the training" in outcome.out
    assert len(list((tmp_path / "run" / "samples").glob("nearest-step-*.png"))) == 6

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "run" / "tb")).Reload()
    assert [round(event.value, 4) for event in board.Scalars(f"{tag}/fid")] == [round(v, 4) for v in course.values()]
    assert f"{tag}/nearest_training_images" in board.Tags()["images"]


def test_the_best_checkpoint_is_kept_beside_the_newest(tmp_path: Path) -> None:
    play(tmp_path, "evaluation=classifier", *QUICK, "evaluation.every=3", "checkpoint.keep_last=2", steps=40)
    found = {line["step"]: next(v for n, v in line.items() if n.endswith("/fid")) for line in evaluations(tmp_path)}
    best = min(found, key=lambda step: found[step])
    assert Checkpoints(tmp_path / "checkpoints").steps() == sorted({best, 39, 40})


def test_measuring_changes_no_bit_of_the_training(tmp_path: Path) -> None:
    with_it = play(tmp_path / "a", "evaluation=classifier", *QUICK, "evaluation.every=7")
    without = play(tmp_path / "b", "evaluation=none")
    assert all(torch.equal(a, b) for a, b in zip(*(s["g"]["net"].values() for s in (with_it, without)), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(*(s["ema"]["net"].values() for s in (with_it, without)), strict=True))


@pytest.mark.parametrize("interrupted_at", only([30], [10, 30]))
def test_a_run_stopped_inside_an_evaluation_goes_on_to_the_same_records(tmp_path: Path, interrupted_at: int) -> None:
    settings = ("evaluation=classifier", *QUICK, "evaluation.every=10")
    whole = play(tmp_path / "whole", *settings)

    asked = {"times": 0}
    original = Live.evaluate

    def slow(self: Live, nets: Any, step: int, records: Records, stop: Callable[[], bool]) -> bool:
        if step == interrupted_at and asked["times"] == 0:
            asked["times"] = 1
        return original(self, nets, step, records, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Live, "evaluate", slow)
        with pytest.raises(StoppedError, match=f"stopped at step {interrupted_at}"):
            play(tmp_path / "parts", *settings, stop=lambda: asked["times"] == 1)
    assert len(evaluations(tmp_path / "parts")) == interrupted_at // 10 - 1
    assert Checkpoints(tmp_path / "parts" / "checkpoints").steps()[-1] == interrupted_at
    parts = play(tmp_path / "parts", *settings)
    assert evaluations(tmp_path / "parts") == evaluations(tmp_path / "whole")
    assert json.loads((tmp_path / "parts" / "evaluation.json").read_text()) == json.loads(
        (tmp_path / "whole" / "evaluation.json").read_text()
    )
    assert all(torch.equal(a, b) for a, b in zip(*(s["g"]["net"].values() for s in (whole, parts)), strict=True))


def test_the_protocol_may_change_between_two_parts_of_a_run_and_its_numbers_stay_apart(
    gantrain: Command, tmp_path: Path
) -> None:
    first = gantrain(*RUN, "evaluation=pixels", *QUICK)
    second = gantrain(*RUN[:1], "total_steps=40", *RUN[2:], "evaluation=pixels", *QUICK, "evaluation.seed=1")
    assert first.exit_code == second.exit_code == 0, second.err
    tags = {name.split("/")[0] for line in evaluations(tmp_path / "run") for name in line if name != "step"}
    assert len(tags) == 2
    summary = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert summary["evaluations"] == 3 and summary["protocol"]["seed"] == 1  # after steps 30, 35 and 40


def test_points_are_measured_against_their_mixture(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain("data=ring", "run.dir=run", "total_steps=20", "evaluation=points", "evaluation.n_fake=500")
    assert outcome.exit_code == 0, outcome.err
    assert "modes" in outcome.out and "high_quality" in outcome.out and "w2" in outcome.out
    names = {name.split("/")[1] for line in evaluations(tmp_path / "run") for name in line if name != "step"}
    assert names == {"modes", "modes_of_data", "high_quality", "mode_kl", "w2", "w2_of_real", "sliced_wasserstein"}


def test_an_evaluation_that_cannot_be_is_refused_before_anything_is_written(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain(*RUN, "evaluation=points")
    assert outcome.exit_code == 2 and outcome.err.count("gantrain: error") == 1
    assert "Traceback" not in outcome.err and not (tmp_path / "run").exists()


# ---- gantrain-eval ----------------------------------------------------------------------------------------------


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


# ---- gantrain-sample --------------------------------------------------------------------------------------------


def test_sample_writes_grid_files_arrays_progress_and_a_walk(gantrain_sample: Command, run: Path) -> None:
    outcome = gantrain_sample(f"run={run}", "n=9", "truncation=0.7", "interpolate=true", "frames=3", "seed=5")
    assert outcome.exit_code == 0, outcome.err
    (folder,) = (run / "generated").iterdir()
    assert folder.name == "step-000000030-ema-n9-seed5-truncation0.7"
    assert sorted(p.name for p in folder.iterdir()) == [
        *("files", "grid.png", "interpolation.png", "progress.gif", "samples.npz", "walk.gif")
    ]
    arrays = np.load(folder / "samples.npz")
    assert arrays["images"].shape == (9, 8, 8, 1) and arrays["images"].dtype == np.uint8
    assert abs(arrays["latents"]).max() <= 0.7 and arrays["seed"] == 5
    for k in range(9):
        assert (np.asarray(Image.open(folder / "files" / f"{k:05d}.png")) == arrays["images"][k, :, :, 0]).all()
    net = Trained.open(run).generator("ema", torch.device("cpu"))
    expected = torch.cat(list(samples_of(net, torch.from_numpy(arrays["latents"]))))
    assert ((expected + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy().tolist() == arrays["images"].tolist()
    with Image.open(folder / "walk.gif") as walk:
        assert walk.n_frames == 8 * 3 and walk.size == (128, 128)
    with Image.open(folder / "progress.gif") as progress:
        assert progress.n_frames > 1


def test_sample_picks_classes_of_an_unconditional_generator_by_the_classifier(
    gantrain_sample: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Real(torch.nn.Module):
        """Draws real digits, chosen by the latent."""

        pixels = built().data.pixels

        def forward(self, z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
            return self.pixels[(z[:, 0].abs() * 1e5).long() % len(self.pixels)].float() / 127.5 - 1

    monkeypatch.setattr(Trained, "generator", lambda self, which, device: Real())
    outcome = gantrain_sample(f"run={run}", "n=7", "classes=[3,1]", "out=picked", "device=cpu")
    assert outcome.exit_code == 0 and "picked by the classifier" in outcome.err, outcome.err
    arrays = np.load("picked/samples.npz")
    assert arrays["labels"].tolist() == [1, 1, 1, 3, 3, 3, 3]
    true = {image.numpy().tobytes(): int(label) for image, label in zip(Real.pixels, built().data.labels, strict=True)}
    found = [true[image.transpose(2, 0, 1).tobytes()] for image in arrays["images"]]
    assert sum(a == b for a, b in zip(found, arrays["labels"], strict=True)) >= 6


def test_sample_says_when_a_class_does_not_come(gantrain_sample: Command, run: Path) -> None:
    outcome = gantrain_sample(f"run={run}", "n=10", "classes=[0,1,2,3,4,5,6,7,8,9]", "device=cpu")
    assert outcome.exit_code == 2 and "are read as class" in outcome.err and not (run / "generated").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["classes=[10]"], "there are 0 to 9"),
        (["classes=[]"], "there are 0 to 9"),
        (["save=[gird]"], "gird is not among grid, files, npz, progress"),
        (["n=0"], "n must be 1 or more"),
        (["truncation=-1"], "truncation must be above 0"),
        (["out=run"], "exists and is not an empty folder"),
        (["n=1", "interpolate=true"], "needs n=2 or more"),
        (["generator=average"], "must be one of ema, raw"),
    ],
)
def test_sample_refuses_in_one_line_and_leaves_nothing(
    gantrain_sample: Command, run: Path, arguments: list[str], words: str
) -> None:
    before = sorted(run.rglob("*"))
    outcome = gantrain_sample(f"run={run}", *arguments)
    assert outcome.exit_code == 2 and words in outcome.err and outcome.err.count("gantrain: error") == 1, outcome.err
    assert [path for path in sorted(run.rglob("*")) if path.name != "generated"] == before


def test_latents_are_a_function_of_the_seed_and_truncation_moves_quantile_to_quantile() -> None:
    z = latents(20_000, 3, seed=1)
    assert torch.equal(z, latents(20_000, 3, seed=1)) and not torch.equal(z, latents(20_000, 3, seed=2))
    cut = latents(20_000, 3, seed=1, truncation=0.7)
    assert cut.abs().max() <= 0.7 and bool((cut[:, 0][z[:, 0].argsort()].diff() >= 0).all())
    # The standard deviation of a normal truncated at 0.7, by its closed form.
    t, phi = 0.7, np.exp(-0.245) / np.sqrt(2 * np.pi)
    share = float(torch.special.ndtr(torch.tensor(t, dtype=torch.float64))) * 2 - 1
    assert float(cut.std()) == pytest.approx(np.sqrt(1 - 2 * t * phi / share), rel=0.01)
    assert torch.equal(truncated(torch.tensor([-50.0, 50.0]), 2.0), torch.tensor([-2.0, 2.0]))


def test_the_way_between_latents_keeps_to_the_arc() -> None:
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    way = between(a, b, 5)
    torch.testing.assert_close(way[[0, 4]], torch.stack([a, b]))
    torch.testing.assert_close(way.norm(dim=1), torch.full((5,), 3.0))
    torch.testing.assert_close(way[2], torch.full((2,), 3 / 2**0.5))
    torch.testing.assert_close(between(a, a, 3), a.repeat(3, 1))


# ---- gantrain-export and gantrain.load --------------------------------------------------------------------------


def test_an_exported_generator_loads_in_two_lines_and_draws_the_same(gantrain_export: Command, run: Path) -> None:
    outcome = gantrain_export(f"run={run}")
    assert outcome.exit_code == 0 and "gantrain.load(" in outcome.out, outcome.err
    generator = package.load(run / "export")
    samples = generator.sample(5, seed=3)
    assert samples.shape == (5, 1, 8, 8) and not generator.training and samples.abs().max() <= 1
    net = Trained.open(run).generator("ema", torch.device("cpu"))
    assert torch.equal(samples, torch.cat(list(samples_of(net, latents(5, generator.latent_dim, 3)))))
    assert torch.equal(generator(latents(2, generator.latent_dim, 3)), net(latents(2, generator.latent_dim, 3), None))
    told = json.loads((run / "export/config.json").read_text())
    assert told["step"] == 30 and told["shape"] == [1, 8, 8] and told["value_range"] == [-1, 1]
    assert "fid" in told["evaluation"]["values"] and told["evaluation"]["protocol"]["generator"] == "ema"
    assert sorted(p.name for p in (run / "export").iterdir()) == ["config.json", "generator.safetensors"]


def test_the_onnx_file_computes_the_same_for_any_number_of_latents(gantrain_export: Command, run: Path) -> None:
    import onnxruntime

    outcome = gantrain_export(f"run={run}", "onnx=true", "generator=raw", "out=exported")
    assert outcome.exit_code == 0, outcome.err
    session = onnxruntime.InferenceSession("exported/generator.onnx")
    generator = package.load("exported")
    for n in (1, 7):
        z = latents(n, generator.latent_dim, n)
        (found,) = session.run(["samples"], {"latents": z.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), generator(z), rtol=1e-4, atol=1e-4)


def test_a_damaged_or_strange_export_is_refused(gantrain_export: Command, run: Path, tmp_path: Path) -> None:
    gantrain_export(f"run={run}", "out=exported")
    with pytest.raises(ConfigError, match=r"config\.json is missing"):
        package.load(tmp_path / "nowhere")
    told = json.loads(Path("exported/config.json").read_text())
    Path("exported/config.json").write_text(json.dumps(told | {"architecture": {"_target_": "os.system"}}))
    with pytest.raises(ConfigError, match=r"os\.system is not trusted"):
        package.load("exported")
    Path("exported/config.json").write_text(json.dumps(told | {"latent_dim": None, "format": 9}))
    with pytest.raises(CheckpointError, match="has format 9"):
        package.load("exported")
    Path("exported/config.json").write_text(json.dumps(told))
    weights = bytearray(Path("exported/generator.safetensors").read_bytes())
    weights[-1] ^= 1
    Path("exported/generator.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match="differs from its config"):
        package.load("exported")


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


def test_protected_steps_stay_whatever_else_is_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, Retention(2, 0, "d/loss"))
    checkpoints.protected = lambda: {2, 77}
    for step, loss in {1: 0.5, 2: 3.0, 3: 2.0, 4: 5.0, 5: 4.0}.items():
        checkpoints.save(step, {"x": torch.ones(1)}, {"d/loss": loss})
    assert checkpoints.steps() == [1, 2, 4, 5]  # the best by its own value, the protected one, and the newest
    checkpoints.protected = set
    checkpoints.remove_old()
    assert checkpoints.steps() == [1, 4, 5]


def test_the_best_of_an_earlier_protocol_outlives_a_change_of_protocol(gantrain: Command, tmp_path: Path) -> None:
    first = ("evaluation=classifier", *QUICK, "evaluation.every=4", "checkpoint.keep_last=2", "checkpoint.every=0")
    assert gantrain(*RUN, *first).exit_code == 0
    best = json.loads((tmp_path / "run/evaluation.json").read_text())["best"]["step"]
    for steps, other in ((40, ("evaluation=none",)), (50, ("evaluation=pixels", *QUICK)), (60, first)):
        again = gantrain(RUN[0], f"total_steps={steps}", *RUN[2:], "checkpoint.keep_last=2", *other)
        assert again.exit_code == 0, again.err
        assert best in Checkpoints(tmp_path / "run/checkpoints").steps(), other
    assert "earlier" in json.loads((tmp_path / "run/evaluation.json").read_text())


def test_a_kill_inside_an_evaluation_loses_nothing(tmp_path: Path) -> None:
    settings = ("evaluation=classifier", *QUICK, "evaluation.every=10")
    play(tmp_path / "whole", *settings)

    def killed(self: Live, *arguments: Any) -> bool:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Live, "evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            play(tmp_path / "parts", *settings, "checkpoint.every=7")
    assert Checkpoints(tmp_path / "parts" / "checkpoints").steps() == [7, 10]
    play(tmp_path / "parts", *settings)
    assert evaluations(tmp_path / "parts") == evaluations(tmp_path / "whole")


def test_a_disk_that_does_not_take_the_summary_costs_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gantrain.run import files

    original = files.write_durably

    def full(path: Path, text: str) -> None:
        if path.name == "evaluation.json":
            raise OSError(28, "No space left on device")
        original(path, text)

    monkeypatch.setattr(files, "write_durably", full)
    play(tmp_path / "run", "evaluation=pixels", *QUICK, "evaluation.every=10")
    assert [line["step"] for line in evaluations(tmp_path / "run")] == [10, 20, 30]
    assert capsys.readouterr().err.count("are being lost") == 1


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
    assert "|z| ≤ 0.5" in own["described"] and "|z|" not in whole["described"]


NO_TRUNCATION = ["evaluation.truncation=null"]


def test_nothing_that_was_made_is_ever_replaced(gantrain_sample: Command, gantrain_export: Command, run: Path) -> None:
    for name in ("step-000000030-ema-n3-seed0", "step-000000030-ema-n3-seed0-2"):
        assert gantrain_sample(f"run={run}", "n=3").exit_code == 0
        assert (run / "generated" / name / "grid.png").exists()
    for step, name in ((20, "export"), (30, "export-2")):
        assert gantrain_export(f"run={run}", f"step={step}").exit_code == 0
        assert json.loads((run / name / "config.json").read_text())["step"] == step
    assert json.loads((run / "export/config.json").read_text())["evaluation"]["values"]
    assert gantrain_export(f"run={run}", "generator=raw", "out=raw").exit_code == 0
    assert json.loads(Path("raw/config.json").read_text())["evaluation"] == {}  # those numbers are of the average
    assert not list((run / "generated").glob(".*")) and not list(run.glob(".*"))


def test_a_place_that_is_taken_while_sampling_is_not_touched(tmp_path: Path) -> None:
    from gantrain.cli.runs import made_whole
    from gantrain.errors import DiskError

    with pytest.raises(DiskError), made_whole(str(tmp_path / "out"), tmp_path) as (folder, place):
        (folder / "mine").write_text("1")
        place.mkdir()
        (place / "theirs").write_text("2")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]


WRITER = {"_target_": "gantrain.run.directory.files.write_durably", "path": "victim.txt", "text": "gone"}


def test_a_stranger_s_export_or_run_writes_no_file_and_reads_no_environment(
    gantrain_sample: Command, gantrain_export: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import yaml

    Path("victim.txt").write_text("precious")
    gantrain_export(f"run={run}", "out=exported")
    told = json.loads(Path("exported/config.json").read_text())
    for architecture in (told["architecture"] | {"width": WRITER}, WRITER):
        Path("exported/config.json").write_text(json.dumps(told | {"architecture": architecture}))
        with pytest.raises(ConfigError, match="is not trusted"):
            package.load("exported")
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["architecture"]["generator"]["width"] = WRITER
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    outcome = gantrain_sample(f"run={run}")
    assert outcome.exit_code == 2 and "is not trusted" in outcome.err
    assert Path("victim.txt").read_text() == "precious"

    monkeypatch.setenv("SECRET", "hidden")
    settings["architecture"]["generator"]["width"] = 8
    settings["seed"] = "${oc.env:SECRET}"
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    assert gantrain_export(f"run={run}", "out=again").exit_code == 0
    assert "hidden" not in Path("again/config.json").read_text()


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


def test_more_samples_than_memory_holds_get_one_line(gantrain_sample: Command, run: Path) -> None:
    outcome = gantrain_sample(f"run={run}", "n=100000000000")
    assert outcome.exit_code == 8 and "out of memory" in outcome.err and "Traceback" not in outcome.err


def test_a_torn_picture_is_left_out_of_the_progress(gantrain_sample: Command, run: Path) -> None:
    torn = run / "samples" / "step-000000005.png"
    torn.write_bytes(next((run / "samples").glob("step-*.png")).read_bytes()[:100])
    outcome = gantrain_sample(f"run={run}", "n=4", "out=drawn", "save=[progress]")
    assert outcome.exit_code == 0 and "is left out" in outcome.err and Path("drawn/progress.gif").exists()


def test_the_grid_has_the_grey_levels_of_the_files(tmp_path: Path) -> None:
    from gantrain.run import pictures

    levels = torch.arange(256).reshape(1, 1, 16, 16) / 127.5 - 1
    pictures.grid(levels, tmp_path / "grid.png")
    grid = np.asarray(Image.open(tmp_path / "grid.png"))[..., 0]
    assert sorted(set(grid.ravel().tolist())) == list(range(256))
