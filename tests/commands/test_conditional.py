"""Conditional GANs by the commands: trained, measured by class, drawn by class, exported, and refused in a sentence."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gantrain as package
from gantrain.cli.sample import ways
from gantrain.errors import ConfigError
from gantrain.run.directory import RunDirectory
from gantrain.sampling import samples_of
from gantrain.trained import Trained
from tests.commands.conftest import Command
from tests.conftest import REPOSITORY, built
from tests.evaluation.test_live import QUICK, play

OF_CLASSES = ("conditional_accuracy", "intra_fid", "intra_coverage")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short conditional run on digits, made once."""
    folder = tmp_path_factory.mktemp("conditional")
    play(folder / "run", "conditioning=projection", "evaluation=classifier", *QUICK, "evaluation.every=10",
         "evaluation.n_fake=400", "performance=plain", "latent=truncated")  # fmt: skip
    return folder / "run"


@pytest.fixture
def conditional(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def test_a_conditional_run_is_measured_by_class_on_the_way_and_again(gantrain_eval: Command, conditional: Path) -> None:
    lines = [line for line in RunDirectory(conditional).metrics() if any("intra_fid" in name for name in line)]
    assert [line["step"] for line in lines] == [10, 20, 30]
    last = {name.split("/")[-1]: value for name, value in lines[-1].items()}
    outcome = gantrain_eval(f"run={conditional}", "json=true")
    assert outcome.exit_code == 0, outcome.err
    found = json.loads(outcome.out)
    for name in OF_CLASSES:
        assert found[name] == pytest.approx(last[name], rel=1e-6), name
    assert found["better"]["intra_fid"] == "lowest" and 0 <= found["conditional_accuracy"] <= 1


def test_classes_too_small_to_be_measured_are_said_once(gantrain_eval: Command, conditional: Path) -> None:
    outcome = gantrain_eval(f"run={conditional}", "json=true", "evaluation.n_fake=150")
    assert outcome.exit_code == 0, outcome.err
    assert outcome.err.count("of 10 classes have fewer than 20") == 1 and "evaluation.n_fake" in outcome.err


def test_the_ways_between_samples_stay_within_a_class() -> None:
    labels = torch.tensor([0, 0, 0, 2, 3, 3])
    assert ways(labels, 6, 4) == [(0, 1), (1, 0), (4, 5), (5, 4)]
    assert ways(labels, 6, 2) == [(0, 1), (1, 0)]
    assert ways(None, 6, 3) == [(0, 1), (1, 2), (2, 0)]
    with pytest.raises(ConfigError, match="two of a class"):
        ways(torch.arange(4), 4, 8)


def test_labels_are_as_many_as_the_batch_of_each_player() -> None:
    trainer = built("data=digits", "conditioning=projection", "batch_size=8", "batch_size_g=12", "device=cpu",
                    "architecture.generator.width=4", "architecture.discriminator.width=4",
                    "total_steps=4").trainer  # fmt: skip
    seen: dict[str, list[tuple[int, int]]] = {"g": [], "d": []}
    for name, net in (("g", trainer.g.net), ("d", trainer.d.net)):
        net.register_forward_pre_hook(lambda net, given, name=name: seen[name].append(tuple(map(len, given))))
    trainer.one_forward = False
    trainer.play()
    assert seen == {"g": [(8, 8), (12, 12)], "d": [(8, 8), (8, 8), (12, 12)]}


def test_an_unconditional_run_is_not_measured_by_class(gantrain_eval: Command, run: Path) -> None:
    outcome = gantrain_eval(f"run={run}", "json=true")
    assert outcome.exit_code == 0, outcome.err
    assert not set(OF_CLASSES) & json.loads(outcome.out).keys()


def test_its_grids_have_one_class_a_row(conditional: Path) -> None:
    with Image.open(conditional / "samples" / "step-000000030.png") as grid:
        # Ten rows of seven images of 8 pixels, enlarged four times, 2 pixels between them.
        assert grid.size == (7 * 34 + 2, 10 * 34 + 2)


def test_sample_draws_the_classes_asked_for(gantrain_sample: Command, conditional: Path) -> None:
    outcome = gantrain_sample(f"run={conditional}", "n=6", "classes=[5,3]", "out=drawn")
    assert outcome.exit_code == 0 and "unconditional" not in outcome.err, outcome.err
    arrays = np.load("drawn/samples.npz")
    assert arrays["labels"].tolist() == [3, 3, 3, 5, 5, 5] and abs(arrays["latents"]).max() <= 2
    trained = Trained.open(conditional)
    net = trained.generator("ema", torch.device("cpu"))
    expected = torch.cat(list(samples_of(net, torch.from_numpy(arrays["latents"]), torch.tensor([3] * 3 + [5] * 3))))
    assert ((expected + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy().tolist() == arrays["images"].tolist()
    with Image.open("drawn/grid.png") as grid:
        assert grid.size == (3 * 34 + 2, 2 * 34 + 2)
    assert gantrain_sample(f"run={conditional}", "n=3").exit_code == 0
    (made,) = (conditional / "generated").iterdir()
    assert made.name == "step-000000030-ema-n3-seed0"  # a thousand classes would make a name that no disk takes
    assert gantrain_sample(f"run={conditional}", "n=20", "out=all").exit_code == 0
    assert np.load("all/samples.npz")["labels"].tolist() == [k for k in range(10) for _ in range(2)]
    refused = gantrain_sample(f"run={conditional}", "classes=[10]", "out=none")
    assert refused.exit_code == 2 and "there are 0 to 9" in refused.err


def test_an_export_draws_the_classes_asked_for(gantrain_export: Command, conditional: Path) -> None:
    import onnxruntime

    assert gantrain_export(f"run={conditional}", "onnx=true", "out=exported").exit_code == 0
    generator = package.load("exported")
    three = generator.sample(4, seed=1, classes=[3])
    z, labels = generator.inputs.fixed(4, 1, classes=[3])
    assert labels is not None and labels.tolist() == [3] * 4 and z.abs().max() <= 2  # the run's own latent
    torch.testing.assert_close(three, generator(z, labels))
    assert not torch.allclose(three, generator.sample(4, seed=1, classes=[4]))
    assert generator.sample(4, seed=1).shape == (4, 1, 8, 8)
    session = onnxruntime.InferenceSession("exported/generator.onnx")
    (found,) = session.run(["samples"], {"latents": z.numpy(), "labels": labels.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), three, rtol=1e-4, atol=1e-4)
    with pytest.raises(ConfigError, match="there are 0 to 9"):
        generator.sample(4, classes=[10])


def test_an_unconditional_export_takes_no_classes(gantrain_export: Command, run: Path) -> None:
    assert gantrain_export(f"run={run}", "out=exported").exit_code == 0
    with pytest.raises(ConfigError, match="unconditional"):
        package.load("exported").sample(4, classes=[1])


def block(beginning: str) -> str:
    """The code block of docs/conditional.md that begins so."""
    blocks = re.findall(r"```\w+\n(.*?)```", (REPOSITORY / "docs" / "conditional.md").read_text(), flags=re.DOTALL)
    (found,) = (text for text in blocks if text.startswith(beginning))
    return str(found)


@pytest.mark.thorough
def test_the_example_of_networks_of_your_own_trains_draws_and_is_measured_as_it_stands_in_the_docs(
    gantrain: Command, gantrain_sample: Command, tmp_path: Path
) -> None:
    Path("my_networks.py").write_text(block("import torch"))
    Path("mine/architecture").mkdir(parents=True)
    Path("mine/architecture/my_networks.yaml").write_text(block("# mine/architecture/my_networks.yaml"))
    _, *command = shlex.split(block("gantrain --config-dir mine").replace("\\\n", " "))
    shortened = ("total_steps=20", "run.dir=run", "evaluation.n_fake=200", "log.every=10")
    outcome = gantrain(*command, *shortened)
    assert outcome.exit_code == 0, outcome.err
    lines = RunDirectory(tmp_path / "run").metrics()
    assert any("conditional_acc" in k for line in lines for k in line) and any("d/mine" in line for line in lines)
    drawn = gantrain_sample("run=run", "classes=[2]", "n=5", "out=drawn", "trusted_modules=[my_networks]")
    assert drawn.exit_code == 0 and np.load("drawn/samples.npz")["labels"].tolist() == [2] * 5, drawn.err
    sys.modules.pop("my_networks", None)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data=digits", "conditioning=projection", "architecture=autoencoder", "loss=began"), "takes no conditioning"),
        (
            ("data=stacked_digits", "conditioning=acgan"),
            "needs data with two classes or more, and these have no labels",
        ),
        (("data=digits", "conditioning=projection", "loss=mmd"), "one score a sample, not 16; use conditioning=concat"),
        (("data=digits", "conditioning=acgan", "conditioning.discriminator=projection"), "needs a discriminator that"),
        (("data=digits", "conditioning=adcgan", "conditioning.discriminator=classifier"), "needs 20 logits for 10"),
        (
            ("data=digits", "conditioning=multi_hinge", "conditioning.discriminator=classifier"),
            "needs 11 logits for 10",
        ),
        (("data=ring", "conditioning.discriminator=projection"), "both networks must be told the class, or none"),
        (("data=ring", "conditioning=acgan", "conditioning.generator=none"), "both networks must be told the class"),
        (("data=digits", "evaluation.best=intra_fid"), "is measured on conditional generators only"),
        (("data=ring", "latent=truncated", "latent.limit=null"), "latent.limit must be above 0, got None"),
        (("data=ring", "conditioning=projection", "conditioning.generator=batch_norm"), "needs batch norm in G"),
        (("data=ring", "conditioning=projection", "conditioning.discriminator=acgan"), "must be one of none, concat"),
        (("data=digits", "latent=uniform", "evaluation.truncation=0.5"), "latent=uniform has none"),
    ],
)
def test_what_cannot_be_conditional_is_refused_in_a_sentence(
    gantrain: Command, overrides: tuple[str, ...], message: str
) -> None:
    outcome = gantrain(*overrides, "run.dir=run", "total_steps=5")
    said = [line for line in outcome.err.splitlines() if "training a classifier" not in line]  # once, for all tests
    assert outcome.exit_code == 2 and len(said) == 1 and message in said[0], outcome.err
    assert not Path("run").exists()
