"""Sounds from the first step to samples that can be heard, and trained on again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.io import wavfile

import gantrain as package
from tests.commands.conftest import Command
from tests.commands.test_signals import MEASURED, SMALL


def sounds(folder: Path) -> tuple[str, ...]:
    time = np.arange(300) / 8000
    for k in range(120):
        (folder / "wav" / f"{k % 2}").mkdir(parents=True, exist_ok=True)
        tone = 0.8 * np.sin(2 * np.pi * (500 + 1000 * (k % 2)) * time + k)
        wavfile.write(folder / "wav" / f"{k % 2}" / f"{k}.wav", 8000, np.rint(tone * 2**15).astype(np.int16))
    return ("data=audio_folder", "data.root=wav", "data.rate=8000", "data.length=256", *SMALL)


def test_sounds_are_trained_on_measured_and_written_as_wav(
    gantrain: Command, gantrain_sample: Command, gantrain_export: Command, tmp_path: Path
) -> None:
    mine = sounds(tmp_path)
    outcome = gantrain(*mine, *MEASURED, "conditioning=concat", "total_steps=20", "run.dir=run")
    assert outcome.exit_code == 0 and "120 sounds of 256 numbers at 8,000 Hz, 2 classes" in outcome.out, outcome.err
    assert "memorised" in json.loads(Path("run/evaluation.json").read_text())["final"]
    assert gantrain_sample("run=run", "n=40", "out=o", "save=[files,npz]").exit_code == 0
    rate, sound = wavfile.read("o/files/00003.wav")
    assert (rate, sound.dtype, sound.shape) == (8000, np.int16, (256,))
    drawn = np.load("o/samples.npz")["signals"][3, 0]
    assert np.abs(sound / 2**15 - drawn).max() <= 2**-15
    again = ("data=audio_folder", "data.root=o/files", "data.rate=8000", "data.length=256")
    assert gantrain(*again, *SMALL, "total_steps=2", "run.dir=second").exit_code == 0
    assert gantrain_export("run=run", "out=x").exit_code == 0
    loaded = package.load("x")
    assert loaded.units is not None and loaded.units.rate == 8000


def test_a_setting_that_does_not_suit_the_files_is_one_line(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain(*sounds(tmp_path), "data.rate=16000", "data.resample=false", "run.dir=run")
    assert outcome.exit_code == 3 and "has 8,000 Hz; use data.resample=true" in outcome.err
    assert "Traceback" not in outcome.err and not Path("run").exists()


def test_a_sound_that_cannot_be_read_may_be_left_out_and_stands_in_the_run_s_list(
    gantrain: Command, tmp_path: Path
) -> None:
    mine = (*sounds(tmp_path), "evaluation=none", "total_steps=2", "run.dir=run")
    (tmp_path / "wav" / "1" / "3.wav").write_bytes(b"RIFF")
    refused = gantrain(*mine)
    assert refused.exit_code == 3 and "3.wav cannot be read as WAV" in refused.err and not Path("run").exists()
    outcome = gantrain(*mine, "data.on_bad=skip")
    assert outcome.exit_code == 0 and "119 sounds" in outcome.out, outcome.err
    (line,) = Path("run/skipped_images.txt").read_text().splitlines()
    assert "3.wav" in line and json.loads(Path("run/status.json").read_text())["counters"]["skipped_images"] == 1
