"""``gantrain help WORD`` tells what a word means, without torch and without Hydra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gantrain.cli import help
from tests.conftest import GUARD, Outcome


def asked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> Outcome:
    monkeypatch.setattr(sys, "argv", ["gantrain", "help", *words])
    capsys.readouterr()
    with pytest.raises(SystemExit) as leaving:
        help.main()
    captured = capsys.readouterr()
    return Outcome(int(leaving.value.code or 0), captured.out, captured.err)


EXPECTED = {
    "ema.halflife_images": ["default  10000", "type     number, 0 or more", "half-life of the averaged"],
    "optimizer.g.lr": ["default  2.0e-4", "alpha, G's learning rate", "Radford et al. 2016", "rmsprop_r1, ttur"],
    "loss.regularizers.gp.weight": ["only the options below have it", "loss=wgan_gp  10.0  (lambda)"],
    "total_steps": ["default  5000", "1 or more", "data=circles, gaussians, moons, ring", "command  gantrain-theory"],
    "frames": ["command  gantrain-sample", "default  12"],
    "loss": ["what each player minimises", "(default: vanilla)", "  hinge ", "gantrain help loss=NAME"],
    "regularizer": ["(default: [], none)"],
    "loss=wgan_gp": ["Gulrajani et al. 2017", "ratio=5to1", "gantrain.regularizers.GradientPenalty", "gp.weight=10.0"],
    "regularizer=[r1]": ["Mescheder et al. 2018", "loss.regularizers.r1.every=1"],
    "evaluation=waves": ["evaluation.slices=128", "evaluation.best=mode_kl"],
    "nonfinite": ["when a loss is NaN or infinite", "nonfinite.max_rollbacks=3"],
    "hydra.launcher.n_jobs": ["runs at once"],
    "": ["usage: gantrain help WORD"],
}  # fmt: skip


@pytest.mark.parametrize("word", EXPECTED)
def test_a_word_is_explained_within_80_columns(
    word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = asked(capsys, monkeypatch, *([word] if word else []))
    assert outcome.exit_code == 0 and not outcome.err
    plain = " ".join(outcome.out.split())
    for part in EXPECTED[word]:
        assert " ".join(part.split()) in plain, outcome.out
    assert all(len(line) <= 80 for line in outcome.out.splitlines())


WRONG = {
    "ema.halflive": "did you mean ema.halflife_images?",
    "halflife_images": "did you mean ema.halflife_images",
    "loss=wgan-gp": "did you mean loss=wgan_gp?",
    "wgan_gp": "did you mean loss=wgan_gp?",
    "loss=zzzzzz": "gantrain help loss lists the options",
    "learning rate": "or optimizer.g.lr?",
    "gpu": "did you mean device",
    "qqqqqqq": "gantrain --help lists all",
}


@pytest.mark.parametrize("word", WRONG)
def test_an_unknown_word_gets_one_line_with_a_suggestion(
    word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = asked(capsys, monkeypatch, word)
    assert outcome.exit_code == 2 and not outcome.out
    assert len(outcome.err.splitlines()) == 1 and WRONG[word] in outcome.err


def test_two_words_are_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = asked(capsys, monkeypatch, "loss", "data")
    assert outcome.exit_code == 2 and "one word" in outcome.err


@pytest.mark.parametrize("by", ["option", "variable"])
def test_groups_of_your_own_are_explained_too(
    by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text(
        "# Mine, of 2026.\ndefaults: [hinge, _self_]\nmargin: 2.0  # of scores\n"
    )
    if by == "variable":
        monkeypatch.setenv("GANTRAIN_CONFIGS", str(tmp_path))
    more = [f"--config-dir={tmp_path}"] if by == "option" else []
    outcome = asked(capsys, monkeypatch, "loss=mine", *more)
    assert "Mine, of 2026." in outcome.out and "loss.margin=2.0\n      of scores" in outcome.out
    assert "loss=mine  2.0" in asked(capsys, monkeypatch, "loss.margin", *more).out
    (tmp_path / "loss" / "mine.yaml").write_text("margin: [\n")
    broken = asked(capsys, monkeypatch, "loss=mine", *more)
    assert broken.exit_code == 2 and len(broken.err.splitlines()) == 1 and "is no YAML" in broken.err
    assert asked(capsys, monkeypatch, "loss", "--config-dir", "nowhere").exit_code == 2


def test_the_command_answers_without_torch() -> None:
    program = (
        "import sys; sys.argv[1:] = ['help', 'loss']; from gantrain.cli.train import main\n"
        "try: main()\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=GUARD,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert done.returncode == 0 and "wgan_gp" in done.stdout, done.stderr
