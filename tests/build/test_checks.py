"""What is found before the first step in classes of somebody's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gantrain.build.checks import check_objective
from gantrain.errors import ConfigError
from gantrain.losses import Objective
from gantrain.losses.turn import Verdict


class Own(Objective):
    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return (fake - real).mean()

    def g_loss(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


def fails(fake: Tensor, real: Tensor | None = None) -> Tensor:
    raise KeyError("scores")


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("g_loss", fails, "Own.g_loss fails: KeyError: 'scores'"),
        ("g_loss", lambda fake, real=None: -fake, "Own.g_loss must return a scalar, got a tensor of shape"),
        ("d_loss", lambda real, fake: 0.5, "Own.d_loss must return a scalar tensor, got float"),
        ("d_loss", lambda real, fake: torch.tensor(1.0), "Own.d_loss does not depend on the scores"),
        ("d_loss", None, "Own.d_loss fails: NotImplementedError"),
    ],
)
def test_an_objective_that_gives_no_scalar_to_descend_is_refused(name: str, wrong, said: str) -> None:
    verdict = Verdict(torch.zeros(2))
    check_objective(Own(), verdict)
    own = Own()
    setattr(own, name, wrong or getattr(super(Own, own), name))
    with pytest.raises(ConfigError, match=said):
        check_objective(own, verdict)
