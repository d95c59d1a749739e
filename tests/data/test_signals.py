"""Sine waves, and signals from a file: what is read, how it is scaled, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gantrain.data import SignalFile, Sines, memory
from gantrain.errors import ConfigError, DataError

CPU = torch.device("cpu")


def sines(**settings: Any) -> Sines:
    return Sines(**{"frequencies": [1, 2, 4, 8], "length": 64, "amplitude": [0.4, 0.9], "noise": 0.02} | settings)


def test_the_spectrum_of_a_sine_has_its_peak_at_the_frequency_of_its_class() -> None:
    data = sines()
    signals, labels = data.stream(500, 0, CPU).next()
    assert signals.shape == (500, 1, 64) and signals.dtype == torch.float32 and signals.abs().max() <= 1
    spectrum = torch.fft.rfft(signals[:, 0]).abs()
    peaks = spectrum.argmax(1)
    assert labels is not None and torch.equal(peaks, torch.tensor([1, 2, 4, 8])[labels])
    amplitude = spectrum.amax(1) / 32
    assert 0.38 < amplitude.min() < 0.42 and 0.88 < amplitude.max() < 0.92
    rest = signals[:, 0].square().sum(1) - amplitude.square() * 32
    assert rest.mean().div(62).sqrt() == pytest.approx(0.02, rel=0.05)  # 64 numbers less two of the wave's plane
    phase = torch.fft.rfft(signals[:, 0]).angle()[torch.arange(500), peaks]
    assert phase.cos().mean().abs() < 0.15 and phase.sin().mean().abs() < 0.15


def test_a_batch_of_sines_is_a_function_of_seed_and_position() -> None:
    first, second = sines().stream(8, 3, CPU), sines().stream(8, 3, CPU)
    first.next()
    second.load_state_dict({"position": 1})
    for a, b in zip(first.next(), second.next(), strict=True):
        assert a is not None and b is not None and torch.equal(a, b)
    assert not torch.equal(sines().stream(8, 4, CPU).next()[0], sines().stream(8, 3, CPU).next()[0])


def test_sines_name_their_classes_and_their_settings_are_their_identity() -> None:
    assert sines().class_names == ("cycles_1", "cycles_2", "cycles_4", "cycles_8") and sines().shares() == [0.25] * 4
    texts = [sines(**change).identity() for change in ({}, {"frequencies": [1]}, {"length": 65}, {"noise": 0.0})]
    assert len({*texts, sines(amplitude=[0.4, 0.8]).identity()}) == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frequencies": []}, "data.frequencies must be"),
        ({"frequencies": [1, 17]}, "at most a quarter of data.length=64"),
        ({"frequencies": [2, 2]}, "different"),
        ({"frequencies": ["a"]}, "data.frequencies must be"),
        ({"amplitude": [0.9, 0.4]}, "the smaller first"),
        ({"amplitude": [0.5, 1.5]}, "in (0, 1]"),
        ({"noise": -1}, "data.noise must be 0 or more"),
    ],
)
def test_sines_that_cannot_be_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        sines(**change)
    assert words in str(refused.value)


def saved(path: Path, array: Any, **how: Any) -> str:
    np.save(path, array, **how)
    return str(path)


def signal_file(root: str, **settings: Any) -> SignalFile:
    return SignalFile(root, **{"labels": None, "scale": False, "in_memory": None} | settings)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_file_gives_each_signal_once_an_epoch(tmp_path: Path, dtype: str, in_memory: bool) -> None:
    array = np.linspace(-1, 1, 12 * 2 * 5).reshape(12, 2, 5).astype(dtype)
    data = signal_file(saved(tmp_path / "x.npy", array), in_memory=in_memory)
    assert (data.shape, data.count, data.classes, data.kind.name) == ((2, 5), 12, 0, "signals")
    stream = data.stream(4, 0, CPU)
    epoch = torch.cat([stream.next()[0] for _ in range(3)])
    assert epoch.dtype == torch.float32
    assert torch.equal(epoch[epoch[:, 0, 0].argsort()], torch.from_numpy(array.astype(np.float32)))
    assert torch.equal(data.at([3, 1]), torch.from_numpy(array[[3, 1]].astype(np.float32)))
    assert torch.equal(torch.cat(list(data.once(5))), torch.from_numpy(array.astype(np.float32)))


def test_in_memory_and_read_batch_by_batch_are_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = saved(tmp_path / "x.npy", np.random.default_rng(0).uniform(-1, 1, (20, 7)))
    held = signal_file(root)
    monkeypatch.setattr(memory, "limit", lambda: 4 * 4 * 20 * 7 - 1)
    mapped = signal_file(root)
    assert held.signals is not None and mapped.signals is None and held.identity() == mapped.identity()
    first, second = held.stream(6, 1, CPU), mapped.stream(6, 1, CPU)
    for _ in range(5):
        assert torch.equal(first.next()[0], second.next()[0])


@pytest.mark.parametrize("array", [np.arange(12), np.arange(12) * 1e300, np.arange(-6, 6, dtype="int16")])
def test_scaling_maps_the_smallest_to_minus_one_and_the_largest_to_one(tmp_path: Path, array: np.ndarray) -> None:
    data = signal_file(saved(tmp_path / "x.npy", array.reshape(3, 4)), scale=True)
    expected = torch.linspace(-1, 1, 12).reshape(3, 1, 4)
    torch.testing.assert_close(data.at(range(3)), expected)
    assert data.at(range(3)).min() == -1 and data.at(range(3)).max() == 1
    assert "scaled from" in str(data)


def test_labels_are_read_as_those_of_images_are(tmp_path: Path) -> None:
    root = saved(tmp_path / "x.npy", np.zeros((6, 4)))
    column, flags = np.array([[5], [2]] * 3), np.array([True, False] * 3)
    for labels, names in ((column, ("2", "5")), (flags, ("False", "True"))):
        data = signal_file(root, labels=saved(tmp_path / "y.npy", labels))
        assert data.labels is not None and data.labels.tolist() == [1, 0] * 3 and data.class_names == names
    with pytest.raises(DataError, match=r"y\.npy has 2,000 different labels for 2,000 samples, which are no classes"):
        many = saved(tmp_path / "many.npy", np.zeros((2000, 4)))
        signal_file(many, labels=saved(tmp_path / "y.npy", np.arange(2000)))


def test_labels_name_classes_in_their_order(tmp_path: Path) -> None:
    root = saved(tmp_path / "x.npy", np.arange(6.0).reshape(6, 1) / 6)
    data = signal_file(root, labels=saved(tmp_path / "y.npy", np.array([7, 3, 3, 7, 9, 3])))
    assert data.classes == 3 and data.class_names == ("3", "7", "9")
    assert data.labels is not None and data.labels.tolist() == [1, 0, 0, 1, 2, 0]
    assert data.shares() == [3 / 6, 2 / 6, 1 / 6]
    signals, labels = data.stream(6, 0, CPU).next()
    assert labels is not None
    assert torch.equal(labels, data.labels[(signals[:, 0, 0] * 6).round().long()])
    assert data.identity() != signal_file(root).identity()


def test_another_number_or_scale_is_another_identity(tmp_path: Path) -> None:
    array = np.linspace(-1, 1, 8).reshape(2, 4)
    other = array.copy()
    other[1, 1] = 0
    a, b = saved(tmp_path / "a.npy", array), saved(tmp_path / "b.npy", other)
    assert len({signal_file(a).identity(), signal_file(b).identity(), signal_file(a, scale=True).identity()}) == 3


def broken(path: Path, what: str) -> str:
    good = np.linspace(-1, 1, 24).reshape(4, 6)
    if what == "text":
        path.write_text("1,2\n3,4\n")
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "npz":
        np.savez(path.with_suffix(".npz"), a=good)
        path.with_suffix(".npz").replace(path)
    elif what == "torn":
        np.save(path, good)
        path.write_bytes(path.read_bytes()[:-8])
    elif what == "signs":
        header = b"-" * 9000 + b"1\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    elif what == "folder":
        path.mkdir()
    elif what != "missing":
        array = {
            "objects": np.array([{}, 1], dtype=object), "complex": good * 1j, "words": np.array([["a"]]),
            "flat": good[0], "four": good[None, None], "none": good[:0], "wide": good * 3, "constant": good * 0,
            "nan": np.where(np.arange(4)[:, None] == 2, np.nan, good), "flags": good > 0,
        }[what]  # fmt: skip
        np.save(path, array, allow_pickle=True)
    return str(path)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "is not a file"),
        ("folder", "is not a file"),
        ("text", "is no .npy file; write the array with numpy.save"),
        ("empty", "is no .npy file"),
        ("npz", "holds several arrays (.npz)"),
        ("torn", "cannot be read"),
        ("signs", "cannot be read"),
        ("objects", "holds Python objects instead of numbers"),
        ("complex", "values of type complex128, real numbers are needed"),
        ("words", "values of type <U1"),
        ("flags", "values of type bool"),
        ("flat", "(n, length) or (n, channels, length) that is not empty, got shape (6,)"),
        ("four", "got shape (1, 1, 4, 6)"),
        ("none", "got shape (0, 6)"),
        ("nan", "signal 2 has a value that is not finite"),
        ("wide", "reach from -3 to 3, and signals lie in [-1, 1]; use data.scale=true"),
    ],
)
def test_a_file_that_holds_no_signals_is_refused_in_one_sentence(tmp_path: Path, what: str, words: str) -> None:
    with pytest.raises(DataError) as refused:
        signal_file(broken(tmp_path / "x.npy", what))
    assert words in str(refused.value) and "x.npy" in str(refused.value) and "\n" not in str(refused.value)


def test_what_cannot_be_scaled_or_named_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"reach from 0 to 0, which cannot be scaled"):
        signal_file(broken(tmp_path / "x.npy", "constant"), scale=True)
    with pytest.raises(DataError, match=r"data\.root is empty.*Name the file"):
        signal_file("")
    for labels in (np.zeros(3, int), np.zeros(4), np.zeros((4, 2), int)):
        with pytest.raises(DataError, match=r"whole number for each of the 4 samples"):
            signal_file(str(tmp_path / "x.npy"), labels=saved(tmp_path / "y.npy", labels))
    with pytest.raises(DataError, match=r"data\.labels=.*is not a file"):
        signal_file(str(tmp_path / "x.npy"), labels=str(tmp_path / "z.npy"))
    for setting in ({"scale": None}, {"scale": "yes"}, {"in_memory": 7}):
        with pytest.raises(ConfigError, match=rf"data\.{next(iter(setting))} must be true"):
            signal_file(str(tmp_path / "x.npy"), **setting)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    root = saved(tmp_path / "x.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects"):
        signal_file(root)
    assert not (tmp_path / "ran").exists()


def test_a_mapped_file_that_is_cut_while_it_is_read_ends_in_a_sentence(tmp_path: Path) -> None:
    root = Path(saved(tmp_path / "x.npy", np.random.default_rng(0).uniform(-1, 1, (64, 1000))))
    stream = signal_file(str(root), in_memory=False).stream(4, 0, CPU)
    stream.next()
    with root.open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(DataError, match=r"x\.npy was changed or removed"):
        for _ in range(10):
            stream.next()
