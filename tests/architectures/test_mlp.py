from __future__ import annotations

import pytest
import torch

from gantrain.architectures import mlp
from gantrain.errors import ConfigError


@pytest.mark.parametrize("norm", mlp.NORMS)
def test_mlp_makes_points_without_bounds_and_images_within(norm: str) -> None:
    for shape in ((2,), (1, 8, 8)):
        g = mlp.Generator(shape, 0, latent_dim=4, width=16, depth=2, norm=norm)
        d = mlp.Discriminator(shape, 0, width=16, depth=2, norm=norm)
        with torch.no_grad():
            g.net[-1].bias.fill_(9.0)
        samples = g(torch.randn(3, 4))
        assert samples.shape == (3, *shape)
        assert (samples.abs().max() <= 1) == (len(shape) == 3)
        assert d(samples).shape == (3, 1)


@pytest.mark.parametrize("bad", [{"width": -3}, {"width": 0}, {"depth": 2.5}, {"norm": "instance"}, {"latent_dim": 0}])
def test_mlp_refuses_senseless_arguments(bad: dict) -> None:
    with pytest.raises(ConfigError):
        mlp.Generator(**{"shape": (2,), "classes": 0, "latent_dim": 4, "width": 16, "depth": 2, "norm": "none"} | bad)
