"""Images in a zip or a tar: read in place, like the folder that was packed, whatever is wrong with the archive."""

from __future__ import annotations

import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gantrain.data import listing
from gantrain.errors import DataError
from tests.data.messy import read, save

WAYS = {
    "memory": {"in_memory": True},
    "copy": {"in_memory": False, "copy": True},
    "files": {"in_memory": False, "copy": False},
}
KINDS = ("zip", "deflated.zip", "tar")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of twelve images in three classes."""
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "cache"))
    for k in range(12):
        save(tmp_path / "pets" / ("cat", "dog", "été")[k % 3] / f"{k}.png", seed=k)
    (tmp_path / "pets" / ".hidden").mkdir()
    save(tmp_path / "pets" / ".hidden" / "x.png")
    return tmp_path / "pets"


def pack(folder: Path, kind: str, around: str = "") -> Path:
    """Pack what a folder holds, inside of a folder ``around``."""
    archive = folder.with_name(f"{folder.name}.{kind}")
    files = sorted(folder.rglob("*"))
    if kind == "tar":
        with tarfile.open(archive, "w") as tar:
            for path in files:
                tar.add(path, f"./{around}{path.relative_to(folder)}", recursive=False)
    else:
        method = zipfile.ZIP_DEFLATED if "deflated" in kind else zipfile.ZIP_STORED
        with zipfile.ZipFile(archive, "w", method) as packed:
            for path in files:
                packed.write(path, f"{around}{path.relative_to(folder)}")
    return archive


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_gives_the_same_batches_as_the_folder(folder: Path, kind: str, way: str) -> None:
    whole, packed = read(folder), read(pack(folder, kind), **WAYS[way])
    assert packed.class_names == ("cat", "dog", "été") and packed.labels.tolist() == whole.labels.tolist()
    assert torch.equal(packed.at(range(12)), whole.at(range(12))) and packed.fingerprint() == whole.fingerprint()
    ours, theirs = (data.stream(4, 0, torch.device("cpu")) for data in (packed, whole))
    for _ in range(8):
        assert all(torch.equal(a, b) for a, b in zip(ours.next(), theirs.next(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_inside_of_an_archive_can_be_named(folder: Path, kind: str) -> None:
    archive = pack(folder, kind, "all/train/")
    assert read(archive / "all" / "train").class_names == ("cat", "dog", "été")
    with pytest.raises(DataError, match=r"whose folders \(train\) would all be one class") as caught:
        read(archive)
    assert str(caught.value).endswith(f"data.root={archive / 'all' / 'train'}")
    with pytest.raises(DataError, match=r"there is no such folder in .*pets"):
        read(archive / "all" / "test")


@pytest.mark.parametrize("kind", KINDS)
def test_members_in_no_order_and_without_entries_for_folders_are_read_alike(folder: Path, kind: str) -> None:
    whole = read(folder)
    archive = folder.with_name(f"odd.{kind}")
    files = sorted((path for path in folder.rglob("*.png")), key=lambda path: path.name[::-1])
    if kind == "tar":
        with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
            for path in files:
                tar.add(path, path.relative_to(folder))
    else:
        with zipfile.ZipFile(archive, "w") as packed:
            for path in files:
                packed.write(path, str(path.relative_to(folder)).replace("/", "\\"))  # as some tools for Windows do
    assert torch.equal(read(archive).at(range(12)), whole.at(range(12)))


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/etc/x.png", "..\\x.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_that_leads_out_of_an_archive_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    save(tmp_path / "x.png")
    archive = tmp_path / f"evil.{kind}"
    if kind == "tar":
        with tarfile.open(archive, "w") as tar:
            info = tarfile.TarInfo(name)
            info.size = (tmp_path / "x.png").stat().st_size
            tar.addfile(info, io.BytesIO((tmp_path / "x.png").read_bytes()))
    else:
        with zipfile.ZipFile(archive, "w") as packed:
            info = zipfile.ZipInfo("x")
            info.filename = name
            packed.writestr(info, (tmp_path / "x.png").read_bytes())
    with pytest.raises(DataError, match="leads out of it"):
        read(archive)


def test_links_and_devices_in_an_archive_are_passed_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar, packed = pack(folder, "tar"), pack(folder, "zip")
    with tarfile.open(tar, "a") as archive:
        link = tarfile.TarInfo("cat/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        fifo = tarfile.TarInfo("cat/pipe.png")
        fifo.type = tarfile.FIFOTYPE
        archive.addfile(fifo)
    with zipfile.ZipFile(packed, "a") as archive:
        info = zipfile.ZipInfo("cat/link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert read(tar).count == read(packed).count == 12
    err = capsys.readouterr().err
    assert "passed over: 2 link or devices" in err and "passed over: 1 link" in err


def claiming(packed: Path) -> None:
    """Let the first file of a zip claim to be 4 GB."""
    content = bytearray(packed.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    packed.write_bytes(content)


def encrypted(packed: Path) -> None:
    content = bytearray(packed.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    packed.write_bytes(content)


def flipped(packed: Path) -> None:
    """Change a byte in the middle of the first file."""
    content = bytearray(packed.read_bytes())
    content[60] ^= 0xFF
    packed.write_bytes(content)


@pytest.mark.parametrize("damage", [claiming, encrypted, flipped])
def test_a_file_of_a_zip_that_cannot_be_read_is_named_and_may_be_skipped(
    damage: Callable[[Path], None], folder: Path
) -> None:
    packed = folder.with_name("files.zip")
    files = sorted(folder.glob("[!.]*/*.png"))
    with zipfile.ZipFile(packed, "w") as archive:
        for path in files:
            archive.write(path, path.relative_to(folder))
    damage(packed)
    with pytest.raises(DataError, match=rf"files\.zip/{files[0].relative_to(folder)} cannot be read as an image"):
        read(packed)
    assert read(packed, on_bad="skip", skip_limit=0.1).count == 11


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.93])
def test_an_archive_that_is_cut_off_is_refused(folder: Path, kind: str, share: float) -> None:
    archive = pack(folder, kind)
    content = archive.read_bytes()
    if kind == "tar":
        content = content.rstrip(b"\0") + bytes(1024)
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="is it cut off"):
        read(archive)


def test_a_tar_that_is_cut_off_between_two_files_is_refused(folder: Path) -> None:
    archive = pack(folder, "tar")
    with tarfile.open(archive) as tar:
        end = tar.getmembers()[7].offset
    for cut in (end, end + 200):
        archive.write_bytes(archive.read_bytes()[:cut])
        with pytest.raises(DataError, match="is it cut off"):
            read(archive)
        archive = pack(folder, "tar")


def test_a_compressed_tar_says_how_to_make_a_plain_one(folder: Path) -> None:
    archive = pack(folder, "tar")
    (packed := archive.with_suffix(".tar.xz")).write_bytes(lzma.compress(archive.read_bytes()))
    with pytest.raises(DataError, match=r"compressed as a whole.*unxz makes a plain tar"):
        read(packed)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"text", bytes(600)])
def test_files_that_are_no_archive_or_an_empty_one_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.zip (is neither|is no whole archive|holds no images)"):
        read(tmp_path / "x.zip")


def test_the_size_of_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantrain.data.archives.LARGEST", 10_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1_000_000))
    assert (tmp_path / "bomb.zip").stat().st_size < 2_000
    with pytest.raises(DataError, match="would take 1,000,000 bytes, more than 10,000"):
        read(tmp_path / "bomb.zip")


def test_a_file_is_packed_twice_and_the_last_one_counts(folder: Path) -> None:
    archive = pack(folder, "tar")
    with tarfile.open(archive, "a") as tar:
        tar.add(folder / "dog" / "1.png", "cat/0.png")
    found = listing.find(archive)
    assert len(found.entries) == 12
    changed = read(archive)
    assert torch.equal(changed.at([0]), changed.at([4]))  # the first cat is the first dog now
