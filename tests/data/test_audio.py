"""Folders of WAV files: every format, rate, number of channels and length, and what is refused."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from gantrain.data import AudioFolder, memory
from gantrain.errors import ConfigError, DataError, GantrainError
from gantrain.kinds import Signals

CPU = torch.device("cpu")
RAMP = np.linspace(-0.9, 0.9, 8)


def folder(root: Path, **settings: Any) -> AudioFolder:
    plain = {"length": 8, "rate": 8000, "resample": True, "mix": True, "cut": "middle"}
    return AudioFolder(str(root), **plain | settings)


def write(path: Path, sound: Any, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, np.asarray(sound))


def write_24(path: Path, sound: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1), file.setsampwidth(3), file.setframerate(8000)
        file.writeframes(b"".join(round(x * 2**23).to_bytes(3, "little", signed=True) for x in sound))


@pytest.mark.parametrize(
    ("form", "step"), [("u8", 2**-7), ("i16", 2**-15), ("24", 2**-23), ("i32", 2**-24), ("f32", 2**-24), ("f64", 1e-7)]
)
def test_every_format_is_read_to_half_a_step(tmp_path: Path, form: str, step: float) -> None:
    path = tmp_path / "a.WAV"
    arrays = {
        "u8": np.rint(RAMP * 128 + 128).astype(np.uint8), "i16": np.rint(RAMP * 2**15).astype(np.int16),
        "i32": np.rint(RAMP * 2**31).astype(np.int32), "f32": RAMP.astype(np.float32), "f64": RAMP,
    }  # fmt: skip
    write_24(path, RAMP) if form == "24" else write(path, arrays[form])
    data = folder(tmp_path)
    assert (data.shape, data.count, data.kind.name) == ((1, 8), 1, "signals")
    assert np.abs(data.at([0])[0, 0].numpy() - RAMP).max() <= 0.51 * step + 6e-8


def test_folders_are_classes_and_what_is_no_wav_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k, name in enumerate(("take 10", "take 9", "take 9/deeper")):
        write(tmp_path / name / f"{k}.wav", np.full(8, k / 4))
    (tmp_path / "take 9" / "notes.txt").write_text("x")
    data = folder(tmp_path)
    assert data.class_names == ("take 9", "take 10") and data.labels is not None and data.labels.tolist() == [0, 0, 1]
    assert data.at(range(3))[:, 0, 0].tolist() == [0.25, 0.5, 0]
    assert "holds more than WAV files; passed over: 1 .txt file" in capsys.readouterr().err


def test_longer_sounds_are_cut_and_shorter_ones_end_in_silence(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.arange(12, dtype=np.float32) / 16)
    write(tmp_path / "b.wav", np.full(3, 0.5, dtype=np.float32))
    middle, first = (folder(tmp_path, cut=cut).at([0, 1])[:, 0] * 16 for cut in ("middle", "first"))
    assert middle[0].tolist() == list(range(2, 10)) and first[0].tolist() == list(range(8))
    assert middle[1].tolist() == first[1].tolist() == [8, 8, 8, 0, 0, 0, 0, 0]


def test_another_rate_keeps_the_pitch_and_channels_are_mixed_to_their_mean(tmp_path: Path) -> None:
    time = np.arange(4410) / 44100
    left, right = 0.8 * np.sin(2 * np.pi * 1000 * time), 0.4 * np.sin(2 * np.pi * 1000 * time)
    write(tmp_path / "a.wav", np.stack([left, right], 1).astype(np.float32), 44100)
    data = folder(tmp_path, length=800)
    spectrum = torch.fft.rfft(data.at([0])[0, 0]).abs() / 400  # 800 numbers at 8 kHz are 0.1 s: bins of 10 Hz
    assert int(spectrum.argmax()) == 100 and spectrum.max().item() == pytest.approx(0.6, abs=0.02)


def test_batches_are_a_function_of_seed_and_position(tmp_path: Path) -> None:
    for k in range(6):
        write(tmp_path / "ab"[k % 2] / f"{k}.wav", np.full(8, k / 8))
    data = folder(tmp_path)
    stream, again = data.stream(2, 1, CPU), data.stream(2, 1, CPU)
    batches = [stream.next() for _ in range(3)]
    assert sorted(float(x) * 8 for signals, _ in batches for x in signals[:, 0, 0]) == list(range(6))
    again.load_state_dict({"position": 2})
    signals, labels = again.next()
    assert torch.equal(signals, batches[2][0]) and labels is not None
    assert torch.equal(labels, (signals[:, 0, 0] * 8).long() % 2)


def test_samples_are_written_as_sounds_that_can_be_read_again(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.wav", RAMP.astype(np.float32))
    data = folder(tmp_path / "in")
    assert Signals().write_files(torch.cat([data.at([0]), torch.full((1, 1, 8), 1.5)]), tmp_path, data.units)
    again = folder(tmp_path / "files")
    assert (again.at([0]) - data.at([0])).abs().max() <= 2**-16 and again.at([1]).min() == 1 - 2**-15
    assert wavfile.read(tmp_path / "files" / "00000.wav")[0] == 8000 and not (tmp_path / "signals.npy").exists()


@pytest.mark.parametrize(
    ("sound", "settings", "words"),
    [
        (np.zeros((8, 2), np.float32), {"mix": False}, "has 2 channels; data.mix=true takes their mean"),
        (np.zeros(8, np.float32), {"resample": False, "rate": 16000}, "has 8,000 Hz; use data.resample=true, or data"),
        (np.full(8, 1.5, np.float32), {}, "has numbers that are not finite or beyond -1 and 1"),
        (np.full(8, np.nan, np.float32), {}, "has numbers that are not finite or beyond -1 and 1"),
        (np.zeros(0, np.float32), {}, "holds no sound"),
        (b"RIFF1234WAVEfmt ", {}, "cannot be read as WAV"),
        (b"no sound at all", {}, "cannot be read as WAV"),
        (b"", {}, "cannot be read as WAV"),
    ],
)
def test_a_file_that_does_not_suit_is_refused_by_its_name(
    tmp_path: Path, sound: Any, settings: dict[str, Any], words: str
) -> None:
    (tmp_path / "a.wav").write_bytes(sound) if isinstance(sound, bytes) else write(tmp_path / "a.wav", sound)
    with pytest.raises(DataError) as refused:
        folder(tmp_path, **settings)
    assert words in str(refused.value) and "a.wav" in str(refused.value) and "\n" not in str(refused.value)


def test_a_rate_that_cannot_be_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.zeros(8, np.int16), 2**31 - 1)
    with pytest.raises(DataError, match=r"a\.wav names a rate of 2,147,483,647 Hz"):
        folder(tmp_path)


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.zeros(1000, np.int16))
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.wav cannot be read as WAV"):
        folder(tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"length": 0}, "data.length must be a whole number above 0"),
        ({"rate": 8000.5}, "data.rate must be a whole number above 0"),
        ({"mix": "yes"}, "data.mix must be true or false"),
        ({"resample": None}, "data.resample must be true or false"),
        ({"cut": "last"}, "data.cut must be middle or first"),
    ],
)
def test_senseless_settings_are_refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    write(tmp_path / "a.wav", np.zeros(8, np.float32))
    with pytest.raises(ConfigError) as refused:
        folder(tmp_path, **settings)
    assert words in str(refused.value)


def test_folders_without_sound_and_too_much_of_it_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"holds no WAV files \(\.wav, \.wave\)"):
        folder(tmp_path)
    write(tmp_path / "a.wav", np.zeros(8, np.float32))
    monkeypatch.setattr(memory, "limit", lambda: 4 * 4 * 8 - 1)
    with pytest.raises(GantrainError, match=r"more than a quarter of the memory; use a smaller data\.length"):
        folder(tmp_path)


def many(root: Path) -> Path:
    """120 sounds of two classes, each of its own number."""
    for k in range(120):
        write(root / ("cat" if k % 40 else "dog") / f"{k:03}.wav", np.full(8, k / 200))
    return root


def test_sounds_that_cannot_be_read_are_left_out_and_listed_if_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = folder(many(tmp_path))
    (tmp_path / "cat" / "007.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"007\.wav cannot be read as WAV"):
        folder(tmp_path)
    data = folder(tmp_path, on_bad="skip")
    assert data.count == 119 and data.classes == 2 and len(data.skipped) == 1 and "007.wav" in data.skipped[0]
    assert "1 of 120 sounds are left out; the first:" in capsys.readouterr().err
    stay = [k for k in range(120) if not torch.isclose(whole.at([k])[0, 0, 0], torch.tensor(7 / 200))]
    assert torch.equal(data.at(range(119)), whole.at(stay)) and whole.labels is not None
    assert data.labels is not None and torch.equal(data.labels, whole.labels[stay])
    assert data.identity() != whole.identity()


def test_too_many_sounds_or_a_whole_class_are_not_left_out(tmp_path: Path) -> None:
    many(tmp_path)
    for k in (7, 8):
        (tmp_path / "cat" / f"{k:03}.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"2 of 120 sounds cannot be read, more than data\.skip_limit=0\.01 of them"):
        folder(tmp_path, on_bad="skip")
    assert folder(tmp_path, on_bad="skip", skip_limit=0.02).count == 118
    for k in (0, 40, 80):
        (tmp_path / "dog" / f"{k:03}.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match="no sound of the class dog can be read"):
        folder(tmp_path, on_bad="skip", skip_limit=0.5)


@pytest.mark.parametrize("settings", [{"on_bad": "ignore"}, {"skip_limit": 1}, {"skip_limit": "all"}])
def test_senseless_settings_for_bad_sounds_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"data\.{next(iter(settings))} must be"):
        folder(many(tmp_path), **settings)
