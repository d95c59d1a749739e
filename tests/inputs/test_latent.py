"""Latents have the distributions that their names say, in training and from a seed."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.inputs import Codes, Latent, Mixture, Normal, Spherical, Truncated, Uniform

N = 20_000
CPU = torch.device("cpu")
ALL: list[Latent] = [Normal(3), Uniform(3), Truncated(3, 0.7), Spherical(3), Mixture(3, 4, 2.0),
                     Codes(9, [4, 2], 2)]  # fmt: skip
MARGINALS = {
    "Normal": scipy.stats.norm().cdf,
    "Uniform": scipy.stats.uniform(-1, 2).cdf,
    "Truncated": scipy.stats.truncnorm(-0.7, 0.7).cdf,
    # One coordinate of a uniform point on the sphere of radius √3 in space is uniform: Archimedes' hat box.
    "Spherical": scipy.stats.uniform(-(3**0.5), 2 * 3**0.5).cdf,
}


def drawn(latent: Latent, way: str) -> Tensor:
    torch.manual_seed(3)
    return latent.draw(N, CPU) if way == "drawn" else latent.fixed(N, seed=3)


@pytest.mark.parametrize("way", ["drawn", "fixed"])
@pytest.mark.parametrize("latent", ALL[:4], ids=lambda latent: type(latent).__name__)
def test_each_number_has_the_distribution_of_the_name(latent: Latent, way: str) -> None:
    z = drawn(latent, way)
    assert z.shape == (N, 3) and z.dtype == torch.float32
    for column in z.T.double().numpy():
        assert scipy.stats.kstest(column, MARGINALS[type(latent).__name__]).pvalue > 1e-3


@pytest.mark.parametrize("latent", ALL, ids=lambda latent: type(latent).__name__)
def test_fixed_latents_are_a_function_of_the_seed_and_drawn_ones_of_torchs_generator(latent: Latent) -> None:
    assert torch.equal(latent.fixed(50, 1), latent.fixed(50, 1))
    assert not torch.equal(latent.fixed(50, 1), latent.fixed(50, 2))
    state = torch.get_rng_state()
    first, second = latent.draw(5, CPU), latent.draw(5, CPU)
    torch.set_rng_state(state)
    assert torch.equal(latent.draw(5, CPU), first) and not torch.equal(first, second)


def test_truncation_moves_quantile_to_quantile() -> None:
    z, cut = Normal(3).fixed(N, seed=1), Normal(3).fixed(N, seed=1, truncation=0.7)
    assert cut.abs().max() <= 0.7 and bool((cut[:, 0][z[:, 0].argsort()].diff() >= 0).all())
    # The standard deviation of a normal truncated at 0.7, by its closed form.
    t, phi = 0.7, np.exp(-0.245) / np.sqrt(2 * np.pi)
    share = float(torch.special.ndtr(torch.tensor(t, dtype=torch.float64))) * 2 - 1
    assert float(cut.std()) == pytest.approx(np.sqrt(1 - 2 * t * phi / share), rel=0.01)
    assert torch.equal(Normal(1).truncated(torch.tensor([[-50.0], [50.0]]), 2.0), torch.tensor([[-2.0], [2.0]]))
    assert Truncated(3, 0.7).fixed(N, 1, truncation=0.5).abs().max() <= 0.5
    assert Truncated(3, 0.7).fixed(N, 1, truncation=2.0).abs().max() <= 0.7


@pytest.mark.parametrize("latent", [Uniform(2), Spherical(2), Mixture(2, 4, 1.0)])
def test_what_is_not_truncated_says_so(latent: Latent) -> None:
    with pytest.raises(ConfigError, match=r"truncation=0\.5 is for normal latents"):
        latent.fixed(3, 0, truncation=0.5)


def test_spherical_latents_have_the_length_of_normal_ones() -> None:
    torch.testing.assert_close(Spherical(8).fixed(100, 0).norm(dim=1), torch.full((100,), 8**0.5))


@pytest.mark.parametrize(("dim", "k"), [(1, 3), (1, 1), (2, 8), (2, 25), (3, 8), (64, 8), (64, 100)])
def test_the_centres_of_a_mixture_are_apart_and_have_mean_0(dim: int, k: int) -> None:
    centers = Mixture(dim, k, 2.0).centers
    assert centers.shape == (k, dim) and (k == 1 or centers.mean(0).abs().max() < 1e-5)
    assert k == 1 or float(torch.pdist(centers).min()) > 0.2
    if dim > 1:
        assert float(centers.square().mean().sqrt()) == pytest.approx(2, rel=0.1)


def test_a_mixture_is_equal_gaussians_around_its_centres() -> None:
    latent = Mixture(2, 4, 50.0)
    latent.centers = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])
    z = latent.fixed(N, 0)
    nearest = torch.cdist(z, latent.centers).argmin(1)
    assert scipy.stats.chisquare(nearest.bincount(minlength=4)).pvalue > 1e-3
    within = (z - latent.centers[nearest]).double().numpy()
    for column in within.T:
        assert scipy.stats.kstest(column, scipy.stats.norm().cdf).pvalue > 1e-3
    assert abs(np.corrcoef(within.T)[0, 1]) < 0.03


@pytest.mark.parametrize(
    "make",
    [
        lambda: Truncated(2, 0.0),
        lambda: Mixture(2, 0, 1.0),
        lambda: Mixture(2, 10**12, 1.0),  # would need 7 TiB
        lambda: Mixture(2, 2.5, 1.0),
        lambda: Mixture(2, 2, -1.0),
        lambda: Mixture(2, 2, float("inf")),
        lambda: Mixture(2, 2, "1"),
    ],
)
def test_settings_out_of_range_are_refused(make) -> None:
    with pytest.raises(ConfigError, match="latent"):
        make()


@pytest.mark.parametrize("way", ["drawn", "fixed"])
def test_codes_are_equally_likely_categories_and_uniform_numbers_beside_noise(way: str) -> None:
    z = drawn(Codes(9, [4, 2], 2), way)
    noise, four, two, values = z.split([1, 4, 2, 2], 1)
    assert scipy.stats.kstest(noise[:, 0].numpy(), scipy.stats.norm().cdf).pvalue > 1e-3
    for code in (four, two):
        assert bool((code.sum(1) == 1).all() and ((code == 0) | (code == 1)).all())
        assert scipy.stats.chisquare(code.sum(0).numpy()).pvalue > 1e-3
    for column in values.T.double().numpy():
        assert scipy.stats.kstest(column, scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-3
    together = torch.cat([noise, four.argmax(1, keepdim=True), two.argmax(1, keepdim=True), values], 1).double()
    off = torch.corrcoef(together.T) - torch.eye(5)
    assert off.abs().max() < 0.03


def test_codes_stay_where_the_noise_is_truncated_and_grids_have_a_category_a_row() -> None:
    latent = Codes(9, [4, 2], 2)
    whole, cut = latent.fixed(50, 1), latent.fixed(50, 1, truncation=0.5)
    assert torch.equal(whole[:, 1:], cut[:, 1:]) and cut[:, 0].abs().max() <= 0.5 < whole[:, 0].abs().max()
    z, columns = latent.grid(10, seed=1)
    assert z.shape == (12, 9) and columns == 3
    rows = z.reshape(4, 3, 9)
    assert torch.equal(rows[:, :, 1:5].argmax(2), torch.arange(4)[:, None].expand(4, 3))
    assert torch.equal(rows[:1, :, [0, 5, 6, 7, 8]].expand(4, 3, 5), rows[:, :, [0, 5, 6, 7, 8]])
    assert Codes(9, [], 2).grid(10, seed=1)[1] is None


@pytest.mark.parametrize(("dim", "categories", "continuous"), [(9, [1], 0), (9, [], 0), (9, [4], -1), (12, [10], 2)])
def test_codes_that_are_none_or_leave_no_noise_are_refused(dim: int, categories: list[int], continuous: int) -> None:
    with pytest.raises(ConfigError):
        Codes(dim, categories, continuous)
