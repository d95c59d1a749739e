"""``gantrain-export`` and ``gantrain.load``: a generator that leaves its run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_module
from torch import nn

import gantrain as package
from gantrain.build import build_generator
from gantrain.errors import CheckpointError, ConfigError
from gantrain.export import to_onnx
from gantrain.inputs import Normal
from gantrain.sampling import samples_of
from gantrain.trained import Trained
from tests.commands.conftest import Command


def test_an_exported_generator_loads_in_two_lines_and_draws_the_same(gantrain_export: Command, run: Path) -> None:
    outcome = gantrain_export(f"run={run}")
    assert outcome.exit_code == 0 and "gantrain.load(" in outcome.out, outcome.err
    generator = package.load(run / "export")
    samples = generator.sample(5, seed=3)
    assert samples.shape == (5, 1, 8, 8) and not generator.training and samples.abs().max() <= 1
    net = Trained.open(run).generator("ema", torch.device("cpu"))
    assert torch.equal(samples, torch.cat(list(samples_of(net, Normal(generator.latent_dim).fixed(5, 3)))))
    assert torch.equal(
        generator(Normal(generator.latent_dim).fixed(2, 3)), net(Normal(generator.latent_dim).fixed(2, 3), None)
    )
    told = json.loads((run / "export/config.json").read_text())
    assert told["step"] == 30 and told["shape"] == [1, 8, 8] and told["value_range"] == [-1, 1]
    assert "fid" in told["evaluation"]["values"] and told["evaluation"]["protocol"]["generator"] == "ema"
    assert sorted(p.name for p in (run / "export").iterdir()) == [
        "README.md",
        "config.json",
        "generator.safetensors",
    ]


def test_the_onnx_file_computes_the_same_for_any_number_of_latents(gantrain_export: Command, run: Path) -> None:
    import onnxruntime

    outcome = gantrain_export(f"run={run}", "onnx=true", "generator=raw", "out=exported")
    assert outcome.exit_code == 0, outcome.err
    session = onnxruntime.InferenceSession("exported/generator.onnx")
    generator = package.load("exported")
    for n in (1, 7):
        z = Normal(generator.latent_dim).fixed(n, n)
        (found,) = session.run(["samples"], {"latents": z.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), generator(z), rtol=1e-4, atol=1e-4)


NARROW = {
    "sagan": ["architecture.generator.width=8"],
    "biggan": ["architecture.generator.width=8"],
    "biggan_deep": ["architecture.generator.width=8", "architecture.generator.shared_dim=4"],
    "r3gan": ["architecture.generator.width=8", "architecture.generator.groups=2"],
    "stylegan2": ["architecture.generator.channel_max=8", "architecture.generator.w_dim=8"],
}
OTHERS = sorted(NARROW.keys() - {"stylegan2"})


@pytest.mark.parametrize("family", [*(pytest.param(f, marks=pytest.mark.thorough) for f in OTHERS), "stylegan2"])
def test_the_onnx_file_of_every_family_takes_any_number_of_latents_and_labels(family: str, tmp_path: Path) -> None:
    import onnxruntime

    with initialize_config_module("gantrain.configs", version_base="1.3"):
        cfg = compose("train", ["conditioning=projection", f"architecture={family}", *NARROW[family]])
    net = build_generator(cfg, (1, 8, 8), 10, torch.device("cpu")).eval()
    trained = SimpleNamespace(generator=lambda *_: net, latent_dim=cfg.architecture.latent_dim)
    to_onnx(trained, "raw", tmp_path / "generator.onnx")  # type: ignore[arg-type]
    session = onnxruntime.InferenceSession(tmp_path / "generator.onnx")
    for n in (1, 5):
        z, labels = torch.randn(n, trained.latent_dim), torch.arange(n)
        (found,) = session.run(["samples"], {"latents": z.numpy(), "labels": labels.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), net(z, labels).detach(), rtol=1e-4, atol=1e-4)


class OneNumberOnly(nn.Module):
    conditional = False

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.ones(3))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.start.expand(len(z), -1) * z


def test_a_generator_that_torch_fixes_to_one_number_of_samples_is_refused(tmp_path: Path) -> None:
    trained = SimpleNamespace(generator=lambda *_: OneNumberOnly().eval(), latent_dim=3)
    with pytest.raises(ConfigError, match=r"one number of samples alone; .* z\.shape\[0\]"):
        to_onnx(trained, "raw", tmp_path / "generator.onnx")  # type: ignore[arg-type]


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
