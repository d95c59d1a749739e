"""The command as users meet it: what it prints, what it refuses, and that it goes on where it was killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.checkpoint import Checkpoints
from gantrain.run.directory import RunDirectory
from tests.conftest import GUARD, Outcome, run_files

Command = Callable[..., Outcome]
TINY = ("total_steps=3", "batch_size=16", "device=cpu")
PROGRAM = [sys.executable, "-m", "gantrain"]


def only_run(root: Path) -> Path:
    (status,) = root.rglob("status.json")
    return status.parent


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    from gantrain.checkpoint import tree

    _, state = Checkpoints(run / "checkpoints").latest()
    return tree.flatten({k: v for k, v in state.items() if k != "data"})[1]


# ---- a run ------------------------------------------------------------------------------------------------------


def test_a_run_prints_its_choices_and_leaves_everything_where_it_says(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain(*TINY, "run.dir=here", "samples.every=1")
    assert outcome.exit_code == 0
    for word in ("run           here", "digits", "dcgan", "vanilla", "adam", "1 D : 1 G", "fp32 on cpu", "seed 0"):
        assert word in outcome.out
    assert "tensorboard --logdir here" in outcome.out and "here/samples/step-000000003.png" in outcome.out
    assert "step 3 of 3, 00:00 left, d=" in outcome.err and "images/s" in outcome.err
    run = tmp_path / "here"
    grids = sorted(p.name for p in (run / "samples").iterdir())
    assert grids == ["real.png", *(f"step-00000000{k}.png" for k in range(4))]
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in metrics] == [3]
    assert {"d/loss", "g/loss", "d/score_real", "d/score_fake", "d/gradient_norm", "g/gradient_norm", "d/learning_rate",
            "g/learning_rate", "speed/images_per_s"} <= set(metrics[0])  # fmt: skip
    assert "seed: 0" in (run / "config.yaml").read_text()
    assert list(run.glob("events*")) and (run / "checkpoints" / "step-000000003").is_dir()


@pytest.fixture
def directory(gantrain: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return where a run with these overrides would lie: the command finds it finished, and says so."""

    def found(*overrides: str) -> str:
        steps = 3 if "total_steps=3" in overrides else 5000
        monkeypatch.setattr(RunDirectory, "status", lambda run: {"state": "finished", "step": steps})
        outcome = gantrain(*overrides)
        assert outcome.exit_code == 0, outcome.err
        (line,) = [line for line in outcome.out.splitlines() if "is finished" in line]
        return next(word for word in line.split() if "/" in word)

    return found


def test_run_directories_are_named_by_the_choices(directory: Callable[..., str]) -> None:
    assert directory("seed=3", *TINY).startswith("outputs/digits/dcgan/vanilla/seed3-")
    choices = ("loss=lsgan", "data=ring", "architecture=mlp")
    first = directory(*choices, *TINY)
    assert first.startswith("outputs/ring/mlp/lsgan/seed0-")
    # Neither the order of the settings nor how the run is carried out makes another run.
    assert directory(*TINY, *choices[::-1], "log.every=7", "resume=auto") == first
    assert directory(*choices, *TINY, "optimizer.g.lr=1e-3") != first
    assert directory(*TINY, "hydra.run.dir=chosen/by_hydra") == "chosen/by_hydra"
    assert directory(*TINY, "run.dir=chosen/by_us") == "chosen/by_us"
    assert directory(*TINY, "hydra.sweep.dir=elsewhere", "-m").startswith("elsewhere/digits/dcgan/vanilla/seed0-")


def test_without_overrides_the_directory_has_no_hash(directory: Callable[..., str]) -> None:
    assert directory("seed=2", "device=cpu") == "outputs/digits/dcgan/vanilla/seed2"


def test_a_sweep_runs_every_combination_into_its_own_directory(gantrain: Command, tmp_path: Path) -> None:
    arguments = ("-m", "loss=vanilla,lsgan", "seed=0,1", *TINY, "data=ring", "total_steps=1")
    assert gantrain(*arguments).exit_code == 0
    runs = sorted(str(p.parent.relative_to(tmp_path)) for p in tmp_path.rglob("status.json"))
    assert [r.rsplit("-", 1)[0] for r in runs] == [
        f"outputs/ring/mlp/{loss}/seed{seed}" for loss in ("lsgan", "vanilla") for seed in (0, 1)
    ]
    again = gantrain(*arguments)
    assert again.exit_code == 0 and again.out.count("is finished") == 4


def test_a_folder_may_be_a_number_and_a_refusal_is_not_taken_for_the_run_that_is_there(
    gantrain: Command, tmp_path: Path
) -> None:
    job = ("-m", *TINY, "data=ring", "total_steps=2", "run.root=2024")
    assert gantrain(*job).exit_code == 0
    refused = gantrain(*job, "resume=never")
    assert refused.exit_code == 2 and refused.out.splitlines()[-1].startswith("refused ")
    states = [json.loads(line)["state"] for line in (tmp_path / "2024" / "sweep.jsonl").read_text().splitlines()]
    assert states == ["finished", "refused"]


def test_a_failing_job_is_reported_and_the_sweep_goes_on(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain("-m", "loss=wgan_gp,vanilla", *TINY, "data=ring", "architecture.discriminator.norm=batch")
    assert outcome.exit_code == 2
    assert outcome.err.count("gantrain: error:") == 1 and "norm=layer" in outcome.err and "Traceback" not in outcome.err
    assert only_run(tmp_path).parent.name == "vanilla"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], ["loss: began, cramer", "gantrain -m loss=", "total_steps"]),
        (["--cfg", "job", "loss=wgan_gp", "data=cifar10"], ["d_steps: 5", "lr: 0.0001", "GradientPenalty"]),
        (["--info", "defaults-tree", "loss=wgan_gp"], ["ratio: 5to1", "optimizer: adam_wgan_gp"]),
    ],
)
def test_help_and_configuration_are_printed_without_torch_and_without_files(
    arguments: list[str], expected: list[str], tmp_path: Path
) -> None:
    program = [sys.executable, "-c", "import sys; from gantrain.cli.train import main\ntry: main()\n"
               "finally: print('TORCH' if 'torch' in sys.modules else 'LIGHT')"]  # fmt: skip
    done = subprocess.run([*program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=GUARD)
    assert done.returncode == 0, done.stderr
    for text in [*expected, "LIGHT"]:
        assert text in done.stdout
    assert run_files(tmp_path) == []


def test_shell_completion_offers_groups_and_keys(tmp_path: Path) -> None:
    def completions(line: str) -> str:
        environment = os.environ | {"COMP_LINE": line, "COMP_POINT": str(len(line))}
        done = subprocess.run(
            [*PROGRAM, "-sc", "query=bash"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=GUARD,
        )
        return done.stdout

    assert {"loss=wgan", "loss=wgan_gp"} <= set(completions("gantrain loss=w").split())
    assert "optimizer.g.lr=" in completions("gantrain optimizer.g.").split()


# ---- refusals ---------------------------------------------------------------------------------------------------

REFUSED = [
    # an option, key or value that does not exist
    (["loss=wgan_pg"], 2, ["loss=wgan_pg", "did you mean loss=wgan_gp", "vanilla"]),
    (["data=coco"], 2, ["data=coco", "cifar10", "image_folder"]),
    (["architecture=dcgn"], 2, ["did you mean architecture=dcgan"]),
    (["los=hinge"], 2, ["los is not a setting", "did you mean loss"]),
    (["optimizer.lr=1"], 2, ["optimizer.lr", "did you mean optimizer.g.lr"]),
    (["total_step=5"], 2, ["total_step", "did you mean total_steps"]),
    (["optimizer.g.lrr=1"], 2, ["optimizer.g.lrr", "did you mean optimizer.g.lr"]),
    (["data.rooot=x", "data=image_folder"], 2, ["data.rooot", "did you mean data.root"]),
    (["precision=fp8"], 2, ["precision=fp8", "bf16"]),
    (["+unknown=1"], 2, ["unknown"]),
    (["hello"], 2, ["hello"]),
    (["data.root=~/photos", "data=image_folder"], 3, ["/photos is neither a folder nor a zip or tar"]),
    (["loss=null"], 2, ["loss takes the name of one option"]),
    (["~loss"], 2, ["loss takes the name of one option"]),
    (["loss=[vanilla,hinge]"], 2, ["loss takes the name of one option"]),
    (["ratio=3"], 2, ["ratio takes the name of one option"]),
    (["loss.objective=Hinge"], 2, ["loss.objective holds several settings"]),
    (["architecture.generator=5"], 2, ["architecture.generator holds several settings"]),
    (["total_steps=${nothing}"], 2, ["nothing"]),
    (["-m", "loss=vanilla,wgan_pg"], 2, ["did you mean loss=wgan_gp"]),
    (["hydra.run.dir=foo", "total_steps=0"], 2, ["total_steps"]),
    (["data.nothing=1"], 2, ["data.nothing"]),
    (["loss.objective.a=1"], 2, ["loss.objective.a"]),
    # the wrong type
    (["total_steps=abc"], 2, ["total_steps", "abc"]),
    (["total_steps=1.5e0"], 2, ["total_steps", "a whole number"]),
    (["batch_size=1.5"], 2, ["batch_size", "1.5"]),
    (["optimizer.g.lr=fast"], 2, ["optimizer.g.lr", "number", "fast"]),
    (["optimizer.g.betas=[0.5]"], 2, ["optimizer.g.betas", "2 numbers"]),
    (["architecture.generator.width=wide"], 2, ["architecture.generator.width", "whole number"]),
    (["seed=one"], 2, ["seed", "one"]),
    (["gradient_clip_norm=small"], 2, ["gradient_clip_norm", "small"]),
    # out of range
    (["total_steps=0"], 2, ["total_steps must be 1 or more, got 0"]),
    (["total_steps=-1"], 2, ["total_steps must be 1 or more"]),
    (["batch_size=0"], 2, ["batch_size must be 1 or more"]),
    (["seed=-1"], 2, ["seed must be 0 or more"]),
    (["seed=99999999999999999999"], 2, ["seed must be below 2^63"]),
    (["batch_size=1"], 2, ["batch_size=2 or more"]),
    (["batch_size=1", "architecture=sagan"], 2, ["batch norm", "an architecture without it"]),
    (["ratio.d_steps=0"], 2, ["ratio.d_steps must be 1 or more"]),
    (["log.every=0"], 2, ["log.every"]),
    (["checkpoint.keep_last=1"], 2, ["checkpoint.keep_last must be 2 or more"]),
    (["gradient_clip_norm=0"], 2, ["gradient_clip_norm"]),
    (["architecture.generator.width=0"], 2, ["width", "0"]),
    (["architecture.latent_dim=-4"], 2, ["latent_dim", "-4"]),
    (["architecture.discriminator.norm=group"], 2, ["norm", "group", "layer"]),
    (["optimizer.g.lr=-1"], 2, ["optimizer.g", "-1"]),
    (["precision.forward=float8"], 2, ["precision.forward", "bfloat16"]),
    (["data=ring", "data.std=-1"], 2, ["data.std"]),
    (["data=ring", "data.modes=0"], 2, ["data.modes"]),
    (["loss=wgan", "loss.regularizers.clip.bound=0.0"], 2, ["bound"]),
    # what does not go together
    (["loss=wgan_gp", "architecture.discriminator.norm=batch"], 2, ["norm=batch", "GradientPenalty", "norm=layer"]),
    (["architecture=dcgan", "data=ring"], 2, ["architecture=mlp"]),
    (["data=ring", "augment=diffaug"], 2, ["augment=none"]),
    (["data._target_=os.system"], 2, ["os.system", "trusted"]),
    (["data._target_=gantrain.data"], 2, ["gantrain.data", "not a trusted class"]),
    # the machine
    (["device=gpu"], 2, ["device=gpu", "auto"]),
    (["device=cuda:7"], 2, ["device=cuda:7", "device=auto"]),
    # the data
    (["data=image_folder"], 2, ["data.root is not set"]),
    (["data=image_folder", "data.root=missing"], 3, ["data.root=missing is neither a folder"]),
    (["data=image_folder", "data.root=empty"], 3, ["no images"]),
    (["data=image_folder", "data.root=few", "data.in_memory=maybe"], 2, ["data.in_memory", "maybe"]),
    (["data=image_folder", "data.root=corrupt", "batch_size=2"], 3, ["bad.png"]),
    (["data=image_folder", "data.root=few"], 3, ["3 samples", "batch_size=64"]),
    (["data=digits", "batch_size=2000"], 3, ["1797 samples", "batch_size=2000"]),
    (["data=cifar10", "data.download=false", "data.root=empty"], 3, ["cifar-10-python.tar.gz", "empty"]),
    # runs
    (["resume=nowhere/step-000000001"], 5, ["nowhere/step-000000001"]),
    (["nonfinite.policy=ignore"], 2, ["nonfinite.policy must be one of stop, rollback"]),
    (["nonfinite.max_rollbacks=0"], 2, ["nonfinite.max_rollbacks must be 1 or more"]),
    (["checkpoint.best_is=best"], 2, ["checkpoint.best_is must be one of lowest, highest"]),
    (["checkpoint.every=100", "checkpoint.keep_every=150"], 2, ["checkpoint.keep_every=150", "multiple", "=100"]),
    (["schedule=step"], 2, ["schedule=step does not exist", "constant, cosine, linear"]),
    (["schedule=null"], 2, ["schedule takes the name of one option"]),
    (["data=image_folder", "data.root=few", "data.on_bad=ignore"], 2, ["data.on_bad", "error or skip"]),
    (["data=image_folder", "data.root=few", "data.timeout=0"], 2, ["data.timeout must be above 0"]),
]  # fmt: skip


@pytest.mark.row("F21", "a table of mistakes: unknown keys and options, wrong types, out of range, contradictions")
@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"), REFUSED, ids=lambda a: " ".join(a) if isinstance(a, list) else ""
)
def test_bad_input_gets_one_clear_line_and_leaves_nothing(
    arguments: list[str], exit_code: int, words: list[str], gantrain: Command, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for folder, names in {"corrupt": ["a.png", "b.png"], "few": ["a.png", "b.png", "c.png"]}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(tmp_path / folder / name)
    (tmp_path / "corrupt" / "bad.png").write_bytes((tmp_path / "few" / "a.png").read_bytes()[:60])
    before = sorted(tmp_path.rglob("*"))
    outcome = gantrain(*arguments)
    lines = [line for line in outcome.err.splitlines() if "gantrain: error:" in line]
    assert outcome.exit_code == exit_code, outcome.err
    assert len(lines) == 1 and "Traceback" not in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err
    for word in words:
        assert word in lines[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain("device=cuda")
    assert outcome.exit_code == 2 and "no usable GPU" in outcome.err and "device=cpu" in outcome.err
    assert run_files(tmp_path) == []


def test_two_mistakes_at_once_still_give_one_line(gantrain: Command) -> None:
    outcome = gantrain("los=hinge", "data=imagenet")
    assert outcome.exit_code == 2 and len(outcome.err.splitlines()) == 1


def test_your_own_yaml_and_class_need_no_change_to_the_package(
    gantrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_losses.py").write_text("from gantrain.losses import Hinge\nclass Mine(Hinge): pass\n")
    (tmp_path / "mine" / "loss").mkdir(parents=True)
    (tmp_path / "mine" / "loss" / "mine.yaml").write_text(
        "_target_: gantrain.losses.Loss\nobjective: {_target_: my_losses.Mine}\n"
    )
    outcome = gantrain("--config-dir", "mine", "loss=mine", "trusted_modules=[my_losses]", *TINY, "data=ring")
    assert outcome.exit_code == 0, outcome.err
    assert "mine: Mine" in outcome.out and list(tmp_path.glob("outputs/ring/mlp/mine/seed0-*"))
    misspelt = gantrain("--config-dir", "mine", "loss=mien", *TINY, "data=ring")
    assert misspelt.exit_code == 2 and "did you mean loss=mine?" in misspelt.err
    (tmp_path / "mine" / "loss" / "wide.yaml").write_text(
        "_target_: gantrain.losses.Loss\nobjective: {_target_: my_losses.Mine, breadth: 1.0}\n"
    )
    misspelt = gantrain("--config-dir", "mine", "loss=wide", "loss.objective.bredth=2", *TINY, "data=ring")
    assert misspelt.exit_code == 2 and "did you mean loss.objective.breadth?" in misspelt.err
    monkeypatch.setenv("GANTRAIN_CONFIGS", f'["file://{tmp_path}/mine"]')
    outcome = gantrain("loss=mine", "trusted_modules=[my_losses]", *TINY, "data=ring", "run.dir=for_good")
    assert outcome.exit_code == 0 and "mine: Mine" in outcome.out, outcome.err


def test_a_bug_shows_its_traceback_and_its_exit_code(gantrain: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from gantrain.training.trainer import Trainer

    def broken(self: Trainer, *rest: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Trainer, "g_turn", broken)
    outcome = gantrain(*TINY)
    assert outcome.exit_code == 1 and "Traceback" in outcome.err and "ZeroDivisionError: a bug" in outcome.err


# ---- going on ---------------------------------------------------------------------------------------------------


def test_a_finished_run_can_be_prolonged_bit_for_bit(gantrain: Command, tmp_path: Path) -> None:
    tiny = ("batch_size=16", "device=cpu", "data=ring")
    gantrain(*tiny, "total_steps=6", "run.dir=whole")
    gantrain(*tiny, "total_steps=4", "run.dir=parts")
    assert "is finished" in gantrain(*tiny, "total_steps=4", "run.dir=parts").out
    longer = gantrain(*tiny, "total_steps=6", "run.dir=parts")
    assert "resumed       from step 4 (same torch, threads, device and data)" in longer.out
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert whole.keys() == parts.keys() and all(torch.equal(whole[k], parts[k]) for k in whole)


def test_resume_never_refuses_and_a_path_continues_exactly_that(gantrain: Command, tmp_path: Path) -> None:
    tiny = ("batch_size=16", "device=cpu", "data=ring", "checkpoint.every=2")
    gantrain(*tiny, "total_steps=4", "run.dir=first")
    refused = gantrain(*tiny, "total_steps=6", "run.dir=first", "resume=never")
    assert refused.exit_code == 2 and "up to step 4" in refused.err
    other = gantrain(*tiny, "total_steps=4", "run.dir=second", "resume=first/checkpoints/step-000000002")
    assert "from step 2" in other.out and other.exit_code == 0
    first, second = weights_of(tmp_path / "first"), weights_of(tmp_path / "second")
    assert all(torch.equal(first[k], second[k]) for k in first)
    beyond = gantrain(*tiny, "total_steps=3", "run.dir=first")
    assert beyond.exit_code == 2 and "beyond total_steps=3" in beyond.err


def test_a_checkpoint_of_another_configuration_is_refused_before_anything_is_written(
    gantrain: Command, tmp_path: Path
) -> None:
    gantrain(*TINY, "data=ring", "run.dir=first")
    resume = "resume=first/checkpoints/step-000000003"
    for change in ("optimizer.g.lr=1e-6", "architecture.generator.width=32", "precision=fp16"):
        outcome = gantrain(*TINY, "data=ring", "run.dir=second", resume, change)
        assert outcome.exit_code == 2 and "holds another run" in outcome.err and "Traceback" not in outcome.err
    beyond = gantrain("data=ring", "batch_size=16", "device=cpu", "run.dir=second", resume, "total_steps=1")
    assert beyond.exit_code == 2 and "beyond total_steps=1" in beyond.err
    assert not (tmp_path / "second").exists()
    # Without the configuration beside it, what does not fit is still said in one line.
    (tmp_path / "first" / "config.yaml").unlink()
    misfit = gantrain(*TINY, "data=ring", "run.dir=second", resume, "architecture.generator.width=32")
    assert misfit.exit_code == 2 and "saved with other settings" in misfit.err and "Traceback" not in misfit.err


def test_a_refusal_leaves_a_finished_run_finished(gantrain: Command, tmp_path: Path) -> None:
    gantrain(*TINY, "data=ring", "run.dir=here")
    status = (tmp_path / "here" / "status.json").read_text()
    for change in ("resume=never", "total_steps=2", "optimizer.g.lr=0.1"):
        assert gantrain(*TINY, "data=ring", "run.dir=here", change).exit_code == 2
        assert (tmp_path / "here" / "status.json").read_text() == status


def test_choosing_no_experiment_is_no_mistake(gantrain: Command) -> None:
    assert gantrain("experiment=null", "total_steps=0").err.startswith("gantrain: error: total_steps must be 1")


def test_another_configuration_in_the_same_directory_is_refused_with_the_differences(gantrain: Command) -> None:
    gantrain(*TINY, "data=ring", "run.dir=here")
    outcome = gantrain(*TINY, "data=ring", "run.dir=here", "optimizer.g.lr=0.01", "log.every=1")
    assert outcome.exit_code == 2 and "optimizer.g.lr: 0.0002 → 0.01" in outcome.err and "log.every" not in outcome.err


def test_changed_circumstances_are_said(gantrain: Command) -> None:
    gantrain(*TINY, "data=ring", "run.dir=here")
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        outcome = gantrain(*TINY, "data=ring", "run.dir=here", "total_steps=4")
    finally:
        torch.set_num_threads(before)
    assert f"not bit-exact: threads {before} → {before + 1}" in outcome.out


# ---- what a reader of the reliability work found -----------------------------------------------------------------

RING = ("data=ring", "device=cpu", "batch_size=16", "checkpoint.every=2")


def test_a_run_whose_checkpoints_are_gone_does_not_silently_start_again(gantrain: Command, tmp_path: Path) -> None:
    gantrain(*RING, "total_steps=4", "run.dir=here", "log.every=1")
    metrics = (tmp_path / "here" / "metrics.jsonl").read_text()
    shutil.rmtree(tmp_path / "here" / "checkpoints")
    outcome = gantrain(*RING, "total_steps=6", "run.dir=here", "log.every=1")
    assert outcome.exit_code == 5 and "empty or gone; start again with resume=never" in outcome.err
    assert (tmp_path / "here" / "metrics.jsonl").read_text() == metrics


def test_a_misspelt_best_is_noticed_before_the_first_step(gantrain: Command) -> None:
    outcome = gantrain(*RING, "total_steps=40", "log.every=3", "run.dir=here", "checkpoint.keep_best=fid")
    assert outcome.exit_code == 2 and "checkpoint.keep_best=fid is not a logged value; there are d/" in outcome.err
    assert "set evaluation.best" in outcome.err and not Path("here").exists()
    twice = gantrain(*RING, "total_steps=3", "run.dir=twice", "loss=vanilla", "checkpoint.keep_best=d/adversarial")
    assert twice.exit_code == 2 and "d/loss" in twice.err  # the loss's only term is logged as the loss alone
    lecam = gantrain(*RING, "total_steps=3", "run.dir=lecam", "regularizer=[lecam]", "checkpoint.keep_best=d/lecam")
    assert lecam.exit_code == 0, lecam.err  # a term that the first turn does not have
    right = gantrain(*RING, "total_steps=6", "run.dir=there", "log.every=3", "checkpoint.keep_best=d/gradient_norm")
    assert right.exit_code == 0


def test_the_best_checkpoint_is_rated_by_what_was_measured_at_its_own_step(gantrain: Command) -> None:
    best = ("checkpoint.keep_best=d/loss", "checkpoint.keep_last=2", "checkpoint.every=5", "log.every=7")
    assert gantrain(*RING, "total_steps=30", "run.dir=here", *best).exit_code == 0
    lines = {line["step"]: line for line in map(json.loads, Path("here/metrics.jsonl").read_text().splitlines())}
    saved = [5, 10, 15, 20, 25, 30]
    assert set(saved) <= lines.keys()  # each is logged, though the steps between lines do not divide
    lowest = min(saved, key=lambda step: (lines[step]["d/loss"], -step))
    kept = {int(path.name.removeprefix("step-")) for path in Path("here/checkpoints").glob("step-*")}
    assert kept == {25, 30, lowest}
    for step in kept:
        manifest = json.loads(Path(f"here/checkpoints/step-{step:09d}/manifest.json").read_text())
        assert manifest["metrics"]["d/loss"] == lines[step]["d/loss"]


def test_a_checkpoint_between_two_lines_has_no_values_of_another_step(gantrain: Command) -> None:
    cadence = ("total_steps=12", "log.every=6", "checkpoint.every=4", "run.dir=here")
    assert gantrain(*RING, *cadence).exit_code == 0
    manifests = {path.parent.name[-2:]: json.loads(path.read_text()) for path in Path("here").rglob("manifest.json")}
    assert {step: bool(manifest["metrics"]) for step, manifest in manifests.items()} == {
        "04": False,
        "08": False,
        "12": True,
    }


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["optimizer.d={_target_:torch.optim.SGD,lr:0.01}"], ["~optimizer.d.betas ~optimizer.d.eps"]),
        (["~optimizer.d.betas", "~optimizer.d.eps", "optimizer.d._target_=torch.optim.SGD", "optimizer.d.fused=null",
          "optimizer.g._target_=torch.optim.LBFGS", "~optimizer.g.betas", "~optimizer.g.eps", "~optimizer.g.fused"],
         ["optimizer.g: LBFGS evaluates the loss several times"]),
        (["schedule.g={_target_:torch.optim.lr_scheduler.OneCycleLR,max_lr:0.1,total_steps:20}"],
         ["schedule.g ends at step 21 of 40", "${total_steps}"]),
    ],
)  # fmt: skip
def test_an_optimizer_or_a_schedule_that_cannot_play_the_run_is_refused_before_it(
    gantrain: Command, overrides: list[str], named: list[str]
) -> None:
    outcome = gantrain(*RING, "total_steps=40", "run.dir=here", *overrides)
    assert outcome.exit_code == 2 and all(text in outcome.err for text in named), outcome.err
    assert "Traceback" not in outcome.err and not Path("here").exists()


@pytest.mark.parametrize(
    ("overrides", "offered"),
    [
        ([], "A smaller learning rate, gradient_clip_norm=1 or nonfinite.policy=rollback may help"),
        (["precision=bf16", "gradient_clip_norm=1"],
         "A smaller learning rate, precision=fp32 or nonfinite.policy=rollback may help"),
        (["gradient_clip_norm=1", "nonfinite.policy=rollback"], "A smaller learning rate may help"),
    ],
)  # fmt: skip
def test_a_run_that_diverges_is_not_offered_what_it_has(
    gantrain: Command, monkeypatch: pytest.MonkeyPatch, overrides: list[str], offered: str
) -> None:
    from gantrain.training.trainer import Trainer

    def poisoned(self: Trainer, n: int, labels: object) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(n, 2), torch.full((n, 2), float("nan"))

    monkeypatch.setattr(Trainer, "generate", poisoned)
    outcome = gantrain(*RING, "total_steps=4", *overrides)
    assert outcome.exit_code == 4 and offered in outcome.err, outcome.err


@pytest.mark.parametrize("schedule", ["5", "{_target_: torch.nn.ReLU}",
    "{_target_: torch.optim.lr_scheduler.ReduceLROnPlateau}",
    "{_target_: torch.optim.lr_scheduler.OneCycleLR, max_lr: 0.1, total_steps: 3}"])  # fmt: skip
def test_a_schedule_that_cannot_serve_gets_one_line(gantrain: Command, schedule: str) -> None:
    outcome = gantrain(*RING, "total_steps=6", f"schedule.g={schedule.replace(': ', ':')}")
    assert outcome.exit_code == 2 and "schedule" in outcome.err and "Traceback" not in outcome.err, outcome.err


def test_a_limit_of_rollbacks_that_was_lowered_still_ends_the_run(
    gantrain: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gantrain.training.trainer import Trainer

    turn = Trainer.d_turn

    def poisoned(self: Trainer, *rest: object) -> None:
        if self.step == 3:
            with torch.no_grad():
                next(self.d.net.parameters()).fill_(float("nan"))
        turn(self, *rest)

    monkeypatch.setattr(Trainer, "d_turn", poisoned)
    train = Trainer.train

    def train_late(self: Trainer, *rest: object) -> None:
        self.rollbacks = 3
        train(self, *rest)

    monkeypatch.setattr(Trainer, "train", train_late)
    outcome = gantrain(*RING, "total_steps=6", "nonfinite.policy=rollback", "nonfinite.max_rollbacks=2")
    assert outcome.exit_code == 4 and "(after 3 rollbacks)" in outcome.err


def test_how_a_run_ended_is_recorded_even_if_the_facts_cannot_be_had(
    gantrain: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gantrain.training.trainer import Trainer

    def broken(self: Trainer, *rest: object) -> None:
        self.d.skipped = None  # as a GPU after an error: nothing can be read from it any more
        raise ZeroDivisionError("the cause")

    monkeypatch.setattr(Trainer, "g_turn", broken)
    outcome = gantrain(*RING, "total_steps=6", "run.dir=here")
    assert outcome.exit_code == 1 and "ZeroDivisionError: the cause" in outcome.err
    assert "ZeroDivisionError: the cause" in (tmp_path / "here" / "error.log").read_text()


def test_another_run_s_folder_is_refused_before_anything_is_measured_read_or_written(
    gantrain: Command, tmp_path: Path
) -> None:
    ring = (*TINY, "data=ring", "budget=flops", "run.dir=run")
    assert gantrain(*ring, "budget.amount=1e8", "schedule=linear").exit_code == 0
    again = gantrain(*ring, "budget.amount=1e8", "schedule=linear")
    assert again.exit_code == 0 and "is finished" in again.out, again.err
    before = {path: path.read_bytes() for path in run_files(tmp_path)}
    other = gantrain(*ring, "budget.amount=2e8", "loss=hinge", "schedule=linear")
    assert other.exit_code == 2 and "holds another run" in other.err and "loss.objective" in other.err
    assert "GFLOP" not in other.out and {path: path.read_bytes() for path in run_files(tmp_path)} == before


def test_a_measured_length_may_be_any_multiple_of_what_is_kept(gantrain: Command) -> None:
    outcome = gantrain(*TINY, "data=ring", "budget=flops", "budget.amount=1e8", "checkpoint.keep_every=1")
    assert outcome.exit_code == 0, outcome.err


@pytest.mark.parametrize("entry", ["1", "null", "true"])
def test_an_entry_of_metrics_that_is_no_metric_is_one_sentence(gantrain: Command, entry: str) -> None:
    outcome = gantrain(*TINY, "data=ring", "evaluation=points", f"evaluation.metrics=[{entry}]")
    assert outcome.exit_code == 2 and "is not measured on points; there are modes" in outcome.err
    assert "Traceback" not in outcome.err


VIDEOS = """
import numpy as np
import torch
from gantrain.data import Batches, Data

class Videos(Data):
    shape, classes = (2, 1, 4, 8), 0

    def stream(self, batch_size, seed, device):
        def batch_at(position):
            x = np.random.default_rng([seed, position]).standard_normal((batch_size, 2, 1, 4, 8))
            return torch.from_numpy(x.astype(np.float32)), None
        return Batches(batch_at)
"""


def test_data_that_has_no_drawing_trains_with_one_sentence_and_everything_but_pictures(
    gantrain: Command, tmp_path: Path
) -> None:
    (tmp_path / "videos_of_mine.py").write_text(VIDEOS)
    own = ("data=ring", "~data.modes", "~data.radius", "~data.std", "data._target_=videos_of_mine.Videos")
    rest = ("trusted_modules=[videos_of_mine]", "evaluation=none", "architecture=mlp", "run.dir=run")
    outcome = gantrain(*TINY, *own, *rest, "samples.every=1", "log.every=1")
    assert outcome.exit_code == 0, outcome.err
    assert outcome.err.count("samples of shape (2, 1, 4, 8) are not drawn") == 1 and outcome.err.count("warning") == 1
    assert "none was drawn" in outcome.out
    assert list((tmp_path / "run" / "samples").iterdir()) == []
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps()[-1] == 3


def test_every_line_of_a_sweep_says_which_job_it_is_about(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain("-m", "loss=wgan_gp,vanilla", *TINY, "data=ring", "architecture.discriminator.norm=batch")
    of_hydra = "Error executing job with overrides: "  # which says itself what the job was
    lines = [line for line in outcome.err.splitlines() if line and not line.startswith(of_hydra)]
    assert any("norm=layer" in line for line in lines) and any("step 3 of 3" in line for line in lines)
    for line in lines:
        assert re.match(r"(gantrain: (error|warning): )?ring/mlp/(wgan_gp|vanilla)/seed0-\w{8}: ", line), line


def test_fewer_latents_than_a_mixture_has_directions_are_warned_of(gantrain: Command) -> None:
    space = ("data=mixture", "data.centers=[[0,0,0],[1,2,3]]", "data.weights=null", *TINY[1:], "total_steps=1")
    outcome = gantrain(*space, "run.dir=flat")
    said = outcome.err.replace("\n", " ")
    assert outcome.exit_code == 0 and "latent_dim=2 is less than the 3 directions" in said, outcome.err
    assert said.count("use architecture.latent_dim=3") == 1
    assert "directions" not in gantrain(*space, "architecture.latent_dim=3", "run.dir=full").err
