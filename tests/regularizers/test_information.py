"""InfoGAN's term: its value by hand, its optimum, what it refuses, and what it makes of a small game."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.inputs import Codes
from gantrain.losses import Loss, Wasserstein
from gantrain.losses.turn import Critic, Precision, Turn
from gantrain.regularizers import Information
from tests.conftest import built

CPU = Precision(torch.device("cpu"))


class Guessing(nn.Module):
    """A D whose guesses are given."""

    def __init__(self, guesses: Tensor) -> None:
        super().__init__()
        self.guesses = nn.Parameter(guesses)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor | None, ...]:
        return x[:, 0], None, None, self.guesses[: len(x)]


def term(guesses: Tensor, z: Tensor, player: str, regularizer: Information) -> Tensor:
    d, x = Guessing(guesses), torch.randn(len(z), 2)
    turn = Turn(Critic(d, CPU, CPU.forward), nn.Identity(), x, x, 0, False, z)
    return getattr(Loss(Wasserstein(), {"information": regularizer}), player)(turn).terms["information"]


@pytest.mark.parametrize("player", ["for_d", "for_g"])
def test_the_value_is_that_by_hand(player: str) -> None:
    z = torch.tensor([[9.0, 1, 0, 0, 0.5], [9.0, 0, 0, 1, -1.0]])
    guesses = torch.tensor([[math.log(2.0), 0, 0, 0.25], [0, 0, math.log(6.0), 0.0]])
    told = -(math.log(2 / 4) + math.log(6 / 8)) / 2
    off = 0.5 * (0.25**2 + 1.0) / 2 + 0.5 * math.log(2 * math.pi)
    found = term(guesses, z, player, Information(2.0, 0.1, [3], 1))
    assert float(found) == pytest.approx(2 * (told + 0.1 * off), rel=1e-6)


def test_guesses_that_know_nothing_cost_the_entropy_of_the_codes() -> None:
    # So H(c) minus the term is 0 there, and H(c) where every code is read: the bound of the paper's Eq. 5.
    z = Codes(9, [4, 2], 0).fixed(4000, 1)
    entropy = math.log(4) + math.log(2)
    blind = term(torch.zeros(4000, 6), z, "for_d", Information(1.0, 0.0, [4, 2], 0))
    assert float(blind) == pytest.approx(entropy, rel=1e-5)
    assert float(term(50 * z[:, 3:], z, "for_d", Information(1.0, 0.0, [4, 2], 0))) == pytest.approx(0, abs=1e-5)


GAME = ("data=ring", "loss=vanilla", "latent=codes", "latent.categories=[8]", "latent.continuous=1",
        "architecture.latent_dim=16", "device=cpu", "total_steps=8")  # fmt: skip


def test_g_and_d_learn_the_term() -> None:
    trainer = built(*GAME, "loss.objective._target_=gantrain.losses.Wasserstein", "batch_size=64").trainer
    costs = []
    for _ in range(150):
        trainer.play(measure=True)
        costs.append((float(trainer.scalars["d/information"]), float(trainer.scalars["g/information"])))
    begin, end = torch.tensor(costs[:5]).mean(0), torch.tensor(costs[-5:]).mean(0)
    assert bool((end < 0.5 * begin).all()), (begin, end)


@pytest.mark.parametrize(("overrides", "said"), [
    (("architecture.discriminator.categories=[]", "architecture.discriminator.continuous=0"), "gives 0"),
    (("loss.regularizers.information.categories=[4]",), "is for the codes"),
    (("architecture.latent_dim=9",), "leaves no noise"),
    (("latent.categories=[1]",), "2 or more"),
    (("architecture=autoencoder", "loss=ebgan"), "unexpected keyword"),
])  # fmt: skip
def test_codes_that_do_not_fit_together_are_refused(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        built(*GAME, *overrides)


@pytest.mark.parametrize("architecture", ["dcgan", "sngan_resnet", "mlp"])
@pytest.mark.parametrize("conditioning", ["none", "projection", "acgan"])
def test_every_d_guesses_codes_beside_what_it_says_otherwise(architecture: str, conditioning: str) -> None:
    trainer = built("data=digits", f"architecture={architecture}", f"conditioning={conditioning}", "latent=codes",
                    "architecture.latent_dim=20", "architecture.generator.width=4", "batch_size=8", "device=cpu",
                    "architecture.discriminator.width=4", "total_steps=8").trainer  # fmt: skip
    trainer.play(measure=True)
    assert {"d/information", "g/information"} <= trainer.scalars.keys()
    assert ("d/acgan" in trainer.scalars) == (conditioning == "acgan")
