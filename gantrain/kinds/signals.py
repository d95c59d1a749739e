"""Signals (channels, length) in [-1, 1]: curves over equally spaced times."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gantrain.kinds.images import laid_out
from gantrain.kinds.kind import Kind
from gantrain.kinds.units import Units

HEIGHT, WIDTH, WIDE = 80, 128, 256
"""Pixels of a chart; signals with more values than it has columns are drawn wide."""
MARGIN, THICKNESS = 4.0, 1.6
"""Pixels above 1 and below -1, and of a line."""
COLOURS = (
    (0.12, 0.35, 0.70), (0.85, 0.37, 0.01), (0.11, 0.62, 0.47),
    (0.91, 0.16, 0.54), (0.46, 0.44, 0.70), (0.40, 0.40, 0.40),
)  # fmt: skip
"""Of the channels, in turn."""
ZERO = 0.85
"""Gray of the line at 0."""


class Signals(Kind):
    """Each is drawn as a chart of its own, a line for each channel; all charts reach from -1 to 1."""

    name = "signals"
    axes = 2
    value_range = (-1, 1)
    in_cells = True
    drawn_at_most = 400
    evaluation = "signals"
    architecture = "conv1d"

    def undrawn(self, shape: Sequence[int]) -> str | None:
        """Refuse none."""
        return None

    def draw(self, samples: Tensor, real: Tensor | None = None, columns: int | None = None) -> Tensor:
        """Return a grid of charts."""
        return laid_out(charts(samples), columns)

    def still(self, sample: Tensor) -> Tensor:
        """Return one chart."""
        return charts(sample[None])[0]

    def write_files(
        self, samples: Tensor, folder: Path, units: Units | None = None, labels: Sequence[str] | None = None
    ) -> bool:
        """Write all into ``signals.npy``, (n, channels, length) float32, which ``data=signals`` reads.

        Sound is written as WAV of 16 bits in its stead, ``files/00000.wav`` and on.
        """
        if units is not None and units.rate is not None:
            (folder / "files").mkdir()
            for k, sound in enumerate(samples):
                write_wav(sound, folder / "files" / f"{k:05d}.wav", units.rate)
            return True
        samples = samples if units is None else units.original(samples).float()
        np.save(folder / "signals.npy", self.to_array(samples), allow_pickle=False)
        return True


def write_wav(sound: Tensor, path: Path, rate: int) -> None:
    """Write sound (channels, length) in [-1, 1] as a WAV file of 16 bits; what is beyond is cut off."""
    numbers = sound.detach().cpu().double().nan_to_num().mul(2**15).round().clamp(-(2**15), 2**15 - 1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(sound))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(numbers.T.numpy().astype("<i2").tobytes())


def charts(signals: Tensor) -> Tensor:
    """Return signals (n, channels, length) as charts (n, 3, h, w) in [0, 1]; what is not finite leaves a gap."""
    lines = signals.detach().float().cpu()
    lines = torch.where(lines.isfinite(), lines.clamp(-1, 1), torch.nan)
    width = WIDTH if lines.shape[2] <= WIDTH else WIDE
    drawn = torch.ones(len(lines), 3, HEIGHT, width)
    drawn[:, :, HEIGHT // 2] = ZERO
    for k in range(lines.shape[1]):
        colour = torch.tensor(COLOURS[k % len(COLOURS)])[:, None, None]
        drawn = drawn.lerp(colour.expand_as(drawn), ink(lines[:, k], width)[:, None])
    return drawn


def ink(lines: Tensor, width: int) -> Tensor:
    """Return how much of each pixel a line covers, (n, h, width) in [0, 1], of lines (n, length) in [-1, 1]."""
    length = lines.shape[1]
    borders = interpolate(lines[:, None], size=width + 1, mode="linear", align_corners=True)[:, 0]
    column = (torch.arange(length) * width // max(length - 1, 1)).clamp_max(width - 1).expand_as(lines)
    # A line lies in a column between its heights at both borders and at the corners that it has in there.
    highest = torch.maximum(borders[:, :-1], borders[:, 1:]).scatter_reduce(1, column, lines, "amax")
    lowest = torch.minimum(borders[:, :-1], borders[:, 1:]).scatter_reduce(1, column, lines, "amin")
    middle, scale = HEIGHT / 2 + 0.5, HEIGHT / 2 - MARGIN  # 0 lies in the middle of the row HEIGHT / 2
    top, bottom = middle - scale * highest - THICKNESS / 2, middle - scale * lowest + THICKNESS / 2
    rows = torch.arange(HEIGHT)[:, None]
    covered = torch.minimum(bottom[:, None], rows + 1.0) - torch.maximum(top[:, None], rows.float())
    return covered.clamp(0, 1).nan_to_num(0.0)
