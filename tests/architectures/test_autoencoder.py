from __future__ import annotations

import pytest
import torch

from gantrain.architectures import autoencoder
from gantrain.errors import ConfigError


@pytest.mark.parametrize("shape", [(2,), (5,), (1, 8, 8), (3, 16, 16), (3, 32, 32)])
@pytest.mark.parametrize("error", ["l1", "l2"])
def test_an_autoencoders_score_is_minus_its_mean_reconstruction_error(shape: tuple[int, ...], error: str) -> None:
    torch.manual_seed(0)
    g = autoencoder.Generator(shape, 0, latent_dim=6, width=8, depth=2)
    d = autoencoder.Discriminator(shape, 0, code_dim=3, width=8, depth=2, error=error)
    x = g(torch.randn(4, 6))
    assert x.shape == (4, *shape) and d.encoder(x).shape == (4, 3) and d.decoder(d.encoder(x)).shape == x.shape
    difference = (d.decoder(d.encoder(x)) - x).flatten(1)
    expected = difference.abs().mean(1) if error == "l1" else difference.square().mean(1)
    torch.testing.assert_close(d(x), -expected[:, None])
    assert d.reconstructs


@pytest.mark.parametrize(("shape", "code"), [((2,), 1), ((1,), 1), ((1, 8, 8), 32), ((3, 32, 32), 64)])
def test_an_autoencoders_code_is_shorter_than_the_sample_unless_told_otherwise(shape: tuple, code: int) -> None:
    d = autoencoder.Discriminator(shape, 0, code_dim=None, width=4, depth=1, error="l1")
    assert d.encoder(torch.zeros(2, *shape)).shape == (2, code)


def test_the_autoencoder_refuses_images_it_cannot_halve_and_unknown_errors() -> None:
    with pytest.raises(ConfigError, match="28×28"):
        autoencoder.Generator((1, 28, 28), 0, latent_dim=6, width=8, depth=2)
    with pytest.raises(ConfigError, match="l1, l2"):
        autoencoder.Discriminator((2,), 0, code_dim=1, width=8, depth=2, error="l3")
