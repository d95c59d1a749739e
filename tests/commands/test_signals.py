"""Signals from the first step to the export: trained, resumed, drawn, measured, sampled and loaded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gantrain as package
from gantrain.data import Sines
from gantrain.kinds.signals import HEIGHT, WIDTH
from gantrain.trained import Trained
from tests.commands.conftest import Command

SMALL = ("device=cpu", "batch_size=16", "architecture.generator.width=8", "architecture.discriminator.width=8",
         "checkpoint.every=10", "samples.every=10", "samples.count=16", "log.every=10")  # fmt: skip
MEASURED = ("evaluation=signals", "evaluation.n_fake=200", "evaluation.n_real=200", "evaluation.every=10",
            "evaluation.n_neighbours=100", "evaluation.n_w2=50")  # fmt: skip


def weights(folder: str) -> dict[str, torch.Tensor]:
    trained = Trained.open(folder)
    return {
        f"{part}.{name}": tensor for part in ("g", "d", "ema") for name, tensor in trained.state[part]["net"].items()
    }


def a_file(channels: int = 2) -> str:
    signals = [Sines([1, 3], 32, (0.4, 0.9), 0.02).sample(300, np.random.default_rng(k))[0] for k in range(channels)]
    np.save("mine.npy", 7 * np.concatenate(signals, 1) + 3)
    return "mine.npy"


def test_sines_are_trained_measured_and_drawn_as_lines(gantrain: Command) -> None:
    outcome = gantrain("data=sines", *SMALL, *MEASURED, "total_steps=20", "run.dir=run")
    assert outcome.exit_code == 0 and "warning" not in outcome.err, outcome.err
    side = (4 * (WIDTH + 2) + 2, 4 * (HEIGHT + 2) + 2)
    for name in ("real", "step-000000010", "step-000000020"):
        with Image.open(f"run/samples/{name}.png") as picture:
            assert picture.size == side
            assert len(np.unique(np.asarray(picture))) > 10  # lines have soft edges
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    found = {name.rsplit("/", 1)[1] for line in lines for name in line if name.startswith("eval_signals_")}
    assert found == {"sliced_wasserstein", "w2", "w2_of_real", "precision", "recall", "density", "coverage"}
    assert json.loads(Path("run/evaluation.json").read_text())["best"]["sliced_wasserstein"] > 0
    facts = Trained.open("run").manifest["generator"]
    assert (facts["shape"], facts["kind"], facts["classes"]) == ([1, 64], "signals", 4)


@pytest.mark.parametrize("source", ["sines", "file"])
def test_a_run_on_signals_that_is_continued_is_the_same_bit_for_bit(gantrain: Command, source: str) -> None:
    data = ["data=sines"] if source == "sines" else ["data=signals", f"data.root={a_file()}", "data.scale=true"]
    assert gantrain(*data, *SMALL, "total_steps=40", "run.dir=whole").exit_code == 0
    assert gantrain(*data, *SMALL, "total_steps=20", "run.dir=parts").exit_code == 0
    outcome = gantrain(*data, *SMALL, "total_steps=40", "run.dir=parts")
    assert outcome.exit_code == 0 and "step 20" in outcome.out + outcome.err, outcome.err
    one, other = weights("whole"), weights("parts")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (
        Path("whole/samples/step-000000040.png").read_bytes() == Path("parts/samples/step-000000040.png").read_bytes()
    )


@pytest.fixture
def conditional(gantrain: Command) -> Path:
    outcome = gantrain("data=sines", "conditioning=projection", *SMALL, *MEASURED, "total_steps=10", "run.dir=run")
    assert outcome.exit_code == 0, outcome.err
    return Path("run")


def test_a_conditional_grid_has_a_frequency_a_row_and_its_accuracy_is_measured(conditional: Path) -> None:
    with Image.open(conditional / "samples/real.png") as picture:
        assert picture.size == (4 * (WIDTH + 2) + 2, 4 * (HEIGHT + 2) + 2)
    assert "conditional_accuracy" in json.loads((conditional / "evaluation.json").read_text())["final"]


def test_signals_are_sampled_by_class_as_arrays_charts_and_a_walk(gantrain_sample: Command, conditional: Path) -> None:
    outcome = gantrain_sample(
        f"run={conditional}", "n=6", "classes=[cycles_2,3]", "interpolate=true", "frames=2", "out=o"
    )
    assert outcome.exit_code == 0, outcome.err
    assert sorted(path.name for path in Path("o").iterdir()) == [
        *("grid.png", "interpolation.png", "progress.gif", "samples.npz", "signals.npy", "walk.gif")
    ]
    arrays = np.load("o/samples.npz")
    assert arrays["signals"].shape == (6, 1, 64) and arrays["signals"].dtype == np.float32
    assert arrays["labels"].tolist() == [1, 1, 1, 3, 3, 3] and abs(arrays["signals"]).max() <= 1
    assert np.array_equal(np.load("o/signals.npy"), arrays["signals"])
    with Image.open("o/grid.png") as grid, Image.open("o/walk.gif") as walk:
        assert grid.size == (3 * (WIDTH + 2) + 2, 2 * (HEIGHT + 2) + 2)  # one class a row
        assert walk.n_frames == 6 * 2 and walk.size == (WIDTH, HEIGHT)


def test_what_was_sampled_is_data_to_train_on(gantrain: Command, gantrain_sample: Command, conditional: Path) -> None:
    assert gantrain_sample(f"run={conditional}", "n=40", "out=o", "save=[files]").exit_code == 0
    outcome = gantrain("data=signals", "data.root=o/signals.npy", *SMALL, "total_steps=2", "run.dir=second")
    assert outcome.exit_code == 0, outcome.err


def test_an_unconditional_generator_of_signals_takes_no_classes(gantrain: Command, gantrain_sample: Command) -> None:
    assert gantrain("data=sines", *SMALL, "total_steps=2", "run.dir=run").exit_code == 0
    outcome = gantrain_sample("run=run", "classes=[0]", "out=o")
    assert outcome.exit_code == 2 and "is for images" in outcome.err and not Path("o").exists()


def test_an_export_says_that_it_makes_signals_and_is_loaded(gantrain_export: Command, conditional: Path) -> None:
    outcome = gantrain_export(f"run={conditional}", "out=x")
    assert outcome.exit_code == 0, outcome.err
    told = json.loads(Path("x/config.json").read_text())
    assert (told["kind"], told["value_range"], told["shape"]) == ("signals", [-1, 1], [1, 64])
    samples = package.load("x").sample(5, seed=1, classes="cycles_8")
    assert samples.shape == (5, 1, 64) and samples.abs().max() <= 1


def test_a_run_of_before_kinds_were_recorded_is_read_by_its_shape(conditional: Path) -> None:
    trained = Trained.open(conditional)
    del trained.manifest["generator"]["kind"]
    assert trained.kind.name == "signals"
    trained.manifest["generator"]["kind"] = ["a stranger's"]
    assert trained.kind.name == "signals"


def test_signals_are_measured_again(gantrain_eval: Command, conditional: Path) -> None:
    outcome = gantrain_eval(f"run={conditional}", "json=true", "device=cpu")
    assert outcome.exit_code == 0, outcome.err
    assert json.loads(outcome.out)["features"] == "signals"


def test_a_file_of_your_own_is_trained_on_with_labels(gantrain: Command) -> None:
    np.save("labels.npy", np.arange(300) % 3)
    own = ("data=signals", f"data.root={a_file(3)}", "data.labels=labels.npy", "data.scale=true")
    outcome = gantrain(*own, "conditioning=concat", *SMALL, *MEASURED, "total_steps=10", "run.dir=run")
    assert outcome.exit_code == 0 and "300 signals 3×32, 3 classes, scaled from" in outcome.out, outcome.err
    assert "memorised" in json.loads(Path("run/evaluation.json").read_text())["final"]
    assert Trained.open("run").class_names() == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["data=signals"], 2, "data.root is not set"),
        (["data=signals", "data.root=missing.npy"], 3, "data.root=missing.npy is not a file"),
        (["data=signals", "data.root=mine.npy"], 3, "use data.scale=true"),
        (["data=signals", "data.root=mine.npy", "data.scale=true", "batch_size=400"], 3, "300 samples"),
        (["data=signals", "data.root=mine.npy", "data.scale=maybe"], 2, "data.scale must be true or false"),
        (["data=sines", "augment=diffaug"], 2, "needs square images, got signals of shape (1, 64)"),
        (["data=sines", "architecture=dcgan"], 2, "got signals of shape (1, 64)"),
        (["data=sines", "data.noise=-1"], 2, "data.noise must be 0 or more"),
        (["data=sines", "evaluation=classifier"], 2, "is for images; use evaluation=signals"),
    ],
)
def test_what_does_not_suit_signals_is_refused_in_one_line(
    gantrain: Command, arguments: list[str], code: int, words: str
) -> None:
    a_file()
    small = [setting for setting in SMALL if "width" not in setting or "architecture=dcgan" not in arguments]
    outcome = gantrain(*small, "run.dir=run", *arguments)
    assert outcome.exit_code == code and words in outcome.err and outcome.err.count("gantrain: error") == 1, outcome.err
    assert "Traceback" not in outcome.err and not Path("run").exists()


@pytest.mark.parametrize("loss", ["began", "wgan_gp", "r3gan"])
def test_losses_with_networks_and_penalties_of_their_own_train_on_signals(gantrain: Command, loss: str) -> None:
    outcome = gantrain(
        "data=sines", f"loss={loss}", *SMALL, "total_steps=2", "run.dir=run", "regularizer=[consistency]"
    )
    assert outcome.exit_code == 0 and "on points" not in outcome.out, outcome.err
