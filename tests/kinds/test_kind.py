"""Which kind samples of a shape are, and what all kinds have in common."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gantrain.build.checks import check_kind
from gantrain.data import Data, Ring
from gantrain.errors import ConfigError
from gantrain.kinds import KINDS, Images, Kind, Points, Signals, kind_of


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((), Kind), ((2,), Points), ((1, 64), Signals), ((3, 8, 8), Images), ((2, 3, 8, 8), Kind)],
)
def test_the_shape_says_the_kind(shape: tuple[int, ...], kind: type[Kind]) -> None:
    assert type(kind_of(shape)) is kind and kind_of(shape).takes(shape)


def test_a_name_says_more_than_the_shape_unless_it_is_strange_or_does_not_fit() -> None:
    assert kind_of((1, 64), "samples").name == "samples"
    assert kind_of((1, 64), "images").name == kind_of((1, 64), "videos").name == "signals"


def test_only_values_that_are_bounded_pass_through_tanh() -> None:
    x = torch.tensor([-3.0, 0.5])
    for kind in KINDS.values():
        assert torch.equal(kind.bounded(x), x if kind.value_range is None else x.tanh())


def test_samples_of_no_other_kind_are_neither_drawn_nor_written(tmp_path: Path) -> None:
    kind, samples = Kind(), torch.zeros(2, 1, 2, 3, 4)
    assert not kind.write_files(samples, tmp_path) and not list(tmp_path.iterdir())
    with pytest.raises(TypeError, match=r"shape \(1, 2, 3, 4\) are not drawn"):
        kind.draw(samples)


class Odd(Ring):
    """Points that are called something else."""

    said: object = Images()

    @property
    def kind(self) -> Kind:
        return self.said  # type: ignore[return-value]


def test_a_data_set_may_say_its_kind_if_it_is_one_of_those_there_are_and_fits() -> None:
    data = Odd(8, 2.0, 0.02)
    with pytest.raises(ConfigError, match=r"Odd says that its samples are images, but their shape is \(2,\)"):
        check_kind(data)
    data.said = "points"
    with pytest.raises(ConfigError, match=r"Odd.kind must be one of gantrain.kinds: images, points, signals, samples"):
        check_kind(data)
    data.said = Kind()
    check_kind(data)
    assert isinstance(Data.kind, property)
