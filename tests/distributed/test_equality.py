"""The same batches make the same game, on however many ranks: every loss, every term, every schedule."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from gantrain.distributed import ALONE
from tests.conftest import FAMILIES, option_names
from tests.distributed.world import difference, game, on_ranks, played

BOUND = 1e-6
WIDTHS = ("architecture.generator.width=16", "architecture.discriminator.width=16")
NO_NORM = "architecture.generator.norm=none"
"""Batch norm, the generator's usual one, takes its statistics from a rank's own samples."""
RING, DIGITS = ("data=ring", *WIDTHS, NO_NORM), ("data=digits", *WIDTHS, NO_NORM)
AUTOENCODERS = ("ebgan", "began")


def of_loss(loss: str) -> tuple[str, ...]:
    """A game on points with a loss; an autoencoder has no norm."""
    return (*(RING[:-1] if loss in AUTOENCODERS else RING), f"loss={loss}")


FEW = [of_loss(loss) for loss in FAMILIES if loss not in AUTOENCODERS] + [
    (*RING, "loss=rasgan", "accumulate=2"),
    (*DIGITS, "loss=hinge", "conditioning=reacgan"),
]
"""In make test, on two ranks."""
LOSSES = [of_loss(loss) for loss in option_names("loss")]
OTHERS = [
    (*RING, "loss=hinge", "regularizer=[r1,r2,lecam,orthogonal]"),
    (*RING, "loss=hinge", "regularizer=[consistency]"),
    (*DIGITS, "loss=hinge", "regularizer=[consistency]"),
    (*RING, "loss=hinge", "accumulate=4", "regularizer=[lecam]"),
    (*RING, "loss=fisher", "accumulate=2"),
    *((*DIGITS, "loss=hinge", f"conditioning={way}") for way in option_names("conditioning")),
    (*RING, "loss=hinge", "schedule=cosine"),
    (*RING, "loss=rsgan", "batch_size_g=32"),
    (*RING, "loss=rsgan", "batch_size_g=8"),
    (*RING, "loss=fisher", "ratio=1to1", "ratio.simultaneous=true"),
    (*RING, "loss=hinge", "ratio=1to1", "optimizer=extra_adam"),
    (*RING, "loss=hinge", "gradient_clip_norm=0.1"),
    (*RING, "loss=wgan", "optimizer=rmsprop"),
    (*RING, "loss=hinge", "performance.one_forward=true"),
    (*DIGITS, "loss=hinge", "architecture.discriminator.norm=spectral"),
    (*DIGITS, "loss=vanilla", "latent=codes"),
    ("data=digits", *WIDTHS, "loss=vanilla", "distributed.sync_batchnorm=true"),
    (
        "data=digits",
        *WIDTHS,
        "loss=vanilla",
        "architecture.discriminator.norm=batch",
        "distributed.sync_batchnorm=true",
    ),
]


@cache
def ended(world: int, cases: tuple[tuple[str, ...], ...]) -> list[list[dict[str, Any]]]:
    """What games end with, by rank."""
    return [played(ALONE, cases)] if world == 1 else on_ranks(world, played, cases)


def check(world: int, cases: list[tuple[str, ...]], k: int) -> None:
    """A game on one process and on ``world`` must end alike, and its ranks in the same bits."""
    (alone,), (first, *others) = ended(1, tuple(cases)), ended(world, tuple(cases))
    found, where = difference(alone[k], first[k])
    assert found < BOUND, where
    assert [difference(first[k], other[k])[0] for other in others] == [0.0] * (world - 1)


@pytest.mark.xdist_group("two_ranks")
@pytest.mark.parametrize("k", range(len(FEW)), ids=[" ".join(case[len(RING) :]) or case[-1] for case in FEW])
def test_two_ranks_play_the_game_of_one(k: int) -> None:
    check(2, FEW, k)


@pytest.mark.xdist_group("ranks_of_losses")
@pytest.mark.parametrize(
    "world", [pytest.param(2, marks=pytest.mark.thorough), pytest.param(4, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("k", range(len(LOSSES)), ids=[case[-1] for case in LOSSES])
def test_ranks_play_the_game_of_one_with_every_loss(k: int, world: int) -> None:
    check(world, LOSSES, k)


@pytest.mark.thorough
@pytest.mark.xdist_group("four_ranks")
@pytest.mark.parametrize("k", range(len(OTHERS)), ids=[" ".join(case) for case in OTHERS])
def test_four_ranks_play_the_game_of_one_with_every_term(k: int) -> None:
    check(4, OTHERS, k)


def without_a_word(ranks: Any, cases: Any) -> list[dict[str, Any]]:
    """The same games, but the ranks' gradients stay their own."""
    ranks.average = lambda tensors: None
    return played(ranks, cases)


@pytest.mark.thorough
def test_the_bound_is_one_that_a_game_without_averages_breaks() -> None:
    cases = [of_loss("hinge")]
    (alone,), (first, second) = ended(1, tuple(cases)), on_ranks(2, without_a_word, cases)
    assert min(difference(alone[0], rank[0])[0] for rank in (first, second)) > 1e3 * BOUND


def left_to_chance(ranks: Any) -> list[Any]:
    """What ranks hold where each draws or measures for itself: noise in the augmentation, batch norm of its samples."""
    small = ("architecture.latent_dim=8", "architecture.generator.w_dim=8", "architecture.generator.channel_max=8")
    stylegan = ("data=digits", "architecture=stylegan2", *small, "architecture.generator.style_mixing=0.5")
    cases = [(*DIGITS, "augment=diffaug"), ("data=digits", *WIDTHS), stylegan]
    games = [game(case, ranks) for case in cases]
    images = [g.augment(g.data.at(0)[0]) for g in games[:1]]
    for one in games:
        for _ in range(3):
            one.play()
    return [images, [{**one.g.net.state_dict(), **one.d.net.state_dict()} for one in games]]


def test_what_each_rank_draws_for_itself_leaves_them_with_one_network() -> None:
    (images, states), (other_images, other_states) = on_ranks(2, left_to_chance)
    assert difference(images, other_images)[0] > 0.1
    assert difference(states, other_states)[0] == 0.0
