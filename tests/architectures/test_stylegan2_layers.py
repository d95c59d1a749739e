"""StyleGAN2's layers beside what they are by hand: filters, both forms of a modulated convolution, deviations."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gantrain.architectures.resampling import FILTER, blurred, doubled_smoothly, halved_smoothly
from gantrain.architectures.stylegan2_layers import (
    ClassEmbedding,
    Convolution,
    Dense,
    Mapping,
    MinibatchDeviation,
    Styled,
    ToImage,
    grouped,
    modulated,
    normalised,
)


def filtered(image: Tensor, before: int, after: int, gain: float = 1.0) -> Tensor:
    """One channel (H, W) with zeros around it, and each 4×4 of it weighed by hand."""
    size = len(image) + before + after
    padded = torch.zeros(size, size, dtype=image.dtype)
    padded[before : before + len(image), before : before + len(image)] = image
    out = torch.zeros(size - 3, size - 3, dtype=image.dtype)
    for i in range(size - 3):
        for j in range(size - 3):
            for a in range(4):
                for b in range(4):
                    out[i, j] += gain * FILTER[a] * FILTER[b] / 64 * padded[i + a, j + b]
    return out


def with_zeros(image: Tensor) -> Tensor:
    """Every pixel (H, W) followed by a zero, in rows and columns."""
    larger = torch.zeros(2 * len(image), 2 * len(image), dtype=image.dtype)
    larger[::2, ::2] = image
    return larger


def each(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A function of one channel, for every channel of every sample."""
    return torch.stack([torch.stack([function(channel) for channel in sample]) for sample in x])


def test_sizes_change_by_the_filter_1_3_3_1_with_zeros_around() -> None:
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(blurred(x, 1), each(lambda c: filtered(c, 1, 1), x))
    torch.testing.assert_close(blurred(x, 2, gain=4), each(lambda c: filtered(c, 2, 2, 4), x))
    torch.testing.assert_close(halved_smoothly(x), each(lambda c: filtered(c, 1, 1)[::2, ::2], x))
    torch.testing.assert_close(doubled_smoothly(x), each(lambda c: filtered(with_zeros(c), 2, 1, 4), x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_filter_keeps_the_dtype_and_the_mean_of_what_is_even(dtype: torch.dtype) -> None:
    x = torch.full((1, 2, 8, 8), 0.75, dtype=dtype)
    for smooth in (blurred(x, 1), halved_smoothly(x), doubled_smoothly(x)):
        inside = smooth[:, :, 1:-1, 1:-1]
        assert smooth.dtype == dtype
        torch.testing.assert_close(inside, torch.full_like(inside, 0.75))


def by_hand(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, doubling: bool) -> Tensor:
    """The paper's Equations 1 and 3 for one sample and one output channel at a time, as true convolution to double."""
    n, out, k = len(x), len(weight), weight.shape[2]
    found = []
    for sample in range(n):
        maps = []
        for o in range(out):
            w = weight[o] * styles[sample][:, None, None] / math.sqrt(weight[o].numel())
            if demodulate:
                w = w / (w.square().sum() + 1e-8 / w.numel()).sqrt()
            image = x[sample]
            if doubling:
                image, w = torch.stack([with_zeros(c) for c in image]), w.flip(1, 2)
            size, padded = image.shape[1], torch.nn.functional.pad(image, [1 + doubling, k // 2 + doubling] * 2)
            total = torch.zeros(padded.shape[1] - k + 1, padded.shape[1] - k + 1, dtype=x.dtype)
            for a in range(k):
                for b in range(k):
                    end = len(total)
                    total += (w[:, a, b][:, None, None] * padded[:, a : a + end, b : b + end]).sum(0)
            maps.append(filtered(total, 1, 1, 4)[:size, :size] if doubling else total)
        found.append(torch.stack(maps))
    return torch.stack(found)


@pytest.mark.parametrize("by_groups", [False, True])
@pytest.mark.parametrize("doubling", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_a_modulated_convolution_is_the_papers(demodulate: bool, doubling: bool, by_groups: bool) -> None:
    x, weight, styles = (torch.randn(*shape, dtype=torch.float64) for shape in ((2, 3, 4, 4), (5, 3, 3, 3), (2, 3)))
    found = modulated(x, weight, styles, demodulate, doubling, by_groups)
    expected = by_hand(x, weight, styles, demodulate, doubling)
    assert found.shape == expected.shape == (2, 5, 4 * (1 + doubling), 4 * (1 + doubling))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("doubling", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_both_forms_agree_in_values_gradients_and_second_gradients(demodulate: bool, doubling: bool) -> None:
    inputs = [torch.randn(*shape).requires_grad_() for shape in ((3, 8, 8, 8), (6, 8, 3, 3), (3, 8))]
    noise = torch.randn(3, 6, 8 * (1 + doubling), 8 * (1 + doubling))
    found = []
    for by_groups in (False, True):
        h = modulated(*inputs, demodulate, doubling, by_groups)
        first = torch.autograd.grad((h * noise).sum(), inputs, create_graph=True)
        # R1 differentiates the gradient by x, path length that by the styles.
        r1 = torch.autograd.grad(first[0].square().sum(), inputs, create_graph=True, materialize_grads=True)
        path = torch.autograd.grad(first[2].square().sum(1).sqrt().sum(), inputs, materialize_grads=True)
        found.append([h, *first, *r1, *path])
    for scaled, by_groups in zip(*found, strict=True):
        size = by_groups.abs().max().clamp_min(1)
        assert ((scaled - by_groups).abs().max() / size).item() < 1e-5


@pytest.mark.parametrize("doubling", [False, True])
def test_in_float16_the_largest_features_and_weights_of_one_sign_do_not_overflow(doubling: bool) -> None:
    # What is summed before the norm is 512 · 9 numbers of 256 times a weight of 4: 4.7 million, where 65,504 is most.
    layer = Styled(512, 8, 16, 8 * (1 + doubling), doubling, clamp=256.0)
    torch.nn.init.constant_(layer.weight, 4.0)
    x, w = torch.full((2, 512, 8, 8), 256.0, requires_grad=True), torch.zeros(2, 16)
    with torch.autocast("cpu", dtype=torch.float16):
        h = modulated(x.half(), layer.weight, layer.style(w), True, doubling)
        gradients = torch.autograd.grad(layer(x.half(), w).float().sum(), (x, layer.weight, layer.style.weight))
    assert h.isfinite().all() and all(gradient.isfinite().all() for gradient in gradients)
    exact = modulated(x, layer.weight, layer.style(w), True, doubling)
    torch.testing.assert_close(h.float(), exact, rtol=5e-3, atol=1)


def test_in_float16_small_styles_are_not_squared_to_nothing() -> None:
    # One input has a style of 1 and no weight, the others have 1e-4, whose square is too small for float16.
    weight, styles = torch.ones(4, 64, 3, 3), torch.full((2, 64), 1e-4)
    weight[:, 0], styles[:, 0] = 0, 1
    x = torch.randn(2, 64, 8, 8)
    exact = modulated(x, weight, styles, True, False)
    with torch.autocast("cpu", dtype=torch.float16):
        found = modulated(x, weight, styles, True, False)
    assert exact.std() > 0.5
    torch.testing.assert_close(found.float(), exact, rtol=0.02, atol=0.02)


def test_on_a_cpu_features_are_scaled_in_training_and_in_evaluation() -> None:
    x = torch.zeros(1)
    assert not grouped(x, training=True) and not grouped(x, training=False)


def test_demodulation_gives_features_of_variance_one_whatever_the_styles() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(64, 32, 8, 8), torch.randn(48, 32, 3, 3)
    styles = torch.exp(torch.randn(64, 32))
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))  # beyond the border there are zeros
    h = modulated(x, weight, styles, True, False)[inner]
    assert h.var().item() == pytest.approx(1, abs=0.02)
    # So in expectation for every sample alone; without demodulation they differ as their styles do.
    assert h.flatten(1).var(1).std() < 0.1 < 0.5 < modulated(x, weight, styles, False, False)[inner].flatten(1).std()


def test_equalised_layers_keep_the_size_of_features_at_first() -> None:
    torch.manual_seed(0)
    x, features = torch.randn(512, 256), torch.randn(16, 64, 16, 16)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    assert Dense(256, 300)(x).var().item() == pytest.approx(1, abs=0.05)
    assert Dense(256, 300, rate=0.01, active=True)(x).square().mean().item() == pytest.approx(1.04, abs=0.06)
    convolution = Convolution(64, 80, 3)
    assert convolution.weight.std().item() == pytest.approx(1, abs=0.02)  # a step of Adam is as large in every layer
    # A leaky ReLU of slope 0.2 times √2 leaves (1 + 0.04) / 2 · 2 of the square.
    assert convolution(features)[inner].square().mean().item() == pytest.approx(1.04, abs=0.06)
    styled = Styled(64, 80, 32, 16, False, None).eval()
    assert styled(features, torch.randn(16, 32))[inner].square().mean().item() == pytest.approx(1.04, abs=0.06)
    squares = [Mapping(64, 0, 64, 8)(torch.randn(64, 64)).square().mean() for _ in range(40)]
    assert torch.stack(squares).mean().item() == pytest.approx(1.04**8, rel=0.2)  # in expectation over the weights


def test_a_dense_layers_rate_moves_its_function_by_the_square_of_the_rate() -> None:
    slow, fast = Dense(6, 4, rate=0.01), Dense(6, 4)
    with torch.no_grad():
        slow.weight.copy_(fast.weight / 0.01)
    x = torch.randn(5, 6)
    torch.testing.assert_close(slow(x), fast(x))
    for layer in (slow, fast):
        layer(x).sum().backward()
    torch.testing.assert_close(slow.weight.grad, fast.weight.grad * 0.01)
    torch.testing.assert_close(slow.bias.grad, fast.bias.grad * 0.01)


def test_the_embedding_of_a_class_is_a_dense_layer_of_a_one_hot_vector() -> None:
    embedding, dense = ClassEmbedding(5, 7), Dense(5, 7)
    with torch.no_grad():
        dense.weight.copy_(embedding.weight.T)
        embedding.bias.copy_(torch.randn(7)), dense.bias.copy_(embedding.bias)
    labels = torch.tensor([3, 0, 4, 4])
    torch.testing.assert_close(embedding(labels), dense(torch.eye(5)[labels]))


def test_latents_and_classes_enter_the_mapping_network_with_length_root_of_their_dimension() -> None:
    mapping = Mapping(6, 3, 4, 1)
    z, labels = 7 * torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])
    rows = torch.cat([normalised(z), normalised(mapping.embedding(labels))], 1)
    torch.testing.assert_close(rows[:, :6].norm(dim=1), torch.full((5,), 6**0.5))
    torch.testing.assert_close(rows[:, 6:].norm(dim=1), torch.full((5,), 4**0.5))
    torch.testing.assert_close(mapping(z, labels), mapping.layers(rows))
    torch.testing.assert_close(mapping(z, labels), mapping(0.1 * z, labels), rtol=1e-4, atol=1e-5)  # only its direction
    assert normalised(torch.zeros(1, 6)).isfinite().all()


def test_noise_is_drawn_in_training_and_constant_in_evaluation_and_has_no_strength_at_first() -> None:
    layer, x, w = Styled(4, 4, 5, 8, False, None), torch.randn(2, 4, 8, 8), torch.randn(2, 5)
    assert torch.equal(layer(x, w), layer(x, w)) and torch.equal(layer(x, w), layer.eval()(x, w))
    torch.nn.init.constant_(layer.strength, 0.5)
    assert torch.equal(layer(x, w), layer(x, w))
    first, second = layer.train()(x, w), layer(x, w)
    assert not torch.equal(first, second)
    # It is the same for every channel, another for every sample and pixel, of the strength that it has.
    quiet = modulated(x, layer.weight, layer.style(w), True, False)
    bent = layer(x, w) / math.sqrt(2)
    noise = torch.where(bent < 0, bent / 0.2, bent) - quiet
    torch.testing.assert_close(noise, noise[:, :1].expand_as(noise), rtol=1e-3, atol=1e-4)
    assert 0.35 < noise[:, 0].std() < 0.65 and (noise[0, 0] - noise[1, 0]).abs().max() > 0.1


def test_activations_are_bounded_and_a_residual_branchs_bound_shrinks_with_it() -> None:
    x = 1e4 * torch.randn(2, 4, 8, 8)
    assert Convolution(4, 4, 3, clamp=256.0)(x).abs().max() == 256
    assert Convolution(4, 4, 3, clamp=256.0, gain=0.5)(x).abs().max() == 128
    assert Convolution(4, 4, 3)(x).abs().max() > 256
    assert Styled(4, 4, 5, 8, False, 256.0)(1e9 * torch.ones(1, 4, 8, 8), torch.zeros(1, 5)).abs().max() <= 256
    assert ToImage(4, 3, 5, 2.0)(x, torch.randn(2, 5)).abs().max() == 2


def test_the_deviation_of_a_group_is_the_mean_of_the_standard_deviations_over_it() -> None:
    x = torch.randn(6, 3, 4, 4, dtype=torch.float64)
    found = MinibatchDeviation(3)(x)
    assert torch.equal(found[:, :3], x) and found.shape == (6, 4, 4, 4)
    for first in (0, 1):  # samples 0, 2, 4 are a group, and 1, 3, 5 another
        group = x[first::2]
        expected = (group.var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(found[first::2, 3], expected.expand(3, 4, 4))


@pytest.mark.parametrize(("n", "group", "size"), [(6, 4, 3), (2, 32, 2), (1, 4, 1), (7, 4, 1), (64, 32, 32)])
def test_a_group_that_does_not_divide_the_batch_is_the_next_smaller_that_does(n: int, group: int, size: int) -> None:
    x = torch.randn(n, 2, 1, 1)
    found = MinibatchDeviation(group)(x)
    torch.testing.assert_close(found, MinibatchDeviation(size)(x))
    assert found.isfinite().all() and (size > 1 or found[:, 2].max() < 1e-3)
