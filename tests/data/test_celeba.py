"""CelebA in its true on-disk form, as the authors, torchvision and Kaggle lay it out."""

from __future__ import annotations

import io
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets
from torchvision.transforms import CenterCrop

from gantrain.build import build_data
from gantrain.data import CelebA, celeba
from gantrain.errors import ConfigError, DataError
from tests.conftest import config
from tests.data.made import md5

Patch = pytest.MonkeyPatch
HEADS = ("Bald", "Smiling", "Young")
COUNT = 12
SPLIT_OF = [0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2]
SMILES = [(-1) ** k for k in range(COUNT)]


def name(k: int) -> str:
    return f"{k + 1:06}.jpg"


def face(k: int) -> Image.Image:
    """An image 178×218 with a bright centre of 140 pixels, so that crops can be told from each other."""
    pixels = np.random.default_rng(k).integers(0, 60, (218, 178, 3), dtype=np.uint8)
    pixels[39:179, 19:159] += 120
    return Image.fromarray(pixels)


def jpeg(k: int) -> bytes:
    file = io.BytesIO()
    face(k).save(file, "jpeg")
    return file.getvalue()


def lists() -> dict[str, str]:
    """The two lists as the authors hand them out."""
    splits = "".join(f"{name(k)} {SPLIT_OF[k]}\n" for k in range(COUNT))
    rows = "".join(f"{name(k)} {1 if k == 3 else -1:2}  {SMILES[k]:2}   1\n" for k in range(COUNT))
    return {celeba.SPLITS: splits, celeba.ATTRIBUTES: f"{COUNT}\n{' '.join(HEADS)} \n{rows}"}


def packed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("img_align_celeba/", b"")
        for k in range(COUNT):
            archive.writestr(f"img_align_celeba/{name(k)}", jpeg(k))
    return file.getvalue()


def publish(patch: Patch, files: dict[str, bytes]) -> None:
    """Let the checksums of torchvision be those of these files."""
    found = [(id, md5(files[name]) if name in files else old, name) for id, old, name in datasets.CelebA.file_list]
    patch.setattr(datasets.CelebA, "file_list", found)


def write(where: Path, patch: Patch, layout: str = "folder") -> Path:
    """Write the data set; return ``where``."""
    files = {file: text.encode() for file, text in lists().items()}
    publish(patch, files)
    inside = {celeba.SPLITS: "Eval", celeba.ATTRIBUTES: "Anno"} if layout == "authors" else {}
    for file, content in files.items():
        if layout == "kaggle":
            head = {celeba.SPLITS: "image_id,partition\n", celeba.ATTRIBUTES: f"image_id,{','.join(HEADS)}\n"}[file]
            rows = content.decode().splitlines()[2 if file == celeba.ATTRIBUTES else 0 :]
            content = (head + "".join(",".join(row.split()) + "\n" for row in rows)).encode()
            file = file.replace(".txt", ".csv")
        (folder := where / inside.get(file, "")).mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    if layout in ("zip", "authors"):
        (folder := where / ("Img" if layout == "authors" else "")).mkdir(exist_ok=True)
        (folder / celeba.PACKED).write_bytes(packed())
        return where
    images = where.joinpath(*["img_align_celeba"] * (2 if layout == "kaggle" else 1))
    images.mkdir(parents=True)
    for k in range(COUNT):
        (images / name(k)).write_bytes(jpeg(k))
    return where


def read(root: Path, *more: str) -> CelebA:
    """The data set as the command builds it."""
    cfg = config("data=celeba", f"data.root='{root}'", "data.download=false", "data.size=16", *more)
    data = build_data(cfg)
    assert isinstance(data, CelebA)
    return data


@pytest.fixture(autouse=True)
def little(monkeypatch: Patch, tmp_path: Path) -> None:
    counts = {"train": 7, "valid": 2, "test": 3, "all": 12}
    monkeypatch.setattr(celeba, "PUBLISHED", counts)
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("layout", ["folder", "zip", "authors", "kaggle"])
def test_every_usual_layout_gives_the_same_images(layout: str, tmp_path: Path, monkeypatch: Patch) -> None:
    where = write(tmp_path / "data" / "celeba", monkeypatch, layout)
    before = sorted(where.rglob("*"))
    assert read(where).count == 7
    data = read(tmp_path / "data", "data.split=all", "data.labels_of=Smiling")
    assert data.labels.tolist() == [(1 + smile) // 2 for smile in SMILES]
    assert data.class_names == ("not_Smiling", "Smiling") and data.classes == 2
    wanted = [CenterCrop(148)(Image.open(io.BytesIO(jpeg(k)))).resize((16, 16), Image.LANCZOS) for k in range(COUNT)]
    assert np.array_equal(data.at(range(COUNT)).permute(0, 2, 3, 1).numpy(), np.stack([*map(np.asarray, wanted)]))
    assert sorted(where.rglob("*")) == before


def test_a_split_has_its_images_and_only_these(tmp_path: Path, monkeypatch: Patch) -> None:
    write(tmp_path / "celeba", monkeypatch)
    for split, number in celeba.NUMBERS.items():
        data = read(tmp_path, f"data.split={split}")
        assert [path.name for path in data.paths] == [name(k) for k in range(COUNT) if SPLIT_OF[k] == number]
        assert data.labels is None and data.classes == 0 and data.class_names is None


@pytest.mark.parametrize("crop", [140, 108, 1, 178])
def test_the_crop_is_torchvision_s_and_part_of_which_data_it_is(crop: int, tmp_path: Path, monkeypatch: Patch) -> None:
    write(tmp_path / "celeba", monkeypatch)
    data = read(tmp_path, f"data.crop={crop}")
    wanted = CenterCrop(crop)(Image.open(io.BytesIO(jpeg(0)))).resize((16, 16), Image.LANCZOS)
    assert np.array_equal(data.at([0])[0].permute(1, 2, 0).numpy(), np.asarray(wanted))
    whole, other = read(tmp_path, "data.crop=null"), read(tmp_path, "data.crop=148")
    assert len({data.fingerprint(), whole.fingerprint(), other.fingerprint()}) == 3


def test_copies_of_two_crops_are_two(tmp_path: Path, monkeypatch: Patch) -> None:
    write(tmp_path / "celeba", monkeypatch)
    ways = [("data.in_memory=false", "data.copy=true", f"data.crop={crop}") for crop in (148, 108, "null")]
    copied = [read(tmp_path, *way).at(range(7)) for way in ways]
    assert len([*(tmp_path / "cache").glob("*.bin")]) == 3
    for crop, images in zip((148, 108, "null"), copied, strict=True):
        assert torch.equal(images, read(tmp_path, f"data.crop={crop}").at(range(7)))
    assert not torch.equal(copied[0], copied[1])


def test_the_parts_of_any_set_of_images_are_there(tmp_path: Path, monkeypatch: Patch) -> None:
    write(tmp_path / "celeba", monkeypatch)
    some = read(tmp_path, "data.labels_of=Smiling", "data.classes=[Smiling]", "data.channels=1", "data.limit=3")
    assert some.shape == (1, 16, 16) and some.count == 3 and some.class_names == ("Smiling",)
    assert read(tmp_path, "data.crop=null", "data.fit=pad").at([0])[0, :, :, 0].max() == 0


@pytest.mark.parametrize("file", [celeba.SPLITS, celeba.ATTRIBUTES])
def test_a_list_with_another_checksum_is_refused_unless_it_is_meant(
    file: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    where = write(tmp_path / "celeba", monkeypatch)
    (where / file).write_text((where / file).read_text().replace(" 1", "  1", 1))
    with pytest.raises(DataError, match=rf"{file} is damaged: it has not the published checksum.*check_count=false"):
        read(tmp_path, "data.labels_of=Young")
    assert read(tmp_path, "data.labels_of=Young", "data.check_count=false").count == 7


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (celeba.SPLITS, "000003.jpg 0", "000003.jpg zero", "is damaged"),
        (celeba.SPLITS, "000003.jpg 0", "000003.jpg", "is damaged"),
        (celeba.ATTRIBUTES, "000003.jpg -1   1   1", "000003.jpg -1", "is damaged"),
        (celeba.ATTRIBUTES, "000003.jpg -1   1   1", "000003.jpg -1   0   1", "Smiling of 000003.jpg must be -1 or 1"),
        (celeba.ATTRIBUTES, "000003.jpg", "000033.jpg", "Smiling of 000003.jpg must be -1 or 1, got None"),
    ],
)
def test_a_damaged_list_is_named(file: str, old: str, new: str, words: str, tmp_path: Path, monkeypatch: Patch) -> None:
    where = write(tmp_path / "celeba", monkeypatch)
    text = (where / file).read_text()
    assert old in text
    (where / file).write_text(text.replace(old, new))
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path, "data.labels_of=Smiling", "data.check_count=false")
    assert "\n" not in str(caught.value)
    (where / file).write_text("")
    with pytest.raises(DataError, match=rf"{file} is damaged"):
        read(tmp_path, "data.labels_of=Smiling", "data.check_count=false")


def test_missing_images_another_number_of_them_and_small_ones_are_refused(tmp_path: Path, monkeypatch: Patch) -> None:
    where = write(tmp_path / "celeba", monkeypatch)
    monkeypatch.setattr(celeba, "PUBLISHED", {"train": 8, "valid": 2})
    with pytest.raises(DataError, match=r"CelebA has 8 images in its train split, and these files hold 7"):
        read(tmp_path)
    assert read(tmp_path, "data.check_count=false").count == 7
    image = where / "img_align_celeba" / name(2)
    Image.new("RGB", (100, 178)).save(image)
    with pytest.raises(
        DataError, match=r"000003\.jpg cannot be read as an image \(it has 100×178 pixels, less than da"
    ):
        read(tmp_path, "data.check_count=false")
    image.unlink()
    with pytest.raises(DataError, match=r"1 images of its train split are not in .*, the first of them 000003\.jpg"):
        read(tmp_path, "data.check_count=false")


def test_a_zip_that_is_cut_off_is_refused(tmp_path: Path, monkeypatch: Patch) -> None:
    archive = write(tmp_path / "celeba", monkeypatch, "zip") / celeba.PACKED
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"img_align_celeba\.zip is no whole archive"):
        read(tmp_path)


class Drive(types.ModuleType):
    """Stands for gdown, by which torchvision downloads: gives these files, or fails as Google Drive does."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__("gdown")
        self.files, self.asked = files, []

    def download(self, id: str, output: str, **more: object) -> None:
        self.asked.append(Path(output).name)
        if Path(output).name not in self.files:
            raise RuntimeError("Too many users have viewed or downloaded this file recently.\nTry again later.")
        Path(output).write_bytes(self.files[Path(output).name])


def test_what_is_missing_is_downloaded_with_a_line_and_read_in_place(
    tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {celeba.PACKED: packed(), **{file: text.encode() for file, text in lists().items()}}
    publish(monkeypatch, files)
    monkeypatch.setitem(sys.modules, "gdown", drive := Drive(files))
    assert read(tmp_path / "data", "data.download=true").count == 7
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("downloading CelebA")]
    assert (
        len(said) == 1 and "(1,446 MB) from Google Drive" in said[0] and drive.asked == [celeba.PACKED, celeba.SPLITS]
    )
    assert read(tmp_path / "data", "data.download=true", "data.labels_of=Bald").labels.tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert drive.asked[2:] == [celeba.ATTRIBUTES] and "(27 MB)" in capsys.readouterr().err
    read(tmp_path / "data", "data.download=true", "data.labels_of=Bald")
    assert len(drive.asked) == 3 and capsys.readouterr().err == ""
    assert sorted(path.name for path in (tmp_path / "data" / "celeba").iterdir()) == sorted(files)


@pytest.mark.parametrize("files", [{}, {celeba.PACKED: b"<html>Quota exceeded</html>"}])
def test_a_download_that_fails_names_files_and_folder_and_leaves_nothing(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setitem(sys.modules, "gdown", Drive(files))
    with pytest.raises(DataError) as caught:
        read(tmp_path / "data", "data.download=true")
    text = str(caught.value)
    assert f"Put {celeba.SPLITS}, {celeba.PACKED} of {celeba.HOME} into {tmp_path / 'data' / 'celeba'} and run" in text
    assert ("Too many users" in text) != ("corrupted" in text) and "\n" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def closed_proxy(monkeypatch: Patch) -> Iterator[str]:
    """Send all connections to an address of this machine at which nobody listens."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets the port meanwhile
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for key in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(key, address)
        monkeypatch.delenv("NO_PROXY", raising=False), monkeypatch.delenv("no_proxy", raising=False)
        yield address


def test_without_a_connection_gdown_s_own_error_is_one_sentence(tmp_path: Path, closed_proxy: str) -> None:
    pytest.importorskip("gdown")
    with pytest.raises(DataError, match=r"could not be downloaded \(.+\)\. Put list_eval") as caught:
        read(tmp_path / "data", "data.download=true")
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_without_gdown_the_extra_is_named(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(DataError, match=r"gdown is not installed: pip install 'gantrain\[celeba\]'\)\. Put "):
        read(tmp_path, "data.download=true")
    with pytest.raises(DataError, match=r"\(data\.download=false\)\. Put "):
        read(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    ["data.split=val", "data.crop=0", "data.crop=179", "data.crop=1.5", "data.crop=true", "data.labels_of=Smile"],
)
def test_a_senseless_setting_is_refused_by_name(wrong: str, tmp_path: Path, monkeypatch: Patch) -> None:
    write(tmp_path / "celeba", monkeypatch)
    with pytest.raises(ConfigError, match=wrong.partition("=")[0].replace(".", r"\.")) as caught:
        read(tmp_path, wrong)
    assert "Smile" not in wrong or "Bald, Smiling, Young, or use null" in str(caught.value)


def test_two_steps_by_the_command(tmp_path: Path, monkeypatch: Patch, gantrain: Callable[..., object]) -> None:
    write(tmp_path / "data" / "celeba", monkeypatch, "zip")
    run = gantrain(
        "data=celeba", "data.root=data", "data.labels_of=Smiling", "data.size=16", "total_steps=2", "batch_size=4",
        "evaluation=none", "device=cpu", "run.dir=run", "architecture.generator.width=4",
        "architecture.discriminator.width=4", "samples.count=4",
    )  # fmt: skip
    assert run.exit_code == 0, run.err
    assert (tmp_path / "run" / "samples" / "real.png").is_file() and "7 images 3×16×16, 2 classes" in run.out + run.err
