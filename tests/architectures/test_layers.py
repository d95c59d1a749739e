from __future__ import annotations

import pytest
import torch

from gantrain.architectures import dcgan, mlp
from gantrain.architectures.layers import MinibatchDiscrimination, norm_2d
from gantrain.errors import ConfigError
from tests.conftest import built


def test_layer_norm_of_images_is_per_sample() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 6, 5, 5) * torch.tensor([1.0, 2, 3, 4])[:, None, None, None]
    y = norm_2d("layer", 6)(x).flatten(1)
    torch.testing.assert_close(y.mean(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(1, unbiased=False), torch.ones(4), atol=1e-3, rtol=0)


def test_layer_norm_discriminators_score_each_sample_alone() -> None:
    torch.manual_seed(0)
    for d in (
        dcgan.Discriminator((3, 16, 16), 0, width=8, max_width=16, norm="layer"),
        mlp.Discriminator((3, 16, 16), 0, width=8, depth=2, norm="layer"),
    ):
        x = torch.randn(5, 3, 16, 16)
        torch.testing.assert_close(d(x)[:2], d(x[:2]))


def test_minibatch_discrimination_by_hand() -> None:
    layer = MinibatchDiscrimination(2, features=1, size=1)
    layer.project.weight.data = torch.tensor([[1.0, 0.0]])
    x = torch.tensor([[0.0, 5.0], [1.0, 6.0], [3.0, 7.0]])  # distances 1, 3 and 2
    e = torch.exp(-torch.tensor([1.0, 3.0, 2.0]))
    expected = torch.stack([e[0] + e[1], e[0] + e[2], e[1] + e[2]])[:, None]
    torch.testing.assert_close(layer(x), torch.cat([x, expected], 1))
    same = layer(torch.zeros(4, 2))
    assert (same[:, 2] == 3).all()  # a collapsed batch is as close as can be


@pytest.mark.parametrize("data", ["ring", "digits"])
def test_d_takes_minibatch_discrimination_and_several_outputs(data: str) -> None:
    options = ("architecture.discriminator.minibatch_features=8", "architecture.discriminator.outputs=3")
    trainer = built(f"data={data}", *options).trainer
    assert trainer.d.net(trainer.data.peek(4)).shape == (4, 3)
    trainer.d_turn(*trainer.data.next())
    with pytest.raises(ConfigError, match="minibatch_features must be"):
        built(f"data={data}", "architecture.discriminator.minibatch_features=-1")
    with pytest.raises(ConfigError, match="outputs must be"):
        built(f"data={data}", "architecture.discriminator.outputs=0")
