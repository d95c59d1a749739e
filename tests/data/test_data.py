"""Every data set in its true on-disk form, and the stream's promises."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from gantrain.data import CIFAR10, MNIST, Data, Digits, Grid, ImageFolder, Images, Ring
from gantrain.errors import ConfigError, DataError
from tests.conftest import SHARED_IMAGES, write_mnist

CPU = torch.device("cpu")
FOLDER = {"size": 8, "fit": "crop", "channels": None, "flip": False, "on_bad": "error", "timeout": 60.0,
          "in_memory": None}  # fmt: skip


def numbered(n: int, flip: bool = False) -> Images:
    """Images whose every pixel, and label, is their number."""
    pixels = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 1, 2, 2).contiguous()
    return Images(pixels, torch.arange(n), n, flip)


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (12, 10), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


# ---- the stream -------------------------------------------------------------------------------------------------


def test_an_epoch_shows_every_sample_once_and_the_next_is_shuffled_anew() -> None:
    stream = numbered(12).stream(4, seed=0, device=CPU)
    epochs = [torch.cat([stream.next()[1] for _ in range(3)]).tolist() for _ in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0] != epochs[1] != list(range(12))


def test_batches_are_a_function_of_seed_and_position() -> None:
    for data in (numbered(20, flip=True), Ring(8, 2.0, 0.02)):
        first = data.stream(4, seed=3, device=CPU)
        seen = [first.next() for _ in range(12)]
        later = data.stream(4, seed=3, device=CPU)
        later.load_state_dict({"position": 7})
        for x, labels in seen[7:]:
            x_again, labels_again = later.next()
            assert torch.equal(x, x_again) and torch.equal(labels, labels_again)
        assert first.state_dict() == later.state_dict() == {"position": 12}
        assert not torch.equal(data.stream(4, seed=4, device=CPU).next()[0], seen[0][0])


def test_peeking_leaves_the_position() -> None:
    stream = numbered(20).stream(4, seed=0, device=CPU)
    peeked = stream.peek(10)
    assert len(peeked) == 10
    assert torch.equal(torch.cat([stream.next()[0] for _ in range(3)])[:10], peeked)


def test_bytes_become_floats_from_minus_one_to_one() -> None:
    x, _ = Images(torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None], None, 0).stream(2, 0, CPU).next()
    assert x.dtype == torch.float32 and sorted(x.flatten().tolist()) == [-1.0, 1.0]


def test_flip_mirrors_about_half_of_the_images_and_nothing_else() -> None:
    pixels = torch.tensor([[10, 20]], dtype=torch.uint8).expand(1000, 1, 1, 2).contiguous()
    x, _ = Images(pixels, None, 0, flip=True).stream(1000, 0, CPU).next()
    mirrored = x[:, 0, 0, 0] > x[:, 0, 0, 1]
    assert 400 < mirrored.sum() < 600
    assert (x.sum((1, 2, 3)) == x[0].sum()).all()


def test_a_set_smaller_than_the_batch_is_refused_with_the_remedy() -> None:
    with pytest.raises(DataError, match=r"10 samples.*batch_size=64.*batch_size=10"):
        numbered(10).stream(64, 0, CPU)


# ---- the sets ---------------------------------------------------------------------------------------------------


def test_digits_are_the_1797_images_of_scikit_learn() -> None:
    digits = Digits()
    assert digits.shape == (1, 8, 8) and digits.classes == 10 and len(digits.pixels) == 1797
    assert digits.pixels.min() == 0 and digits.pixels.max() == 255
    assert torch.bincount(digits.labels).min() > 170


@pytest.mark.parametrize(("data", "modes"), [(Ring(8, 2.0, 0.02), 8), (Grid(5, 1.0, 0.05), 25)])
def test_mixtures_have_their_modes_weights_and_spread(data: Data, modes: int) -> None:
    points, component = data.stream(50_000, 0, CPU).next()
    assert data.classes == modes and points.dtype == torch.float32
    assert torch.bincount(component, minlength=modes) == pytest.approx(50_000 / modes, rel=0.1)
    offsets = points.double().numpy() - data.centers[component.numpy()]
    assert offsets.std() == pytest.approx(data.std, rel=0.02)
    assert points.mean(0).abs().max() < 0.05
    assert np.unique(data.centers.round(9), axis=0).shape == (modes, 2)


def test_the_ring_has_its_radius_and_the_grid_its_spacing() -> None:
    assert np.hypot(*Ring(8, 2.0, 0.02).centers.T) == pytest.approx(2.0)
    assert np.unique(Grid(5, 1.5, 0.05).centers) == pytest.approx([-3, -1.5, 0, 1.5, 3])


def little_mnist(root: Path, n: int = 3) -> torch.Tensor:
    """Images of noise, labelled 0, 1, 2, …, as both splits of MNIST."""
    images = torch.randint(256, (n, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_mnist(root, train=(images, torch.arange(n)), test=(images, torch.arange(n)))
    return images


def test_mnist_reads_idx_files_and_pads_to_the_size(tmp_path: Path) -> None:
    images = little_mnist(tmp_path)
    data = MNIST(str(tmp_path), "train", size=32, download=False, flip=False)
    assert data.shape == (1, 32, 32) and data.classes == 10 and data.labels.tolist() == [0, 1, 2]
    assert torch.equal(data.pixels[:, :, 2:-2, 2:-2], images)
    assert data.pixels.sum() == images.sum()
    assert MNIST(str(tmp_path), "test", size=28, download=False, flip=False).shape == (1, 28, 28)


def test_mnist_takes_the_archives_where_the_message_says_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "MNIST" / "raw"
    little_mnist(tmp_path)
    resources = []
    for name, _ in datasets.MNIST.resources:
        plain = raw / name.removesuffix(".gz")
        (raw / name).write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
        resources.append((name, hashlib.md5((raw / name).read_bytes()).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    assert len(MNIST(str(tmp_path), "train", size=32, download=True, flip=False).pixels) == 3


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The archive of the Toronto page with 2 images a batch, and torchvision's checksums set to it."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)

    def write(name: str, content: dict) -> tuple[str, str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return name, hashlib.md5((folder / name).read_bytes()).hexdigest()

    batches = [
        write(f"data_batch_{k + 1}", {"data": images[2 * k : 2 * k + 2].reshape(2, -1), "labels": [k, 9 - k]})
        for k in range(5)
    ]
    test = write("test_batch", {"data": images[:1].reshape(1, -1), "labels": [3]})
    meta, digest = write("batches.meta", {"label_names": [*"abcdefghij"]})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", batches)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [test])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": meta, "key": "label_names", "md5": digest})
    return images


def test_cifar10_reads_the_python_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_cifar10(tmp_path, monkeypatch)
    data = CIFAR10(str(tmp_path), "train", download=False, flip=False)
    assert data.shape == (3, 32, 32) and data.labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert np.array_equal(data.pixels.numpy(), images)
    assert CIFAR10(str(tmp_path), "test", download=False, flip=False).labels.tolist() == [3]


def test_cifar10_takes_the_archive_where_the_message_says_and_refuses_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar10(tmp_path / "made", monkeypatch)
    archive = tmp_path / "root" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / "cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert len(CIFAR10(str(archive.parent), "train", download=True, flip=False).pixels) == 10
    (archive.parent / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"CIFAR10.*cifar-10-python\.tar\.gz"):
        CIFAR10(str(archive.parent), "train", download=False, flip=False)


@pytest.mark.parametrize(
    ("data", "files", "place"),
    [
        (lambda root: CIFAR10(root, "train", True, False), "cifar-10-python.tar.gz", ""),
        (lambda root: MNIST(root, "train", 32, True, False), "train-images-idx3-ubyte.gz", "MNIST/raw"),
    ],
)
def test_an_unreachable_download_says_which_file_to_put_where(
    data, files: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib.error
    import urllib.request

    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(DataError) as caught:
        data(str(tmp_path / "data"))
    text = str(caught.value)
    assert files in text and str(tmp_path / "data" / place) in text and "\n" not in text
    assert list(tmp_path.iterdir()) == []  # torchvision's empty folders are gone again


def test_a_web_page_saved_under_the_name_of_an_mnist_file_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    little_mnist(tmp_path)
    (raw / "train-images-idx3-ubyte").write_bytes(b"<html>404 not found</html>" * 10)
    with pytest.raises(DataError, match="MNIST is not in"):
        MNIST(str(tmp_path), "train", size=32, download=False, flip=False)


@pytest.mark.parametrize("bad", [{"split": "valid"}, {"size": 20}])
def test_senseless_settings_of_benchmarks_are_refused(bad: dict, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        MNIST(**{"root": str(tmp_path), "split": "train", "size": 32, "download": False, "flip": False} | bad)


# ---- folders ----------------------------------------------------------------------------------------------------


def test_class_folders_give_labels_and_flat_ones_none(tmp_path: Path) -> None:
    names = ["b/1.png", "a/2.PNG", "a/deep/3.jpg", "b/notes.txt", ".ipynb/x.png", "__MACOSX/y.png", "a/.cache/z.png"]
    for k, name in enumerate(names):
        (save if "txt" not in name else lambda p, seed: (p.parent.mkdir(exist_ok=True), p.touch()))(
            tmp_path / "classes" / name, seed=k
        )
    data = ImageFolder(str(tmp_path / "classes"), **FOLDER)
    assert data.classes == 2 and data.labels.tolist() == [0, 0, 1]
    assert [p.name for p in data.paths] == ["2.PNG", "3.jpg", "1.png"]
    save(tmp_path / "flat" / "1.png"), save(tmp_path / "flat" / "2.png"), save(tmp_path / "flat" / ".ipynb" / "3.png")
    flat = ImageFolder(str(tmp_path / "flat"), **FOLDER)
    assert flat.classes == 0 and flat.stream(2, 0, CPU).next()[1] is None


@pytest.mark.parametrize("in_memory", [True, False])
def test_both_ways_of_reading_give_the_same_batches(tmp_path: Path, in_memory: bool) -> None:
    for k in range(12):
        save(tmp_path / str(k % 3) / f"{k}.png", seed=k)
    settings = FOLDER | {"flip": True}
    stream = ImageFolder(str(tmp_path), **settings | {"in_memory": in_memory}).stream(5, 1, CPU)
    reference = ImageFolder(str(tmp_path), **settings | {"in_memory": True}).stream(5, 1, CPU)
    for position in (0, 1, 2, 7, 8, 3):  # forwards, and with jumps as after a resume
        stream.load_state_dict({"position": position}), reference.load_state_dict({"position": position})
        for mine, theirs in zip(stream.next(), reference.next(), strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("mode", "suffix", "channels"),
    [
        ("L", "png", 1),
        ("1", "png", 1),
        ("LA", "png", 1),
        ("RGB", "jpg", 3),
        ("RGBA", "png", 3),
        ("P", "gif", 3),
        ("CMYK", "jpg", 3),
    ],
)
def test_any_8_bit_mode_is_converted(tmp_path: Path, mode: str, suffix: str, channels: int) -> None:
    save(tmp_path / f"a.{suffix}", mode)
    assert ImageFolder(str(tmp_path), **FOLDER).shape == (channels, 8, 8)
    assert ImageFolder(str(tmp_path), **FOLDER | {"channels": 3}).stream(1, 0, CPU).next()[0].shape == (1, 3, 8, 8)


def test_gray_among_colour_images_becomes_colour(tmp_path: Path) -> None:
    save(tmp_path / "a.png", "L"), save(tmp_path / "b.png", "RGB")
    assert ImageFolder(str(tmp_path), **FOLDER).shape == (3, 8, 8)


def test_fitting_crops_the_middle_pads_or_stretches(tmp_path: Path) -> None:
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 8:16] = 255  # black, white, black
    Image.fromarray(wide).save(tmp_path / "wide.png")
    means = {
        fit: ImageFolder(str(tmp_path), **FOLDER | {"fit": fit}).stream(1, 0, CPU).next()[0].mean().item()
        for fit in ("crop", "pad", "stretch")
    }
    assert means["crop"] == pytest.approx(1.0, abs=0.02)
    assert means["stretch"] == pytest.approx(-1 / 3, abs=0.1)
    assert means["pad"] == pytest.approx(-7 / 9, abs=0.2)


def test_phone_pictures_are_turned_upright(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:4] = 255  # bright above
    exif = Image.Exif()
    exif[274] = 3  # taken upside down
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    x, _ = ImageFolder(str(tmp_path), **FOLDER).stream(1, 0, CPU).next()
    assert x[0, :, :4].mean() == -1 and x[0, :, 4:].mean() == 1


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_corrupt_image_is_named(tmp_path: Path, damage: str, in_memory: bool) -> None:
    for k in range(4):
        save(tmp_path / f"good{k}.jpg", seed=k, size=(64, 64))
    content = (tmp_path / "good0.jpg").read_bytes()
    bad = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"<html>not found</html>"}[damage]
    (tmp_path / "bad.jpg").write_bytes(bad)
    with pytest.raises(DataError, match=r"bad\.jpg cannot be read") as caught:
        ImageFolder(str(tmp_path), **FOLDER | {"in_memory": in_memory}).stream(5, 0, CPU).next()
    assert "\n" not in str(caught.value)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "bomb.png", size=(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"bomb\.png"):
        ImageFolder(str(tmp_path), **FOLDER)


def test_16_bit_images_are_refused_because_they_would_turn_white(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png.*8 bits"):
        ImageFolder(str(tmp_path), **FOLDER)


def test_folders_that_cannot_be_a_data_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a folder"):
        ImageFolder(str(tmp_path / "missing"), **FOLDER)
    with pytest.raises(DataError, match="no images"):
        ImageFolder(str(tmp_path), **FOLDER)
    save(tmp_path / "a.png"), save(tmp_path / "class" / "b.png")
    with pytest.raises(DataError, match="both"):
        ImageFolder(str(tmp_path), **FOLDER)


@pytest.mark.parametrize("bad", [{"fit": "squeeze"}, {"channels": 2}, {"size": 0}])
def test_senseless_settings_of_folders_are_refused(tmp_path: Path, bad: dict) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=f"data.{next(iter(bad))}"):
        ImageFolder(str(tmp_path), **FOLDER | bad)


@pytest.mark.skipif(not SHARED_IMAGES.exists(), reason="the real images are not here")
def test_real_jpegs_are_read_as_they_are(tmp_path: Path) -> None:
    with tarfile.open(SHARED_IMAGES) as tar:
        wanted = [m for _, m in zip(range(400), tar, strict=False)]
        tar.extractall(tmp_path, [m for m in wanted if m.isfile()], filter="data")
    root = next(p for p in tmp_path.rglob("train") if p.is_dir()) if list(tmp_path.rglob("train")) else tmp_path
    data = ImageFolder(str(root), **FOLDER | {"size": 32})
    assert data.shape == (3, 32, 32) and len(data.paths) > 100
    x, _ = data.stream(64, 0, CPU).next()
    assert -1 <= x.min() < -0.9 and 0.9 < x.max() <= 1 and x.std() > 0.3
    assert np.array_equal(data.read(data.paths[0]), np.asarray(Image.open(data.paths[0])))
