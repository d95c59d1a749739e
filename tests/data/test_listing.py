"""What lies in a folder: which files are images, of which classes, and what is said of the rest."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gantrain.data import listing
from gantrain.data.names import natural, plain
from gantrain.errors import DataError
from tests.data.messy import read, save

Captured = pytest.CaptureFixture[str]


def test_classes_are_sorted_as_people_sort_names_and_bear_them(tmp_path: Path) -> None:
    for name in ("10", "9", "b2", "b10", "a", "1"):
        save(tmp_path / name / "x.png")
    assert listing.find(tmp_path).class_names == ("1", "9", "10", "a", "b2", "b10")
    assert read(tmp_path).class_names == ("1", "9", "10", "a", "b2", "b10")
    assert sorted(["b", "B", "a1", "a"], key=natural) == sorted(["b", "B", "a1", "a"])  # without numbers, as before


@pytest.mark.parametrize("root", ["", " ", None])
def test_a_root_that_is_empty_is_not_the_current_folder(
    root: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data\.root is empty"):
        listing.find(root)


def test_a_folder_that_cannot_be_read_is_named_and_shifts_no_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/deep", "b", "c"):
        save(tmp_path / name / "x.png")
    scan = os.scandir

    def forbidden(path: str | os.PathLike[str]) -> object:
        if Path(path) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", forbidden)  # root may read everything
    for locked in (tmp_path, tmp_path / "a", tmp_path / "a" / "deep", tmp_path / "b"):
        with pytest.raises(DataError, match=rf"{locked} cannot be read \(Permission denied\)"):
            listing.find(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permissions_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a" / "x.png"), save(tmp_path / "b" / "x.png")
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(DataError, match=r"a cannot be read \(Permission denied\)"):
            listing.find(tmp_path)
    finally:
        (tmp_path / "a").chmod(0o755)


def test_folders_of_the_system_and_of_runs_are_no_classes(tmp_path: Path, capsys: Captured) -> None:
    for name in ("cat", "dog", "@eaDir", "__MACOSX", ".thumbnails", "lost+found", "$RECYCLE.BIN", "outputs/run"):
        save(tmp_path / name / "x.png")
    for name in ("config.yaml", "metrics.jsonl"):
        (tmp_path / "outputs" / "run" / name).touch()
    (tmp_path / "Thumbs.db").touch(), (tmp_path / ".DS_Store").touch(), (tmp_path / "cat" / "desktop.ini").touch()
    found = listing.find(tmp_path)
    assert found.class_names == ("cat", "dog")
    assert "passed over: 1 run folder" in capsys.readouterr().err
    assert found.passed_over == [f"{tmp_path / 'outputs' / 'run'}: run folder"]


def test_links_are_followed_and_those_that_lead_nowhere_or_back_are_named(tmp_path: Path, capsys: Captured) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    save(root / "a" / "own.png"), save(root / "b" / "own.png"), save(outside / "far.png"), save(tmp_path / "one.png")
    (root / "a" / "file.png").symlink_to(tmp_path / "one.png")
    (root / "a" / "folder").symlink_to(outside)
    (root / "c").symlink_to(outside)
    (root / "b" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    (root / "b" / "back").symlink_to(root)
    (root / "b" / "itself").symlink_to(root / "b")
    (root / "b" / "circle").symlink_to(root / "b" / "circle")
    found = listing.find(root)
    assert [str(entry.path.relative_to(root)) for entry in found.entries] == [
        *("a/file.png", "a/folder/far.png", "a/own.png", "b/own.png", "c/far.png")
    ]
    err = capsys.readouterr().err
    assert "2 circular links" in err and "2 broken links" in err
    assert f"{root / 'b' / 'broken.png'}: broken link" in found.passed_over


def test_files_that_are_not_read_are_counted_and_named(tmp_path: Path, capsys: Captured) -> None:
    names = ("a.JFIF", "b.tif", "c.webp", "d.heic", "e.heic", "f.eps", "g.npy", "README", "dataset.json")
    for name in names:
        (tmp_path / name).write_text("{}")
    os.mkfifo(tmp_path / "pipe.png")
    found = listing.find(tmp_path)
    assert [entry.path.name for entry in found.entries] == ["a.JFIF", "b.tif", "c.webp"]
    err = capsys.readouterr().err
    for part in ("2 .heic files", "1 .eps file", "1 .npy file", "1 file without a suffix", "1 pipe or device"):
        assert part in err
    assert len(found.passed_over) == 7 and len(err.splitlines()) == 1


def test_a_folder_without_images_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "a.heic").touch(), (tmp_path / "b.heic").touch()
    with pytest.raises(DataError, match=r"holds no images \(.*\.jpg.*\); there are 2 \.heic files"):
        listing.find(tmp_path)


@pytest.mark.parametrize(
    "parts", [("train", "val"), ("Train", "TEST"), ("train2017", "val2017"), ("training_set", "test_set", "extra")]
)
def test_parts_of_a_data_set_are_no_classes(parts: tuple[str, ...], tmp_path: Path) -> None:
    for part in parts:
        for name in ("cat", "dog"):
            save(tmp_path / part / name / "x.png")
    if "training_set" in parts:
        parts = ("test_set", "training_set")
    with pytest.raises(DataError, match="parts of a data set and no classes") as caught:
        listing.find(tmp_path)
    first = next(part for part in parts if part.lower().startswith("train"))
    assert f"data.root={tmp_path / first}" in str(caught.value) and "extra" not in str(caught.value)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    save(tmp_path / "train" / "x.png"), save(tmp_path / "plane" / "x.png")
    assert listing.find(tmp_path).class_names == ("plane", "train")


def test_one_folder_around_the_classes_is_not_one_class(tmp_path: Path, capsys: Captured) -> None:
    save(tmp_path / "pets" / "cat" / "x.png"), save(tmp_path / "pets" / "dog" / "x.png")
    with pytest.raises(DataError, match=r"pets, whose folders \(cat, dog\) would all be one class") as caught:
        listing.find(tmp_path)
    assert str(caught.value).endswith(f"data.root={tmp_path / 'pets'}")
    (tmp_path / "pets" / "cat").rename(tmp_path / "pets" / "val")
    (tmp_path / "pets" / "dog").rename(tmp_path / "pets" / "train")
    with pytest.raises(DataError, match=f"data.root={tmp_path / 'pets' / 'train'}$"):
        listing.find(tmp_path)
    save(tmp_path / "flat" / "pets" / "x.png")
    assert listing.find(tmp_path / "flat").class_names == ("pets",)
    assert f"data.root={tmp_path / 'flat' / 'pets'} reads them without labels" in capsys.readouterr().err


def odd_name(folder: Path, name: bytes) -> Path:
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    try:
        path.touch()
    except OSError as error:
        pytest.skip(f"this file system takes no such names ({error})")
    return path


def test_names_are_shown_on_one_line_of_text_whatever_their_bytes(tmp_path: Path) -> None:
    assert plain(odd_name(tmp_path, b"caf\xe9.png").name) == r"caf\xe9.png"
    assert plain("é ü 猫") == "é ü 猫"
    assert plain("a\nb\x1b[2J\u202e") == r"a\nb\x1b[2J\u202e"
