"""Images in an array of numpy or torch: where channels lie, which numbers are black and white, and what is refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gantrain.data import Array, Images
from gantrain.errors import ConfigError, DataError
from tests.conftest import config

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)  # channels last
LABELS = np.arange(12) % 3 + 5
CPU = torch.device("cpu")


def expected(pixels: np.ndarray = PIXELS) -> torch.Tensor:
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())


def saved(folder: Path, array: np.ndarray, name: str = "x.npy") -> str:
    np.save(folder / name, array)
    return str(folder / name)


def test_channels_may_be_first_last_or_absent(tmp_path: Path) -> None:
    assert torch.equal(Array(saved(tmp_path, PIXELS)).pixels, expected())
    assert torch.equal(Array(saved(tmp_path, PIXELS.transpose(0, 3, 1, 2))).pixels, expected())
    gray = Array(saved(tmp_path, PIXELS[..., 0]))
    assert gray.shape == (1, 8, 8) and torch.equal(gray.pixels[:, 0], torch.from_numpy(PIXELS[..., 0].copy()))
    narrow = saved(tmp_path, RNG.integers(0, 256, (5, 3, 6, 3), dtype=np.uint8))
    with pytest.raises(ConfigError, match=r"both on the second and on the last place; say which: data\.layout="):
        Array(narrow)
    assert Array(narrow, layout="channels_first").shape == (3, 6, 3)
    assert Array(narrow, layout="channels_last").shape == (3, 3, 6)
    with pytest.raises(ConfigError, match="neither on the second nor on the last place"):
        Array(saved(tmp_path, np.zeros((5, 6, 6, 7), dtype=np.uint8)))
    with pytest.raises(ConfigError, match=r"where data\.layout=channels_first says"):
        Array(saved(tmp_path, PIXELS), layout="channels_first")


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [(np.float32, 0, 1), (np.float64, -1, 1), (np.float16, 0, 1), (np.uint16, 0, 65535), (np.int64, 0, 255)],
)
def test_numbers_of_the_usual_ranges_become_the_nearest_of_256(
    tmp_path: Path, dtype: type, low: int, high: int
) -> None:
    numbers = (PIXELS / 255 * (high - low) + low).round(0 if high > 1 else 9).astype(dtype)
    data = Array(saved(tmp_path, numbers))
    assert (data.pixels.int() - expected().int()).abs().max() <= (1 if dtype == np.float16 else 0)
    assert (data.low, data.high) == (low, high)
    assert ("8 bits from" in str(data)) == (high != 255)


def test_a_range_that_is_named_is_taken(tmp_path: Path) -> None:
    units = np.array([[-1000.0, 400.0], [-300.0, 0.0]])[None]  # of a tomograph
    root = saved(tmp_path, units)
    with pytest.raises(ConfigError, match=r"from -1000 to 400; say which .*data\.range=\[-1000,400\]"):
        Array(root)
    assert Array(root, range=[-1000, 400]).pixels.flatten().tolist() == [0, 255, 128, 182]
    with pytest.raises(DataError, match=r"reach from -1000 to 400, beyond data\.range=\[-500,400\]"):
        Array(root, range=[-500, 400])
    assert Array(saved(tmp_path, PIXELS > 127)).pixels.unique().tolist() == [0, 255]


@pytest.mark.parametrize("way", ["npz", "compressed", "pt", "tuple", "names", "file"])
def test_labels_come_from_the_file_or_from_one_of_their_own(tmp_path: Path, way: str) -> None:
    root, more = tmp_path / "x.npz", {}
    if way in ("npz", "compressed"):
        (np.savez if way == "npz" else np.savez_compressed)(root, x_train=PIXELS, y_train=LABELS[:, None], extra=[1])
    if way == "names":
        np.savez(root, a=PIXELS, b=LABELS, c=LABELS)
        more = {"images": "a", "labels": "b"}
    if way == "pt":
        torch.save({"images": torch.from_numpy(PIXELS), "labels": torch.from_numpy(LABELS)}, root := tmp_path / "x.pt")
    if way == "tuple":
        torch.save((torch.from_numpy(PIXELS), torch.from_numpy(LABELS)), root := tmp_path / "x.pt")
    if way == "file":
        root, more = Path(saved(tmp_path, PIXELS)), {"labels": saved(tmp_path, LABELS, "y.npy")}
    data = Array(str(root), **more)
    assert torch.equal(data.pixels, expected())
    assert data.class_names == ("5", "6", "7") and data.labels.tolist() == (LABELS - 5).tolist()
    part = Array(str(root), classes=["7", "5"], channels=1, **more)
    assert part.count == 8 and part.shape == (1, 8, 8) and part.class_names == ("7", "5")


def write_text(path: Path) -> None:
    np.save(path, np.array(["a", "b"]))


def write_ragged(path: Path) -> None:
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.zeros((3, 3)), np.zeros((4, 4))]
    np.savez(path.with_suffix(".npz"), images=ragged)
    path.with_suffix(".npz").rename(path)


def write_bomb(path: Path) -> None:
    """A .npz whose array claims to be larger than any memory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(100))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: path.write_bytes(b""), "is no .npy file"),
        (lambda path: path.write_bytes(b"PK\x03\x04 cut off"), "cannot be read"),
        (lambda path: np.savez(path.open("wb"), other=PIXELS, another=PIXELS), r"holds other, another; name one"),
        (write_text, "holds values of type <U1, real numbers are needed"),
        (write_ragged, "holds Python objects; images of several sizes"),
        (lambda path: np.save(path.open("wb"), np.zeros((5, 2))), r"data=table reads points"),
        (lambda path: np.save(path.open("wb"), np.zeros((0, 2, 2))), r"shape \(0, 2, 2\)"),
        (lambda path: np.save(path.open("wb"), np.full((3, 4, 4), np.nan)), "image 0 has a value that is not finite"),
        (lambda path: np.save(path.open("wb"), np.zeros((3, 4, 4), dtype=complex)), "of type complex128"),
    ],
)
def test_what_is_no_array_of_images_is_refused(write: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    write(tmp_path / "x.npy")
    with pytest.raises((ConfigError, DataError), match=words):
        Array(str(tmp_path / "x.npy"))


def test_what_a_file_of_torch_may_not_hold_is_refused(tmp_path: Path) -> None:
    for content, words in ((Path("x"), "cannot be read"), ("text", "holds a str"), ({"a": 1}, "holds no array")):
        torch.save(content, tmp_path / "x.pt")
        with pytest.raises((ConfigError, DataError), match=words):
            Array(str(tmp_path / "x.pt"))
    (tmp_path / "x.pt").write_bytes(b"text")
    with pytest.raises(DataError, match="cannot be read"):
        Array(str(tmp_path / "x.pt"))


def test_the_size_of_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantrain.data.memory.limit", lambda: 2**30)
    write_bomb(tmp_path / "x.npz")
    with pytest.raises(DataError, match=r"x\.npy takes 4,294,967,280 bytes unpacked"):
        Array(str(tmp_path / "x.npz"))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.arange(11), r"for each of the 12 samples as labels, got int64 of shape \(11,\)"),
        (np.eye(12), r"of one-hot rows take argmax\(1\)"),
        (np.linspace(0, 1, 12), "got float64"),
    ],
)
def test_labels_that_are_none_are_refused(labels: np.ndarray, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=PIXELS, labels=labels)
    with pytest.raises(DataError, match=words):
        Array(str(tmp_path / "x.npz"))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"layout": "last"}, {"range": [1]}, {"range": [1, 0]}, {"range": "x"}, {"range": [0, float("inf")]}),
        *({"in_memory": "no"}, {"images": "other"}, {"labels": "other"}, {"channels": 2}, {"limit": 13}),
    ],
)
def test_senseless_settings_are_refused_by_name(wrong: dict, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"data\.{next(iter(wrong))}"):
        Array(saved(tmp_path, PIXELS), **wrong)


def test_a_mapped_array_gives_the_same_batches_and_says_if_it_is_gone(tmp_path: Path) -> None:
    root = saved(tmp_path, PIXELS)
    np.savez(tmp_path / "whole.npz", images=PIXELS)
    mapped, whole = Array(root, in_memory=False, flip=True), Array(str(tmp_path / "whole.npz"), flip=True)
    assert mapped.mapped and not whole.mapped and not Array(root).mapped
    assert not Array(root, in_memory=False, limit=5).mapped  # a part is held
    assert mapped.fingerprint() == whole.fingerprint()
    ours, theirs = mapped.stream(4, 0, CPU), whole.stream(4, 0, CPU)
    for _ in range(7):
        assert torch.equal(ours.next()[0], theirs.next()[0])
    Path(root).write_bytes(Path(root).read_bytes()[:-10])
    for read in (lambda: mapped.at([1]), lambda: [ours.next() for _ in range(9)]):
        with pytest.raises(DataError, match="was changed or removed while it was read"):
            read()


def test_a_digest_of_many_images_is_that_of_all_bytes_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Images(expected(), None, 0)
    whole = data.fingerprint()
    monkeypatch.setattr("gantrain.data.source.DIGESTED", 5)
    assert Images(expected(), None, 0).fingerprint() == whole
    assert Images(expected().flip(0), None, 0).fingerprint() != whole


def test_the_command_trains_on_an_array_with_labels(tmp_path: Path, gantrain: Callable[..., object]) -> None:
    np.savez(tmp_path / "x.npz", images=RNG.random((64, 8, 8)), labels=np.arange(64) % 2)
    arguments = ("data=array", f"data.root={tmp_path}/x.npz", "total_steps=2", "batch_size=8", "device=cpu")
    run = gantrain(*arguments, "evaluation=none", "conditioning=projection", "run.dir=run")
    assert run.exit_code == 0 and "64 images 1×8×8, 2 classes, 8 bits from 0 to 1" in run.out, run.out + run.err
    assert gantrain("data=array", "data.root=nowhere.npy").exit_code == 3
    assert set(config("data=array", "data.root=x").data) >= {"layout", "range", "images", "labels"}
