"""Two folders of images: read alike, and which of them are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.errors import ConfigError, DataError
from gantrain.evaluation.folders import read_alike, some_of
from gantrain.kinds.images import as_bytes

FORM = {"size": None, "fit": "crop", "channels": None, "on_bad": "error"}


def write(folder: Path, count: int, shape: tuple[int, ...] = (4, 4), **kinds: int) -> None:
    """Write images of random pixels, as many of each class folder as ``kinds`` says."""
    rng = np.random.default_rng(count)
    for k in range(count):
        name = next((name for name, last in kinds.items() if k < last), "")
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name / f"{k:03d}.png")


def test_every_byte_of_a_folder_is_measured_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "real", 12), write(tmp_path / "fake", 9, cats=4, dogs=9)
    real, fake = read_alike(str(tmp_path / "real"), str(tmp_path / "fake"), **FORM)
    assert (real.shape, real.count, fake.count) == ((1, 4, 4), 12, 9)
    batches, labels = some_of(fake, 9, seed=0)
    paths = [tmp_path / "fake" / ("cats" if k < 4 else "dogs") / f"{k:03d}.png" for k in range(9)]
    bytes_ = torch.stack([torch.from_numpy(np.array(Image.open(path)))[None] for path in paths])
    assert torch.equal(as_bytes(torch.cat(list(batches))), bytes_)
    assert labels is not None and labels.tolist() == [0] * 4 + [1] * 5
    some, own = some_of(fake, 5, seed=0)
    chosen = [next(k for k in range(9) if torch.equal(image, bytes_[k])) for image in as_bytes(torch.cat(list(some)))]
    assert len(set(chosen)) == 5 and own is not None and own.tolist() == [int(k >= 4) for k in chosen]
    assert some_of(real, 12, seed=0)[1] is None


def test_images_of_several_sizes_need_one_to_be_named(tmp_path: Path) -> None:
    write(tmp_path / "real", 3), write(tmp_path / "fake", 3, (6, 5))
    folders = str(tmp_path / "real"), str(tmp_path / "fake")
    with pytest.raises(ConfigError, match=r"\(real 4×4 and fake 5×6\); set size="):
        read_alike(*folders, **FORM)
    assert all(images.shape == (1, 8, 8) for images in read_alike(*folders, **FORM | {"size": 8}))
    with pytest.raises(ConfigError, match=r"real 5×6 and fake 5×6"):
        read_alike(folders[1], folders[1], **FORM)


def test_errors_speak_of_the_folders_as_they_were_named(tmp_path: Path) -> None:
    write(tmp_path / "gray", 2), write(tmp_path / "colour", 2, (4, 4, 3)), (tmp_path / "none").mkdir()
    gray, colour, none = (str(tmp_path / name) for name in ("gray", "colour", "none"))
    with pytest.raises(ConfigError, match=r"gray has gray images and fake=.*colour colour images; channels=1 reads"):
        read_alike(gray, colour, **FORM)
    assert [images.shape[0] for images in read_alike(gray, colour, **FORM | {"channels": 3})] == [3, 3]
    with pytest.raises(DataError, match=r"^fake=.*none holds no images"):
        read_alike(gray, none, **FORM)
    with pytest.raises(DataError, match=r"^real=.*nowhere is neither a folder nor a zip or tar"):
        read_alike(str(tmp_path / "nowhere"), gray, **FORM)
    (tmp_path / "gray" / "000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"000\.png") as error:
        read_alike(colour, gray, **FORM | {"channels": 1})
    assert "data." not in str(error.value)
