"""One image: which formats, upright, without alpha, square, and never a crash."""

from __future__ import annotations

import ast
import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantrain.data.decode import Decoded, Decoder, colour, formats, suffixes
from gantrain.errors import ConfigError, DataError
from tests.conftest import REPOSITORY, only
from tests.data.messy import EPS, MALFORMED, ORIENTED, bright_above, logo, read

WHITE = (255, 255, 255)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore:Image size")


def decode(path: Path, size: int = 8, channels: int | None = 3, background: tuple[int, int, int] = WHITE) -> Decoded:
    return Decoder(size, "crop", channels, background)(path)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("malformed", MALFORMED)
def test_an_image_is_turned_upright_whatever_tags_stand_beside_its_orientation(
    malformed: str, format: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    if format == "TIFF":  # Pillow refuses to write such tags itself
        content = bright_above("TIFF", ORIENTED, (0x128, 3, 1, b"\2\0"))
        kind = MALFORMED[malformed][1]
        entry = (0x128).to_bytes(2, "little") + (3).to_bytes(2, "little")
        assert content.count(entry) == 1
        content = content.replace(entry, (0x128).to_bytes(2, "little") + kind.to_bytes(2, "little"))
    else:
        content = bright_above(format, ORIENTED, MALFORMED[malformed])
    path.write_bytes(content)
    pixels = decode(path).pixels
    assert pixels[:3].mean() < 5 and pixels[5:].mean() > 250


def test_an_orientation_that_cannot_be_read_leaves_the_image_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    for tag in ((0x112, 2, 4, b"abc\0"), (0x112, 3, 0, b""), (0x112, 3, 1, b"\x63\0"), (0x112, 5, 1, bytes(4))):
        path.write_bytes(bright_above("JPEG", tag))
        assert decode(path).pixels[:3].mean() > 250
    whole = bright_above("JPEG", ORIENTED)
    path.write_bytes(whole.replace(b"II*\0\x08\0\0\0", b"II*\0\xff\xff\xff\x7f"))  # tags that lie nowhere
    assert decode(path).pixels[:3].mean() > 250


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif"])
def test_a_file_that_would_start_a_program_is_no_image(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/MARK\n")
    (tmp_path / "bin" / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(DataError, match="cannot be read as an image"):
        decode(tmp_path / name)
    assert not (tmp_path / "MARK").exists()


def test_every_opening_of_a_picture_names_the_formats_that_it_means() -> None:
    openings = [
        (path.name, node)
        for path in (REPOSITORY / "gantrain").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Image.open")
    ]
    assert len(openings) >= 2
    for name, node in openings:
        assert any(keyword.arg == "formats" for keyword in node.keywords), name


def test_formats_that_start_programs_or_read_other_files_are_not_among_those_read() -> None:
    assert set(formats()).isdisjoint({"EPS", "PDF", "PSD", "WMF", "HDF5", "FITS", "IPTC", "MCIDAS"})
    assert {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".bmp", ".gif", ".jp2", ".pgm"} <= suffixes()
    assert suffixes().isdisjoint({".eps", ".ps", ".pdf", ".wmf", ".svg"})


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_shows_the_background_and_no_hidden_colour(mode: str, tmp_path: Path) -> None:
    image = logo()
    if mode == "P":
        image = image.convert("RGB").quantize(4)
        image.info["transparency"] = image.getpixel((0, 0))
    image = image if mode in ("RGBA", "P") else image.convert(mode)
    image.save(tmp_path / "a.png", **({"transparency": image.info["transparency"]} if mode == "P" else {}))
    for background in (WHITE, (10, 200, 30)):
        found = decode(tmp_path / "a.png", 16, background=background)
        assert found.transparent
        assert (found.pixels[0, 0] == background).all() and (found.pixels[8, 8] == 0).all()


def test_half_transparent_is_half_background(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 255, 128)).save(tmp_path / "a.png")
    assert np.abs(decode(tmp_path / "a.png").pixels[0, 0].astype(int) - (127, 127, 255)).max() <= 1


def test_an_opaque_image_with_alpha_keeps_its_colours_and_is_not_called_transparent(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (1, 2, 3, 255)).save(tmp_path / "a.png")
    found = decode(tmp_path / "a.png", background=(9, 9, 9))
    assert not found.transparent and (found.pixels == (1, 2, 3)).all()


def test_gray_with_alpha_is_gray_on_a_gray_background_alone(tmp_path: Path) -> None:
    logo().convert("LA").save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png", channels=None).pixels.shape == (8, 8, 1)
    assert decode(tmp_path / "a.png", channels=None, background=(9, 0, 0)).pixels.shape == (8, 8, 3)


def test_with_four_channels_alpha_stays_and_hidden_colours_go(tmp_path: Path) -> None:
    logo().save(tmp_path / "a.png")
    pixels = decode(tmp_path / "a.png", 16, channels=4).pixels
    assert pixels.shape == (16, 16, 4)
    assert (pixels[0, 0] == (*WHITE, 0)).all() and (pixels[8, 8] == (0, 0, 0, 255)).all()
    assert read(tmp_path, channels=4).shape == (4, 8, 8)


@pytest.mark.parametrize(
    ("value", "rgb"), [("white", WHITE), ("#102030", (16, 32, 48)), ([1, 2, 3], (1, 2, 3)), ("RebeccaPurple", None)]
)
def test_a_background_is_any_name_that_pillow_knows_or_three_numbers(
    value: object, rgb: tuple[int, ...] | None
) -> None:
    assert colour(value) == (rgb or (102, 51, 153))


@pytest.mark.parametrize("value", ["whitish", "#12345678", [1, 2], [1, 2, 300], [0.5, 0, 0], 7, None, [[1], 2, 3]])
def test_other_backgrounds_are_refused_with_a_sentence(value: object) -> None:
    with pytest.raises(ConfigError, match=r"data\.background must be"):
        colour(value)


def camera_picture(path: Path, side: int = 1600) -> None:
    """A JPEG with detail at all scales, like a photograph."""
    rng, total = np.random.default_rng(0), np.zeros((side, side, 3))
    for cells in (4, 16, 64, 200):
        small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), dtype=float) / cells**0.5
    Image.fromarray((total / total.max() * 255).astype(np.uint8)).save(path, quality=92)


def test_a_large_jpeg_is_decoded_at_a_part_of_its_size_and_differs_by_less_than_a_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera_picture(tmp_path / "a.jpg")
    quick = decode(tmp_path / "a.jpg", 64)
    monkeypatch.setattr("gantrain.data.decode.MARGIN", 1000)
    whole = decode(tmp_path / "a.jpg", 64)
    assert quick.reduced and not whole.reduced
    assert 0 < np.abs(quick.pixels.astype(float) - whole.pixels).mean() < 1


def test_a_jpeg_that_is_not_much_larger_is_decoded_whole(tmp_path: Path) -> None:
    Image.new("RGB", (500, 60)).save(tmp_path / "a.jpg")  # its shorter side decides
    assert not decode(tmp_path / "a.jpg", 8).reduced
    Image.new("RGB", (500, 64)).save(tmp_path / "a.jpg")
    assert decode(tmp_path / "a.jpg", 8).reduced


def encoded(format: str) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, format, **({"exif": bright_exif()} if format in ("JPEG", "PNG", "WEBP") else {}))
    return file.getvalue()


def bright_exif() -> bytes:
    content = Image.Exif()
    content[0x112] = 6
    return content.tobytes()


@pytest.mark.parametrize(("format", "count"), only([("PNG", 150), ("JPEG", 150)], [
    *((name, 150) for name in ("PNG", "JPEG")),
    *((name, 1500) for name in ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")),
]))  # fmt: skip
def test_a_mutated_picture_is_read_or_refused_with_a_sentence(format: str, count: int, tmp_path: Path) -> None:
    whole, rng, path = encoded(format), random.Random(0), tmp_path / "a.jpg"
    refused = 0
    for _ in range(count):
        content = bytearray(whole)
        for _ in range(rng.choice((0, 1, 3, 30))):
            content[rng.randrange(min(len(content), rng.choice((60, 400, len(content)))))] = rng.randrange(256)
        path.write_bytes(content[: rng.choice((len(content), rng.randrange(len(content))))])
        try:
            assert decode(path).pixels.shape == (8, 8, 3)
        except DataError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
    assert count / 5 < refused < count
