"""Sets that Hugging Face's library has saved, in each of its forms; skipped where it is not installed."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.build import build_data
from gantrain.data import HuggingFace
from gantrain.errors import ConfigError, DataError
from tests.conftest import config
from tests.data.messy import logo
from tests.data.messy import read as read_folder

Patch = pytest.MonkeyPatch
NAMES = ["cat", "dog", "owl"]
COUNT = 12
FORMS = ("saved", "splits", "parquet", "folder")


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8))


def png(image: Image.Image) -> dict[str, Any]:
    """An image as the library holds it."""
    file = io.BytesIO()
    image.save(file, "png")
    return {"bytes": file.getvalue(), "path": None}


def made(images: list[Any] | None = None, **columns: tuple[list[Any], Any]) -> Any:
    """A set of the library; by default twelve images of three classes."""
    datasets = pytest.importorskip("datasets")
    images = [png(picture(k)) for k in range(COUNT)] if images is None else images
    columns = columns or {"label": ([k % 3 for k in range(len(images))], datasets.ClassLabel(names=NAMES))}
    features = {"image": datasets.Image(), **{name: feature for name, (_, feature) in columns.items()}}
    content = {"image": images, **{name: values for name, (values, _) in columns.items()}}
    return datasets.Dataset.from_dict(content, features=datasets.Features(features))


def save(found: Any, form: str, folder: Path) -> Path:
    """Save a set in one of the forms; return what names it."""
    import datasets

    datasets.disable_progress_bars()
    if form == "saved":
        found.save_to_disk(folder / form)
    elif form == "splits":
        datasets.DatasetDict({"train": found, "test": found.select(range(3))}).save_to_disk(folder / form)
    elif form == "parquet":
        found.to_parquet(folder / "some.parquet")
        return folder / "some.parquet"
    else:
        (folder / form / "data").mkdir(parents=True)
        found.to_parquet(folder / form / "data" / "train-00000-of-00001.parquet")
        found.select(range(3)).to_parquet(folder / form / "data" / "test-00000-of-00001.parquet")
    return folder / form


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "cache"))
    if "datasets" in sys.modules:
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hub")


@pytest.fixture(scope="module", autouse=True)
def offline() -> Any:
    """No test asks the hub."""
    datasets = pytest.importorskip("datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        yield


def read(name: object, *more: str) -> HuggingFace:
    """The data set as the command builds it."""
    data = build_data(config("data=huggingface", f"data.name='{name}'", "data.size=8", *more))
    assert isinstance(data, HuggingFace)
    return data


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_images_that_a_folder_of_them_would(form: str, tmp_path: Path) -> None:
    for k in range(COUNT):
        (folder := tmp_path / "pngs").mkdir(exist_ok=True)
        picture(k).save(folder / f"{k:02}.png")
    data = read(save(made(), form, tmp_path))
    assert torch.equal(data.at(range(COUNT)), read_folder(folder).at(range(COUNT)))
    assert data.class_names == tuple(NAMES) and data.labels.tolist() == [k % 3 for k in range(COUNT)]
    if form in ("splits", "folder"):
        assert read(tmp_path / form, "data.split=test").count == 3
    with pytest.raises(DataError, match=r"valid"):
        read(tmp_path / "some.parquet" if form == "parquet" else tmp_path / form, "data.split=valid")


def test_all_ways_of_holding_them_give_the_same_and_a_copy_is_not_that_of_other_rows(tmp_path: Path) -> None:
    path = save(made(), "parquet", tmp_path)
    whole = read(path)
    for way in (("data.in_memory=false", "data.copy=true"), ("data.in_memory=false", "data.copy=false")):
        data = read(path, *way)
        assert torch.equal(data.at(range(COUNT)), whole.at(range(COUNT)))
        assert data.fingerprint() == whole.fingerprint() and data.freshness() == whole.freshness()
    flat = save(made([png(Image.new("L", (8, 8), 20 * k)) for k in range(COUNT)]), "folder", tmp_path)
    first, last = (
        read(flat, "data.in_memory=false", "data.copy=true", f"data.split='train[{part}]'") for part in ("6:", ":6")
    )
    assert not torch.equal(first.at(range(6)), last.at(range(6)))


def test_the_settings_of_folders_of_images_are_there(tmp_path: Path) -> None:
    name = save(made([png(logo()) for _ in range(6)]), "saved", tmp_path)
    assert read(name).at([0])[0, :, 0, 0].tolist() == [255] * 3
    assert read(name, "data.background=red").at([0])[0, :, 0, 0].tolist() == [255, 0, 0]
    assert read(name, "data.channels=4").shape == (4, 8, 8)
    some = read(name, "data.channels=1", "data.fit=pad", "data.classes=[owl,cat]", "data.limit=3")
    assert some.shape == (1, 8, 8) and some.class_names == ("owl", "cat") and some.count == 3


def test_gray_images_of_16_bits_keep_their_depth(tmp_path: Path) -> None:
    deep = [Image.fromarray(np.full((8, 8), 5_000 * k, dtype=np.uint16)) for k in range(6)]
    name = save(made([png(image) for image in deep]), "saved", tmp_path)
    x, _ = read(name, "data.depth=16", "data.range=[0,25000]").stream(6, 0, torch.device("cpu")).next()
    assert sorted(x[:, 0, 0, 0].tolist()) == pytest.approx([-1, -0.6, -0.2, 0.2, 0.6, 1], abs=1e-4)


def test_numbers_are_classes_named_by_themselves_and_labels_can_be_left_out(tmp_path: Path) -> None:
    from datasets import Value

    numbers = [7, -2, 30] * 4
    name = save(made(age=(numbers, Value("int16")), text=(["x"] * COUNT, Value("string"))), "saved", tmp_path)
    assert read(name).labels is None and read(name).classes == 0
    data = read(name, "data.label=age")
    assert data.class_names == ("-2", "7", "30") and data.labels.tolist() == [1, 0, 2] * 4
    with pytest.raises(ConfigError, match=r"data\.label=text must be a column of classes or whole numbers"):
        read(name, "data.label=text")
    with pytest.raises(ConfigError, match=r"data\.label=year: there is no such column, but image, age, text"):
        read(name, "data.label=year")


def test_several_columns_of_images_or_classes_must_be_named(tmp_path: Path) -> None:
    from datasets import ClassLabel
    from datasets import Image as Images

    inverse = [png(picture(50 + k)) for k in range(COUNT)]
    classes = ([0, 1] * 6, ClassLabel(names=["a", "b"]))
    name = save(made(mask=(inverse, Images()), fine=classes, coarse=classes), "saved", tmp_path)
    with pytest.raises(ConfigError, match=r"data\.image: the columns image, mask hold images .* name the one"):
        read(name)
    with pytest.raises(ConfigError, match=r"data\.label: the columns fine, coarse hold classes; name the one"):
        read(name, "data.image=mask")
    assert read(name, "data.image=mask", "data.label=none").classes == 0
    data, other = (read(name, f"data.image={column}", "data.label=fine") for column in ("mask", "image"))
    assert data.class_names == ("a", "b") and not torch.equal(data.at([0]), other.at([0]))
    with pytest.raises(ConfigError, match=r"data\.image=fine holds no images"):
        read(name, "data.image=fine", "data.label=fine")
    with pytest.raises(ConfigError, match=r"data\.image=x: there is no such column"):
        read(name, "data.image=x")


def test_bytes_that_the_library_does_not_know_as_images_are_read_if_they_are_named(tmp_path: Path) -> None:
    import datasets

    raw = datasets.Dataset.from_dict({"jpg": [png(picture(k))["bytes"] for k in range(4)]})
    name = save(raw, "saved", tmp_path)
    with pytest.raises(ConfigError, match=r"data\.image: none of the columns jpg hold images"):
        read(name)
    assert torch.equal(read(name, "data.image=jpg").at(range(4)), read(save(made(), "parquet", tmp_path)).at(range(4)))


def test_rows_without_a_class_are_refused(tmp_path: Path) -> None:
    from datasets import ClassLabel

    labels = ([0, -1, 1, None] * 3, ClassLabel(names=["a", "b"]))
    name = save(made(label=labels), "saved", tmp_path)
    with pytest.raises(DataError, match=r"6 rows of .*saved have no class in label; data\.label=none takes no classes"):
        read(name)
    assert read(name, "data.label=none").count == COUNT


def test_images_that_cannot_be_read_are_named_by_their_row_and_may_be_skipped(tmp_path: Path) -> None:
    picture(9).save(tmp_path / "there.png")
    bad: list[Any] = [{"bytes": b"no image", "path": None}, None, {"bytes": None, "path": "https://x.org/a.png"}]
    good = [{"bytes": None, "path": str(tmp_path / "there.png")}, *(png(picture(k)) for k in range(4))]
    import datasets

    raw = datasets.Dataset.from_dict({"image": [*good, *bad]})  # as images the library would look for the link
    name = save(raw, "saved", tmp_path)
    with pytest.raises(DataError, match=r"saved/train/row 5 cannot be read as an image"):
        read(name, "data.image=image")
    data = read(name, "data.image=image", "data.on_bad=skip", "data.skip_limit=0.5")
    assert data.count == 5 and torch.equal(data.at([0]), read(save(made(), "parquet", tmp_path)).at([9]))
    assert "it is empty" in data.skipped[1] and "it is only a link, to https://x.org" in data.skipped[2]


def test_what_is_damaged_or_something_else_is_refused(tmp_path: Path) -> None:
    path = save(made(), "parquet", tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "empty").mkdir()
    for name in (path, tmp_path / "empty"):
        with pytest.raises(
            DataError, match=r"cannot be loaded \(.*\); it must be whole, written by save_to_disk"
        ) as caught:
            read(name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"data\.config=x: .* was saved without configurations"):
        read(save(made(), "saved", tmp_path), "data.config=x")


def test_code_that_a_set_brings_is_never_run(tmp_path: Path) -> None:
    (folder := tmp_path / "evil").mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(DataError, match=r"cannot be loaded"):
        read(folder)
    assert not (tmp_path / "ran").exists()


def test_without_a_connection_the_way_round_it_is_named(
    tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data\.name=some/thing cannot be loaded \(.*thing.*\); without a") as caught:
        read("some/thing")
    text = str(caught.value)
    assert "datasets.load_dataset('some/thing').save_to_disk(FOLDER), and use data.name=FOLDER" in text
    assert "\n" not in text and "loading some/thing" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"data\.name is empty"):
        read("")


def test_two_steps_by_the_command(tmp_path: Path, gantrain: Callable[..., object]) -> None:
    save(made(), "splits", tmp_path)
    run = gantrain(
        "data=huggingface", "data.name=splits", "total_steps=2", "batch_size=4", "data.size=16", "evaluation=none",
        "device=cpu", "run.dir=run", "architecture.generator.width=4", "architecture.discriminator.width=4",
        "samples.count=6", "conditioning=projection",
    )  # fmt: skip
    assert run.exit_code == 0, run.err
    assert (tmp_path / "run" / "samples" / "real.png").is_file() and "12 images 3×16×16, 3 classes" in run.out + run.err
