"""Some classes of a data set, and a number of its samples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.build import build_data
from gantrain.build.building import build_quality
from gantrain.data import Digits, Stacked
from gantrain.data.subset import choose, few, in_channels, long_tail
from gantrain.errors import ConfigError, DataError
from gantrain.run.identity import compared, plain
from tests.conftest import config, write_mnist

WHOLE = Digits()


def test_classes_that_are_kept_have_the_numbers_of_their_place_in_the_list_and_their_names() -> None:
    data = Digits(classes=[5, 3])
    rows = [k for k, label in enumerate(WHOLE.labels.tolist()) if label in (3, 5)]
    assert torch.equal(data.pixels, WHOLE.pixels[rows])
    assert data.labels.tolist() == [{5: 0, 3: 1}[label] for label in WHOLE.labels[rows].tolist()]
    assert data.classes == 2 and data.class_names == ("5", "3")
    assert torch.equal(Digits(classes=["5", "3"]).labels, data.labels)


def test_without_settings_every_image_is_the_same() -> None:
    chosen = choose(WHOLE.labels, 1797, WHOLE.class_names)
    assert chosen.kept.tolist() == list(range(1797))
    assert torch.equal(chosen.labels, WHOLE.labels) and chosen.names == WHOLE.class_names


def test_a_limit_keeps_the_shares_of_classes_to_one_sample() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])[np.random.default_rng(0).permutation(1000)]
    for limit in (3, 10, 100, 500, 999, 1000):
        chosen = few(labels, 1000, limit, 0)
        assert len(set(chosen.tolist())) == limit and (np.diff(chosen) > 0).all()
        counts = np.bincount(labels[chosen], minlength=3)
        assert counts.min() >= 1 and (np.abs(counts - limit * np.array([0.6, 0.3, 0.1])) <= 1).all(), counts
    assert np.bincount(few(np.arange(1000) % 10, 1000, 100, 0) % 10).tolist() == [10] * 10


def test_no_class_is_left_without_a_sample_however_rare() -> None:
    labels = np.array([0] * 10_000 + [1])
    assert set(labels[few(labels, 10_001, 2, 0)]) == {0, 1}


def test_a_smaller_limit_takes_some_of_the_samples_of_a_larger_one_and_another_seed_takes_others() -> None:
    chosen = [set(few(WHOLE.labels.numpy(), 1797, limit, 0).tolist()) for limit in (10, 50, 200, 1797)]
    assert chosen[0] < chosen[1] < chosen[2] < chosen[3]
    other = set(few(WHOLE.labels.numpy(), 1797, 200, 1).tolist())
    assert len(other & chosen[2]) < 60  # 22 by chance
    assert few(WHOLE.labels.numpy(), 1797, 12, 0).tolist() == few(WHOLE.labels.numpy(), 1797, 12, 0).tolist()


def test_samples_without_labels_can_be_limited_and_classes_come_before_the_limit() -> None:
    chosen = choose(None, 1797, (), limit=7)
    assert chosen.labels is None and chosen.names == () and len(chosen.kept) == 7
    data = Digits(classes=[1, 2], limit=20)
    assert torch.bincount(data.labels).tolist() == [10, 10] and data.count == 20


def test_a_long_tail_falls_exponentially_and_a_longer_one_takes_some_of_the_same() -> None:
    data = Digits(imbalance=100)
    assert torch.bincount(data.labels).tolist() == [int(174 * 100 ** (-k / 9)) for k in range(10)]  # 174 eights
    tails = [set(long_tail(WHOLE.labels.numpy(), 10, ratio, 0).tolist()) for ratio in (100, 10, 1)]
    assert tails[0] < tails[1] < tails[2]
    assert torch.bincount(Digits(imbalance=100, limit=50).labels).min() == 1


def test_gray_becomes_colour_and_colour_becomes_gray_as_pillow_makes_it() -> None:
    colour = Digits(channels=3)
    assert colour.shape == (3, 8, 8) and torch.equal(colour.pixels[:, 2:], WHOLE.pixels)
    pixels = torch.randint(256, (5000, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    gray = in_channels(pixels, 1)
    expected = [np.asarray(Image.fromarray(image).convert("L")) for image in pixels.permute(0, 2, 3, 1).numpy()]
    assert gray.shape == (5000, 1, 4, 4) and (gray[:, 0].numpy() == np.stack(expected)).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"classes": [10]}, r"data\.classes=\[10\]: there are 0 to 9, called 0, 1"),
        ({"classes": []}, r"data\.classes=\[\]"),
        ({"classes": [1, "1"]}, "names a class twice"),
        ({"limit": 1798}, r"data\.limit must be a whole number from 10 \(one of each class\) to 1,797"),
        ({"limit": 9}, r"data\.limit"),
        ({"limit": 20.5}, r"data\.limit"),
        ({"limit": True}, r"data\.limit"),
        ({"limit": 20, "limit_seed": -1}, r"data\.limit_seed"),
        ({"limit_seed": "x"}, r"data\.limit_seed"),
        ({"imbalance": 0.5}, r"data\.imbalance must be a number from 1 to 174"),
        ({"imbalance": 1000}, r"data\.imbalance"),
        ({"imbalance": True}, r"data\.imbalance"),
        ({"imbalance": 10, "classes": [3]}, "two classes or more"),
        ({"channels": 2}, r"data\.channels must be 1, 3 or null for images of 1 channels, got 2"),
    ],
)
def test_a_part_that_does_not_exist_is_refused(wrong: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Digits(**wrong)


def test_a_class_without_any_sample_is_refused() -> None:
    with pytest.raises(DataError, match="no sample of the class b"):
        choose(torch.zeros(2, dtype=torch.int64), 2, ("a", "b"), classes=["b"])


def test_stacks_of_a_part_have_the_modes_of_that_part() -> None:
    assert Stacked(Digits(classes=[3, 5]), count=10).modes == 8


def test_a_part_is_part_of_which_run_it_is_and_runs_without_one_are_the_same_as_before() -> None:
    now = compared(plain(config("data=digits")))
    before = plain(config("data=digits"))
    before["data"] = {"_target_": before["data"]["_target_"]}  # as runs have it that were begun before there were parts
    assert now == compared(before)
    settings = ["data.classes=[3,5]", "data.classes=[5,3]", "data.limit=100", "data.limit_seed=1"]
    found = [json.dumps(compared(plain(config("data=digits", setting))), sort_keys=True) for setting in settings]
    assert len({*found, json.dumps(now, sort_keys=True)}) == 5
    ways = [{}, {"classes": [3, 5]}, {"classes": [5, 3]}, {"limit": 100}, {"limit": 100, "limit_seed": 1}]
    assert len({Digits(**way).identity() for way in ways}) == 5


def test_a_split_that_evaluation_names_is_meant_with_all_its_samples(tmp_path: Path) -> None:
    def of(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.randint(256, (n, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
        return images, torch.arange(n) % 10

    write_mnist(tmp_path, train=of(1500), test=of(1000))
    where = ("data=mnist", f"data.root='{tmp_path}'", "data.download=false", "data.check_count=false")
    part = (
        *where,
        "data.classes=[1,2]",
        "data.limit=120",
        "evaluation=pixels",
        f"evaluation.cache='{tmp_path / 'cache'}'",
    )
    for split, count in {"null": 120, "train": 300, "test": 200}.items():
        cfg = config(*part, f"evaluation.split={split}", "evaluation.n_fake=100")
        quality = build_quality(cfg, build_data(cfg), torch.device("cpu"))
        assert quality is not None and quality.protocol.n_real == count


def test_a_run_on_a_part_by_the_command(tmp_path: Path, gantrain: Callable[..., object]) -> None:
    small = ("data=digits", "total_steps=2", "batch_size=8", "device=cpu", "run.dir=run", "samples.count=16")
    part = (*small, "data.classes=[3,5]", "data.limit=40")
    run = gantrain(*part)
    assert run.exit_code == 0 and "40 images 1×8×8, 2 classes" in run.out + run.err, run.out + run.err
    assert gantrain(*part).exit_code == 0
    other = gantrain(*small)
    assert other.exit_code == 2 and "data.classes" in other.err and "data.limit" in other.err
    assert gantrain(*small, "data.classes=[cat]").exit_code == 2


def test_a_number_that_is_the_name_of_another_class_is_refused_unless_it_is_quoted() -> None:
    names = ("1", "2", "10")
    labels = torch.tensor([0, 1, 2])
    with pytest.raises(ConfigError, match=r"class number 1 is called 2, and another class is called 1; write .*quotes"):
        choose(labels, 3, names, classes=[1])
    assert choose(labels, 3, names, classes=["1", "10"]).names == ("1", "10")
    assert choose(labels, 3, names, classes=[0]).names == ("1",)  # no class is called 0
