"""Curves with noise: scikit-learn's forms, a density that is the integral along them, a stream without memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import ks_2samp
from sklearn.datasets import make_circles, make_moons, make_swiss_roll

from gantrain.data import Circles, Curves, Moons, Rings, Spiral, SwissRoll
from gantrain.errors import ConfigError

CPU = torch.device("cpu")
ALL: dict[str, Curves] = {
    "spirals": Spiral(2, 1.5, 2.0, 0.05),
    "spiral": Spiral(1, 2.0, 2.0, 0.1),
    "moons": Moons(0.05),
    "circles": Circles(0.5, 0.05),
    "rings": Rings([0.5, 1.0, 2.0], 0.1),
    "roll": SwissRoll(2, 7.5, 0.0333),
    "sheet": SwissRoll(3, 7.5, 0.05),
}
each_of = pytest.mark.parametrize("data", ALL.values(), ids=ALL)


@pytest.mark.parametrize(
    ("data", "theirs"),
    [
        (Moons(0.05), make_moons(4000, noise=0.05, random_state=1)),
        (Circles(0.4, 0.05), make_circles(4000, factor=0.4, noise=0.05, random_state=1)),
        (SwissRoll(3, 7.5, 0.25 / 7.5), (make_swiss_roll(4000, noise=0.25, random_state=1)[0] / 7.5, None)),
        (SwissRoll(2, 7.5, 0.25 / 7.5), (make_swiss_roll(4000, noise=0.25, random_state=1)[0][:, [0, 2]] / 7.5, None)),
    ],
    ids=["moons", "circles", "sheet", "roll"],
)
def test_the_forms_are_scikit_learns(data: Curves, theirs: tuple[np.ndarray, np.ndarray | None]) -> None:
    points, arm = data.sample(4000, np.random.default_rng(0))
    other, label = theirs
    rng = np.random.default_rng(2)
    for k in range(
        data.arms
    ):  # of each curve, on its own axes and on others: Kolmogorov and Smirnov find no difference
        mine, known = points[arm == k], other if label is None else other[label == k]
        for onto in [*np.eye(data.shape[0]), *rng.standard_normal((3, data.shape[0]))]:
            assert ks_2samp(mine @ onto, known @ onto).pvalue > 1e-3


@each_of
def test_the_density_is_the_integral_of_the_noise_along_the_curve(data: Curves) -> None:
    def along(point: np.ndarray) -> float:
        def summand(t: float, k: int) -> float:
            place = data.path(np.array([t]), np.array([k]))[0]
            noise = math.exp(-((place - point) ** 2).sum() / (2 * data.std**2)) / (2 * math.pi * data.std**2)
            return noise * float(data.slowness(np.array([t]))[0]) / data.arms

        steps = np.linspace(0, 1, 21)
        return sum(quad(summand, a, b, (k,), epsabs=1e-14)[0] for k in range(data.arms) for a, b in pairwise(steps))

    def across(height: float, top: float) -> float:
        middle = min(max(height, 0), top)
        low, high = max(0, middle - 9 * data.std), min(top, middle + 9 * data.std)
        return quad(lambda h: math.exp(-((h - height) ** 2) / (2 * data.std**2)), low, high)[0] / (
            data.std * math.sqrt(2 * math.pi) * top
        )

    points = data.sample(4, np.random.default_rng(0))[0].astype(np.float64)
    found = np.exp(data.log_density(points))
    if isinstance(data, SwissRoll) and data.height:
        expected = [along(point[[0, 2]]) * across(point[1], data.height) for point in points]
    else:
        expected = [along(point) for point in points]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@each_of
def test_real_points_are_near_their_curve_and_reach_all_of_it(data: Curves) -> None:
    points, arm = data.sample(10_000, np.random.default_rng(0))
    distance, place = data.nearest(torch.from_numpy(points))
    assert float((distance < data.reach).double().mean()) > 0.994
    assert (data.mode_of[place] == arm).mean() > 0.97
    found = torch.bincount(data.pieces[place], minlength=100) / 10_000
    shares = torch.bincount(data.pieces, torch.from_numpy(data.weights), minlength=100)
    assert (found - shares).abs().max() < 0.02 and data.weights.sum() == pytest.approx(1)
    assert data.mode_shares == pytest.approx(1 / data.arms)


def test_a_point_beyond_the_edge_of_the_sheet_is_as_far_as_it_is() -> None:
    sheet = SwissRoll(3, 7.5, 0.0333)
    on = sheet.path(np.array([0.5]), np.array([0]))[0]
    points = torch.tensor([[on[0], 1.0, on[1]], [on[0], sheet.height + 0.3, on[1]], [on[0], -0.4, on[1]]])
    assert sheet.nearest(points)[0].tolist() == pytest.approx([0, 0.3, 0.4], abs=0.02)


@each_of
def test_a_batch_is_a_function_of_seed_and_position(data: Curves) -> None:
    stream, again = data.stream(64, 3, CPU), data.stream(64, 3, CPU)
    stream.next()
    samples, labels = stream.next()
    again.load_state_dict({"position": 1})
    repeated, _ = again.next()
    assert torch.equal(samples, repeated) and samples.dtype == torch.float32 and samples.shape == (64, *data.shape)
    assert not torch.equal(samples, stream.next()[0]) and not torch.equal(samples, data.stream(64, 4, CPU).next()[0])
    assert (labels is None) == (data.arms == 1) == (data.classes == 0)
    assert labels is None or set(labels.tolist()) == set(range(data.arms))


def test_data_that_differ_have_other_identities() -> None:
    others = [Moons(0.05), Moons(0.06), Circles(0.5, 0.05), Circles(0.4, 0.05), SwissRoll(2, 7.5, 0.05), *ALL.values(),
              Spiral(2, 1.5, 2.1, 0.05), Rings([1.0, 2.0], 0.1)]  # fmt: skip
    assert len({data.identity() for data in others}) == len(others) - 2  # moons and circles are in both


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Moons(0.0), "data.std must be above 0"),
        (lambda: Moons(1e-4), "data.std=0.0001 is too small for curves as long"),
        (lambda: Circles(1.0, 0.1), "data.factor must be between 0 and 1"),
        (lambda: Rings([], 0.1), "data.radii must be different numbers above 0"),
        (lambda: Rings([1.0, 1.0], 0.1), "data.radii must be different numbers above 0"),
        (lambda: Spiral(0, 1.0, 1.0, 0.1), "data.arms must be a whole number above 0"),
        (lambda: Spiral(2, 0.0, 1.0, 0.1), "data.turns and data.radius must be above 0"),
        (lambda: SwissRoll(4, 7.5, 0.1), "data.dimensions must be 2 or 3"),
        (lambda: SwissRoll(2, 0.0, 0.1), "data.scale must be above 0"),
    ],
)
def test_curves_that_make_no_sense_are_refused_in_a_sentence(make: Callable[[], Curves], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        make()
    assert "\n" not in str(refused.value)
