"""A small network, trained once on the labelled data itself: its features suit the data and need no download."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gantrain.data import Data, Stacked
from gantrain.errors import ConfigError, DataError
from gantrain.evaluation.cache import Cache, Content, look
from gantrain.evaluation.features import Features
from gantrain.losses.arithmetic import full_precision
from gantrain.run import files
from gantrain.terminal import each

SIDE = 64  # larger images are averaged down to it
HELD_OUT = 10  # every tenth image measures the accuracy and is never trained on
VERSION = 1  # of the training: moved when it would give another network
BATCH, EPOCHS, MOST_STEPS = 128, 20, 3000


class Network(nn.Module):
    """(n, C, H, W) in [-1, 1] -> features (n, d) and logits (n, classes); d is 128, 64 below a side of 32.

    Pairs of 3×3 convolutions, each pair at half the side of the one before, until 4×4 or less; the features are the
    means of the last maps.
    """

    def __init__(self, channels: int, side: int, classes: int) -> None:
        super().__init__()
        stages = max(2, min(side, SIDE).bit_length() - 2)
        widths = [max(16, (128 if side >= 32 else 64) >> k) for k in reversed(range(stages))]
        layers: list[nn.Module] = []
        for stage, width in enumerate(widths):
            layers += [nn.MaxPool2d(2)] if stage else []
            for inputs in (channels, width):
                layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.maps = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits."""
        features = self.maps(x.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return features, self.head(features)


class Classifier(Features):
    """The features of a network that tells the data's classes apart.

    Of stacked images the network sees each colour by itself, and the three feature vectors are joined.

    Args:
        data: labelled images that it is trained on, unless the cache has it already.
        weights: a classifier's file from another cache, to be used instead.
        cache: where trained ones are kept.
        device: where it is trained and runs.

    Raises:
        ConfigError: if the data has no labels.
        DataError: if it learns nothing, or ``weights`` is no classifier of this data.
    """

    name = "classifier"

    def __init__(self, data: Data, weights: str | None, cache: Cache, device: torch.device) -> None:
        self.data = data.parts if isinstance(data, Stacked) else data
        self.stacked, self.device = isinstance(data, Stacked), device
        if self.data.labels is None or self.data.classes < 2:
            raise ConfigError(
                f"evaluation=classifier needs images with labels, and {data} has none; "
                "use evaluation=pixels, or evaluation=inception"
            )
        channels, _, side = self.data.shape
        self.net = Network(channels, side, self.data.classes)
        identity: dict[str, object] = {"data": [self.data.identity(), self.data.freshness()], "version": VERSION}
        if weights:
            tensors, facts = read_weights(weights)
        else:
            tensors, facts = cache.fetch("classifier", identity, self._train, self._take)
        try:
            self._take((tensors, facts))
            content = b"".join(tensors[name].contiguous().numpy().tobytes() for name in sorted(tensors))
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise DataError(f"evaluation.weights={weights} is no classifier of {self.data}") from error
        self.net.to(device).eval().requires_grad_(False)
        self.digest = hashlib.sha256(content).hexdigest()

    def __str__(self) -> str:
        return f"classifier {self.digest[:8]}, right on {self.accuracy:.1%} of held-out images"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, d) and logits (n, classes); of stacks (n, 3 d) and (n, 3, classes)."""
        n = len(images)
        parts = images.reshape(-1, 1, *images.shape[2:]) if self.stacked else images
        with full_precision():
            features, logits = (part.cpu() for part in self.net(prepared(parts.to(self.device))))
        return (
            (features.reshape(n, -1), logits.reshape(n, -1, logits.shape[-1])) if self.stacked else (features, logits)
        )

    def _take(self, content: Content) -> None:
        """Take the weights and the accuracy of a file; what is none of this data raises one of ``cache.OTHER``."""
        tensors, facts = content
        self.net.load_state_dict(tensors)
        self.accuracy = float(facts["accuracy"])
        if not 0 <= self.accuracy <= 1:
            raise ValueError(f"its accuracy is {self.accuracy}")

    def _train(self) -> Content:
        """Train, in the same way each time: AdamW, one cycle of the learning rate, images moved by a few pixels."""
        train, held_out = numbers(self.data.count or 0)
        labels, steps = self.data.labels, min(MOST_STEPS, max(MOST_STEPS // 10, EPOCHS * len(train) // BATCH))
        assert labels is not None
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []), torch.enable_grad():
            torch.manual_seed(0)
            net = Network(self.data.shape[0], self.data.shape[-1], self.data.classes).to(self.device)
            optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.05)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
            rng = np.random.default_rng(0)
            what = f"training a classifier on {self.data}"
            for _ in each(range(steps), what, "step"):
                chosen = rng.choice(train, min(BATCH, len(train)), replace=False)
                images = moved(prepared(self.data.at(chosen.tolist()).to(self.device)), rng)
                loss = F.cross_entropy(net(images)[1], labels[chosen].to(self.device), label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        self.net.load_state_dict(net.state_dict())
        self.net.to(self.device).eval()
        accuracy = self._accuracy(held_out)
        by_chance = float(torch.bincount(labels).max()) / len(labels)
        if accuracy < by_chance + (1 - by_chance) / 10:
            raise DataError(
                f"a classifier trained on {self.data} is right on {accuracy:.1%} of held-out images, hardly more than "
                "by chance: its features mean nothing; use evaluation=pixels, or evaluation=inception"
            )
        tensors = {name: value.detach().cpu().clone() for name, value in net.state_dict().items()}
        return tensors, {"accuracy": f"{accuracy:.6f}", "data": self.data.fingerprint(), "steps": str(steps)}

    @torch.no_grad()
    def _accuracy(self, held_out: np.ndarray) -> float:
        right, labels = 0, self.data.labels
        assert labels is not None
        for part in batches(held_out, 500):
            found = self.net(prepared(self.data.at(part.tolist()).to(self.device)))[1].argmax(1).cpu()
            right += int((found == labels[part]).sum())
        return right / len(held_out)


def numbers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the images to train on, and of those held out."""
    every = np.random.default_rng(0).permutation(count)
    return np.sort(every[len(every) // HELD_OUT :]), np.sort(every[: max(1, len(every) // HELD_OUT)])


def batches(index: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield an index in parts."""
    for start in range(0, len(index), size):
        yield index[start : start + size]


def prepared(images: Tensor) -> Tensor:
    """Return images (n, C, H, W) uint8 as float32 in [-1, 1], averaged down to a side of 64 if they are larger."""
    x = images.float().div(127.5).sub(1)
    return F.adaptive_avg_pool2d(x, SIDE) if x.shape[-1] > SIDE else x


def moved(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Return images (n, C, H, W) each shifted by up to an eighth of its side, the edge repeated."""
    n, _, height, width = images.shape
    most = max(1, width // 8)
    padded = F.pad(images, (most,) * 4, mode="replicate")
    down, right = (torch.from_numpy(rng.integers(2 * most + 1, size=n)) for _ in range(2))
    rows = (down[:, None] + torch.arange(height))[:, :, None].to(images.device)
    columns = (right[:, None] + torch.arange(width))[:, None].to(images.device)
    return padded.permute(0, 2, 3, 1)[torch.arange(n, device=images.device)[:, None, None], rows, columns].permute(
        0, 3, 1, 2
    )


def read_weights(path: str) -> Content:
    """Return the content of a classifier's file.

    Raises:
        DataError: if there is no readable file of this kind.
    """
    found, wrong = look(files.at_home(path))
    if found is None:
        why = f" ({wrong})" if wrong else ""
        raise DataError(f"evaluation.weights={path} is no classifier's file{why}; leave it null to have one trained")
    return found
