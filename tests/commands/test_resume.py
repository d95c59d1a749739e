"""Runs that an earlier version began: this one ends them as that one would have, to the last bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import REPOSITORY, Outcome

Command = Callable[..., Outcome]
BEFORE = REPOSITORY / "tests" / "fixtures" / "0.1.0-e344297"
"""Of each run, the folder that ``kill -9`` left, and what the same command made without a kill: by commit e344297."""
RUNS = {
    "ring": (
        "data=ring loss=wgan_gp regularizer=[lecam] schedule=linear evaluation=points evaluation.n_fake=200 "
        "evaluation.n_real=200 evaluation.n_w2=50 evaluation.slices=8 architecture.generator.width=4 "
        "architecture.discriminator.width=4 batch_size=16 total_steps=400 gradient_clip_norm=1 samples.count=4 "
        "device=cpu checkpoint.every=100 checkpoint.keep_last=2 log.every=50"
    ),
    "digits": (
        "data=digits loss=hinge regularizer=[r1] loss.regularizers.r1.every=3 augment=diffaug precision=bf16 "
        "evaluation=none architecture.latent_dim=4 architecture.generator.width=4 architecture.discriminator.width=4 "
        "architecture.discriminator.norm=spectral batch_size=8 total_steps=200 samples.count=4 device=cpu "
        "checkpoint.every=50 checkpoint.keep_last=2 log.every=25"
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_an_earlier_version_ends_as_it_would_have(name: str, gantrain: Command, tmp_path: Path) -> None:
    shutil.copytree(BEFORE / name / "killed", tmp_path / "run")
    outcome = gantrain(*RUNS[name].split(), "run.dir=run")
    assert outcome.exit_code == 0 and "resumed       from step" in outcome.out, outcome.err
    expected = json.loads((BEFORE / name / "whole" / "manifest.json").read_text())
    last = tmp_path / "run" / "checkpoints" / f"step-{expected['step']:09d}"
    ours = load_file(last / "state.safetensors")
    theirs = load_file(BEFORE / name / "whole" / "state.safetensors")
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}
    # Another processor or torch rounds otherwise, and training carries rounding far: there only the first line after
    # the resume is held, to what bfloat16 may change in some dozen steps. The runs were made by a processor with AMX,
    # and do not say so.
    if "same torch, threads, device and data" in outcome.out and torch.cpu._is_amx_tile_supported():
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    before, after = (lines(path / "metrics.jsonl") for path in (BEFORE / name / "whole", tmp_path / "run"))
    resumed = json.loads((next((BEFORE / name / "killed" / "checkpoints").iterdir()) / "manifest.json").read_text())
    # The tags of an evaluation hold the hash of its protocol, which must not have changed. G's only term is its whole
    # loss, and is no longer logged beside it; nor is the KL of modes that no sample is near.
    without = {"g/adversarial", *(key for found in before.values() for key in found if key.endswith("/mode_kl"))}
    tags = [{step: found.keys() - without for step, found in run.items()} for run in (before, after)]
    assert tags[0] == tags[1]
    for step, found in after.items():
        near = {key.partition("/")[0] for key, value in found.items() if key.endswith("/high_quality") and value > 0}
        if step > resumed["step"]:
            assert {key.partition("/")[0] for key in found if key.endswith("/mode_kl")} == near
    assert all(
        ("g/adversarial" in after[step]) == (step <= resumed["step"]) for step in after if "d/loss" in after[step]
    )
    first = min(step for step in before if step > resumed["step"])
    assert after[first]["d/loss"] == pytest.approx(before[first]["d/loss"], rel=0.2, abs=0.05)


def lines(path: Path) -> dict[int, dict[str, float]]:
    """The values by step, those of an evaluation beside those of the training."""
    found: dict[int, dict[str, float]] = {}
    for line in map(json.loads, path.read_text().splitlines()):
        found.setdefault(line["step"], {}).update(line)
    return found
