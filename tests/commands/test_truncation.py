"""Truncation of a generator that truncates its w: in samples, in measurements and in an export alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import gantrain as package
from gantrain.sampling import samples_of
from gantrain.trained import Trained
from tests.commands.conftest import Command
from tests.evaluation.test_live import QUICK, play

STYLES = ("architecture=stylegan2", "architecture.latent_dim=4", "architecture.generator.w_dim=4",
          "architecture.generator.channel_max=4")  # fmt: skip


@pytest.fixture(scope="module")
def of_styles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("styles") / "run"
    play(folder, "evaluation=pixels", *QUICK, "evaluation.every=30", "evaluation.truncation=0.5", small=STYLES)
    return folder


def drawn(net: nn.Module, z: torch.Tensor, psi: float) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([net.truncated(batch, None, psi) for batch in z.split(8)])


def test_samples_are_truncated_in_w_and_their_latents_stay_whole(
    gantrain_sample: Command, of_styles: Path, tmp_path: Path
) -> None:
    for name, truncation in (("cut", "0.5"), ("whole", "null")):
        outcome = gantrain_sample(f"run={of_styles}", "n=12", f"truncation={truncation}", f"out={tmp_path / name}")
        assert outcome.exit_code == 0, outcome.err
    cut, whole = (np.load(tmp_path / name / "samples.npz") for name in ("cut", "whole"))
    assert (cut["latents"] == whole["latents"]).all() and abs(cut["latents"]).max() > 0.5
    net = Trained.open(of_styles).generator("ema", torch.device("cpu"))
    assert net.average.any()  # it came with the checkpoint
    expected = drawn(net, torch.from_numpy(cut["latents"]), 0.5)
    pixels = ((expected + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    assert abs(pixels.astype(int) - cut["images"]).max() <= 1
    assert cut["images"].std(0).mean() < 0.9 * whole["images"].std(0).mean()


def test_an_export_truncates_in_w(gantrain_export: Command, of_styles: Path, tmp_path: Path) -> None:
    assert gantrain_export(f"run={of_styles}", f"out={tmp_path / 'export'}").exit_code == 0
    generator = package.load(tmp_path / "export")
    z = generator.inputs.fixed(6, 3).z
    torch.testing.assert_close(generator.sample(6, seed=3, truncation=0.3), drawn(generator.net, z, 0.3))
    torch.testing.assert_close(generator.sample(6, seed=3), torch.cat(list(samples_of(generator.net, z))))


def test_a_training_and_gantrain_eval_measure_truncated_samples(gantrain_eval: Command, of_styles: Path) -> None:
    final = json.loads((of_styles / "evaluation.json").read_text())["final"]
    name = next(name for name, value in final.items() if name != "step" and value > 0)
    found = {}
    for truncation in ("0.5", "null"):
        outcome = gantrain_eval(f"run={of_styles}", f"evaluation.truncation={truncation}", "json=true")
        assert outcome.exit_code == 0, outcome.err
        found[truncation] = json.loads(outcome.out)
    assert found["0.5"][name] == pytest.approx(final[name], rel=1e-3)
    assert found["null"][name] != pytest.approx(final[name], rel=1e-2)
    assert "truncation 0.5" in found["0.5"]["described"]
