"""Gray images of 16 bits and of floats, in the formats in which they come: their range, their fitting, their bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.data import copies
from gantrain.data.depth import in_bytes, tensor_of
from gantrain.errors import ConfigError, DataError
from gantrain.kinds import Images
from tests.data.messy import ORIENTED, exif, read

CPU = torch.device("cpu")
RAMP = (np.arange(64, dtype=np.uint16) * 1040).reshape(8, 8)  # 0 to 65,520


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))


def save(path: Path, array: np.ndarray, mode: str | None = None, **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    assert mode in (None, image.mode)
    image.save(path, **how)


def whole(data: Any) -> torch.Tensor:
    """Every image as the networks see it, in the order of the files."""
    images = data.stream(data.count, 0, CPU).next()[0]
    order = np.random.default_rng([0, 0]).permutation(data.count)
    return images[torch.from_numpy(np.argsort(order))]


FORMS: dict[str, Callable[[Path], None]] = {
    "I;16 PNG": lambda folder: save(folder / "a.png", RAMP, "I;16"),
    "I;16 TIFF": lambda folder: save(folder / "a.tif", RAMP, "I;16"),
    "I;16B TIFF": lambda folder: save(folder / "a.tif", RAMP.astype(">u2"), "I;16B"),
    "I TIFF": lambda folder: save(folder / "a.tif", RAMP.astype(np.int32), "I"),
    "16-bit PGM": lambda folder: save(folder / "a.pgm", RAMP),
    "F TIFF": lambda folder: save(folder / "a.tif", (RAMP / 65535).astype(np.float32), "F"),
}


@pytest.mark.parametrize("form", FORMS)
def test_16_bits_reach_the_networks_whole_and_8_are_those_divided_by_257_and_rounded(tmp_path: Path, form: str) -> None:
    FORMS[form](tmp_path)
    expected = torch.from_numpy(RAMP.astype(np.float64) / 32767.5 - 1).float()[None, None]
    deep, plain = read(tmp_path, depth=16), read(tmp_path)
    torch.testing.assert_close(whole(deep), expected, atol=2e-7, rtol=0)
    eight = torch.from_numpy(np.rint(RAMP / 257).astype(np.uint8))[None, None]
    assert torch.equal(plain.at([0]), eight) and torch.equal(deep.at([0]), eight)
    assert plain.shape == deep.shape == (1, 8, 8) and plain.units is None
    assert deep.units is not None and deep.units.original(whole(deep)).round().int().tolist() == [[RAMP.tolist()]]


def test_every_number_of_16_bits_is_held_and_halved_in_its_place() -> None:
    numbers = np.arange(65536, dtype=np.uint16)
    held = tensor_of(numbers)
    assert held.dtype == torch.int16
    assert np.array_equal(in_bytes(held).numpy(), np.rint(numbers / 257).astype(np.uint8))


@pytest.mark.parametrize("way", [{"in_memory": True}, {"in_memory": False, "copy": True}, {"copy": False}])
def test_all_ways_of_reading_keep_16_bits(tmp_path: Path, way: dict[str, bool]) -> None:
    for k in range(3):
        save(tmp_path / "ab"[k % 2] / f"{k}.png", np.roll(RAMP, k))
    expected = read(tmp_path, depth=16, in_memory=True)
    data = read(tmp_path, depth=16, **{"in_memory": False} | way)
    assert torch.equal(whole(data), whole(expected)) and len(whole(data).unique()) == 64
    assert torch.equal(data.at([2, 0]), expected.at([2, 0])) and data.identity() == expected.identity()
    again = read(tmp_path, depth=16, **{"in_memory": False} | way)  # from the copy, if there is one
    assert torch.equal(whole(again), whole(expected))


def test_a_copy_of_16_bits_is_none_of_8(tmp_path: Path) -> None:
    save(tmp_path / "a.png", RAMP)
    deep, plain = (read(tmp_path, in_memory=False, copy=True, depth=bits) for bits in (16, 8))
    place = copies.folder()
    assert place is not None and sorted(path.stat().st_size for path in place.glob("*.bin")) == [3 * 64, 6 * 64]
    assert torch.equal(deep.at([0]), plain.at([0])) and deep.fingerprint() != plain.fingerprint()


def test_a_range_says_what_is_black_and_white_and_cuts_off_the_rest(tmp_path: Path) -> None:
    hounsfield = np.array([[-2000, -1000], [-300, 400], [3000, 0]], dtype=np.int32)
    save(tmp_path / "a.tif", hounsfield, "I")
    save(tmp_path / "b.tif", hounsfield.astype(np.float32), "F")
    for bits in (16, 8):
        data = read(tmp_path, size=2, fit="stretch", depth=bits, range=[-1000, 400])
        assert data.at([0, 1]).unique().tolist() != []
    tall = read(tmp_path, size=1, range=[-1000, 400], depth=16)
    assert tall.units is not None and (tall.units.offset, tall.units.scale) == ((-300.0,), (700.0,))
    save(tmp_path / "one" / "a.tif", np.full((4, 4), 50, dtype=np.int32))
    data = read(tmp_path / "one", size=4, depth=16, range=[-1000, 400])
    torch.testing.assert_close(whole(data), torch.full((1, 1, 4, 4), 0.5), atol=2e-5, rtol=0)
    assert read(tmp_path / "one", range=[-1000, 400]).at([0]).unique().tolist() == [round(0.75 * 255)]
    assert read(tmp_path / "one", range=[100, 400]).at([0]).unique().tolist() == [0]
    assert read(tmp_path / "one", range=[-100, 40]).at([0]).unique().tolist() == [255]


def test_images_are_fitted_before_they_are_rounded(tmp_path: Path) -> None:
    # Two thirds of the rows 100, one third 103: the mean of all is 101, of which 8 bits first would make 0.
    rows = np.repeat(np.array([100, 103, 100] * 4, dtype=np.uint16), 12).reshape(12, 12)
    save(tmp_path / "a.png", rows)
    found = (whole(read(tmp_path, size=1, depth=16)) + 1) * 32767.5
    assert 100.5 < found.item() < 101.5


def test_deep_images_are_turned_upright_cropped_padded_and_stretched_like_others(tmp_path: Path) -> None:
    wide = np.zeros((4, 8), dtype=np.uint16)
    wide[:, 4:] = 65535
    save(tmp_path / "a.png", wide)
    found = {fit: read(tmp_path, size=4, fit=fit, depth=16) for fit in ("crop", "pad", "stretch")}
    cropped, padded, stretched = (whole(data)[0, 0] for data in found.values())
    assert cropped[:, :2].max() == -1 and cropped[:, 2:].min() == 1
    assert padded[0].max() == -1 and padded[3].max() == -1 and padded[1, 3] > 0.8
    assert stretched[0, 0] == -1 and stretched[3, 3] == 1
    save(tmp_path / "turned" / "b.png", np.repeat(RAMP[:, :1], 8, 1), exif=exif(ORIENTED))
    turned = whole(read(tmp_path / "turned", depth=16))[0, 0]
    assert turned[0, 0] > turned[7, 0] == -1


def test_gray_images_of_8_bits_are_read_beside_those_of_16(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.full((8, 8), 200, dtype=np.uint8))
    save(tmp_path / "b.png", np.full((8, 8), 200 * 257, dtype=np.uint16))
    images = whole(read(tmp_path, depth=16))
    assert torch.equal(images[0], images[1])
    colour = read(tmp_path, channels=3)
    assert colour.shape == (3, 8, 8) and colour.at([0, 1]).unique().tolist() == [200]
    alpha = read(tmp_path, channels=4).at([1])
    assert alpha[:, 3].unique().tolist() == [255]


@pytest.mark.parametrize(
    ("array", "settings", "words"),
    [
        (np.full((8, 8), 1.5, np.float32), {}, "reaches from 1.5 to 1.5, beyond 0 to 1; say what is black and white"),
        (np.full((8, 8), -3, np.int32), {}, "reaches from -3 to -3, beyond 0 to 65535"),
        (np.full((8, 8), np.nan, np.float32), {"range": [0, 9]}, "has a pixel that is not finite"),
        (np.zeros((8, 8, 3), np.uint8), {"depth": 16}, "is in colour, and data.depth=16 is for gray images"),
    ],
)
def test_what_has_no_range_is_refused_with_its_name(
    tmp_path: Path, array: np.ndarray, settings: dict[str, Any], words: str
) -> None:
    save(tmp_path / "a.tif", array)
    with pytest.raises(DataError) as refused:
        read(tmp_path, **settings)
    assert words in str(refused.value) and "a.tif" in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"depth": 12}, "data.depth must be 8 or 16"),
        ({"depth": 16, "channels": 3}, "data.depth=16 is for gray images, and data.channels=3"),
        ({"range": [4]}, "data.range must be null or two numbers"),
        ({"range": [4, 4]}, "the smaller first"),
        ({"range": "ab"}, "data.range must be null or two numbers"),
        ({"range": [0, float("nan")]}, "data.range must be null or two numbers"),
    ],
)
def test_senseless_depths_and_ranges_are_refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    save(tmp_path / "a.png", RAMP)
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, **settings)
    assert words in str(refused.value)


def test_images_that_use_little_of_the_range_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "a.png", RAMP // 16)  # 12 bits
    read(tmp_path)
    assert "is 6.2% of the way from black to white; data.range=[low,high]" in capsys.readouterr().err
    read(tmp_path, range=[0, 4095])
    assert not capsys.readouterr().err


def test_samples_of_16_bits_are_written_with_them_and_others_in_the_numbers_of_their_range(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", RAMP)
    for name, settings in (("whole", {}), ("range", {"range": [-1000.0, 70000.0]})):
        data = read(tmp_path / "in", depth=16, **settings)
        (tmp_path / name).mkdir()
        assert Images().write_files(whole(data), tmp_path / name, data.units)
    with Image.open(tmp_path / "whole" / "files" / "00000.png") as image:
        assert image.mode == "I;16" and np.array_equal(np.asarray(image), RAMP)
    with Image.open(tmp_path / "range" / "files" / "00000.tiff") as image:
        assert image.mode == "F" and np.abs(np.asarray(image) - RAMP).max() < 1
