"""A public state dict becomes a folder that gantrain loads, and a wrong one a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import gantrain
from gantrain.errors import ConfigError
from scripts.weights import to_export as command
from scripts.weights.to_export import FAMILIES, to_export
from tests.weights.test_r3gan import CLASSES, LATENT, SIZES, generate, their_generator

OPTIONS = [
    "data=cifar10",
    "architecture=r3gan",
    "conditioning=projection",
    f"architecture.latent_dim={LATENT}",
    *(f"architecture.generator.{key}={n}" for key, n in {"width": 8, "groups": 4}.items()),
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "G.pth"
    torch.save({f"Model.{name}": tensor for name, tensor in their_generator(SIZES[16], True).items()}, path)
    return path


def test_a_public_generator_is_written_as_an_export(state: Path, tmp_path: Path) -> None:
    to_export("r3gan", state, tmp_path / "out", (3, 16, 16), CLASSES, OPTIONS)
    generator = gantrain.load(tmp_path / "out")
    z, labels = torch.randn(3, LATENT), torch.tensor([0, 3, 1])
    torch.testing.assert_close(generator(z, labels), generate(their_generator_of(state), 3, z, labels))
    assert generator.sample(4, classes=[2]).shape == (4, 3, 16, 16)
    assert "r3gan" in FAMILIES and "to_export" not in FAMILIES


def their_generator_of(state: Path) -> dict[str, torch.Tensor]:
    stored = torch.load(state, weights_only=True)
    return {name.removeprefix("Model."): tensor for name, tensor in stored.items()}


@pytest.mark.parametrize(
    "options",
    [
        ["architecture.generator.width=16"],
        ["architecture.generator.blocks=1"],
        ["conditioning=none"],
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_is_written(
    state: Path, tmp_path: Path, options: list[str]
) -> None:
    with pytest.raises(ConfigError, match="no weights of this r3gan"):
        to_export("r3gan", state, tmp_path / "out", (3, 16, 16), CLASSES, [*OPTIONS, *options])
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_state_dict_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"network.pth": nn.Linear(2, 2), "list.pth": [1, 2], "tensors.pth": {"a": torch.ones(2)}}
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text.pth").write_text("no tensors")
    for name in (*files, "text.pth", "missing.pth"):
        path = tmp_path / name
        monkeypatch.setattr("sys.argv", ["to_export", "r3gan", str(path), str(tmp_path / "out"), *OPTIONS])
        with pytest.raises(SystemExit) as ended:
            command.main()
        assert isinstance(ended.value.code, str) and str(path) in ended.value.code
        assert name == "missing.pth" or "state dict" in ended.value.code or "no tensor" in ended.value.code
        assert "weights_only" not in ended.value.code  # torch advises to run what a stranger's pickle says
        assert not (tmp_path / "out").exists()


def test_weights_that_do_not_fit_are_named_and_so_is_an_option_that_there_is_not(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"size mismatch for layers\.0\.maps"):
        to_export("r3gan", state, tmp_path / "out", (3, 16, 16), CLASSES, [*OPTIONS, "architecture.generator.width=16"])
    for options in (["architecture=nothing"], ["--clases", "3"]):
        monkeypatch.setattr("sys.argv", ["to_export", "r3gan", str(state), str(tmp_path / "out"), *options])
        with pytest.raises(SystemExit) as ended:
            command.main()
        assert isinstance(ended.value.code, str) and options[0] in ended.value.code
