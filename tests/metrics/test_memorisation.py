"""Copies of training samples are found, and only they."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gantrain.data import Digits
from gantrain.metrics import memorised_share, nearest, threshold
from tests.conftest import SHARED_IMAGES


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, d)))


@pytest.mark.parametrize("d", [2, 6, 64])
def test_independent_samples_are_hardly_ever_called_copies_whatever_the_dimension(d: int) -> None:
    assert memorised_share(normal(1000, d, 1), normal(2000, d)) <= 0.02


def test_copies_are_found_also_with_noise_and_in_the_planted_share() -> None:
    training, fresh = normal(2000, 6), normal(1000, 6, 1)
    assert memorised_share(training[500:900], training) == 1
    assert memorised_share(training[500:900] + 0.01, training) == 1
    for share in (0.01, 0.05, 0.2):
        n = int(1000 * share)
        found = memorised_share(torch.cat([training[:n], fresh[n:]]), training)
        assert found == pytest.approx(share, abs=0.02)


def test_the_nearest_are_found_across_blocks_and_never_the_query_itself() -> None:
    data = normal(50, 3)
    distances = cdist(data, data)
    np.fill_diagonal(distances, np.inf)
    found = nearest(data[10:30], data.split(7), torch.arange(10, 30))
    assert found.index.tolist() == distances[10:30].argmin(1).tolist()
    rising = np.sort(distances[10:30], 1)
    np.testing.assert_allclose(found.distance, rising[:, 0], rtol=1e-9)
    np.testing.assert_allclose(found.ratio, rising[:, 0] / rising[:, 1:5].mean(1), rtol=1e-9)


def test_bytes_and_floats_count_alike() -> None:
    data = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (300, 20))).to(torch.uint8)
    mixed = torch.cat([data[:40], (255 - data[40:100])])
    assert memorised_share(mixed, data) == memorised_share(mixed.double() / 255, data.double() / 255) == 0.4


@pytest.mark.parametrize("share", [0.02, 0.75, 1.0])
def test_duplicates_in_the_training_set_neither_hide_copies_nor_make_any(share: float) -> None:
    data = 100 * normal(400, 300)
    doubled = torch.cat([data, data[: int(400 * share)]])
    assert threshold(nearest(doubled[:400], [doubled], torch.arange(400))) == 0.25
    assert memorised_share(data[:50], doubled) == 1
    assert memorised_share(data[:50] + 5, doubled) == 1
    assert memorised_share(100 * normal(50, 300, 1), doubled) == 0


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_a_set_of_a_few_samples_has_exact_copies_and_no_others(m: int) -> None:
    training = normal(m, 8)
    assert memorised_share(training, training) == 1
    assert memorised_share(normal(100, 8, 1), training) <= 0.02


def test_sets_that_do_not_fit_together_are_refused() -> None:
    for queries, training in ((normal(3, 2), normal(3, 4)), (normal(0, 2), normal(3, 2)), (normal(3, 2), normal(0, 2))):
        with pytest.raises(ValueError, match=r"are needed, got"):
            memorised_share(queries, training)


def smooth_and_real(training: Tensor, held_out: Tensor) -> dict[str, Tensor]:
    """Images (n, C, S, S) in [0, 255] that are near to many training images and copies of none."""
    generator = torch.Generator().manual_seed(0)
    n, (channels, side) = 300, training.shape[1:3]

    def averages(of: int) -> Tensor:
        return torch.stack(
            [training[torch.randint(len(training), (of,), generator=generator)].mean(0) for _ in range(n)]
        )

    block = side // 4
    noise = 5 * torch.randn(n, *training.shape[1:], generator=generator)
    return {
        "mean image and noise": training.mean(0) + noise,
        "flat gray": torch.arange(256.0)[:, None, None, None].expand(256, channels, side, side),
        "averages of 32": averages(32),
        "averages of 8": averages(8),
        "blurred": F.interpolate(F.avg_pool2d(training[:n], block), scale_factor=block),
        "held-out": held_out,
    }


def share_of(images: Tensor, training: Tensor) -> float:
    queries, those = (x.round().clamp(0, 255).to(torch.uint8).flatten(1) for x in (images, training))
    return memorised_share(queries, those)


def assert_only_copies_are_found(images: Tensor, training_count: int) -> None:
    images = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]
    training, held_out = images[:training_count], images[training_count:][:1000]
    for kind, samples in smooth_and_real(training, held_out).items():
        assert share_of(samples, training) < 0.02, kind
    for planted in (0.01, 0.05, 0.2):
        n = round(planted * len(held_out))
        found = share_of(torch.cat([training[:n], held_out[n:]]), training)
        assert found == pytest.approx(planted, abs=0.02)


def test_gray_blurred_and_average_digits_are_no_copies_and_planted_ones_are() -> None:
    assert_only_copies_are_found(Digits().pixels.float(), 797)


@pytest.mark.skipif(not SHARED_IMAGES.exists(), reason="needs the CIFAR-10 images")
def test_gray_blurred_and_average_photos_are_no_copies_and_planted_ones_are() -> None:
    photos: list[np.ndarray] = []
    with tarfile.open(SHARED_IMAGES) as archive:
        while len(photos) < 3000 and (entry := archive.next()) is not None:
            if entry.name.endswith((".jpg", ".jpeg")):
                image = Image.open(io.BytesIO(archive.extractfile(entry).read())).convert("RGB")  # type: ignore[union-attr]
                photos.append(np.asarray(image))
    images = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float()
    assert_only_copies_are_found(F.avg_pool2d(images, 2), 2000)
