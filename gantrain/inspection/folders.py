"""What the files of a folder of images are, and what the loader does to them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from gantrain.data.decode import GRAY, Decoded, Original
from gantrain.data.depth import DEEP
from gantrain.data.survey import FolderSurvey

COMMON = 3
"""Sizes that are listed."""


class FilesSeen:
    """Counts over the files of a folder that could be read."""

    def __init__(self, survey: FolderSurvey) -> None:
        self.survey = survey
        self.originals: list[Original] = []
        self.transparent = self.reduced = 0
        self.channels = 0  # of the image with the most

    def add(self, image: Decoded) -> None:
        """Count a file."""
        self.originals.append(image.original)
        self.transparent += image.transparent
        self.reduced += image.reduced
        self.channels = max(self.channels, image.pixels.shape[-1])

    def facts(self) -> dict[str, Any]:
        """Return what the files are, as ``gantrain-data json=true`` prints it."""
        sizes = Counter((o.width, o.height) for o in self.originals)
        by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
        return {
            "root": str(self.survey.place.top),
            "files": len(self.survey.paths),
            "bytes": self.survey.bytes,
            "formats": dict(Counter(o.format for o in self.originals).most_common()),
            "modes": dict(Counter(o.mode for o in self.originals).most_common()),
            "sizes": {
                "different": len(sizes),
                "common": [[*size, n] for size, n in sizes.most_common(COMMON)],
                "smallest": list(by_area[0]) if by_area else None,
                "largest": list(by_area[-1]) if by_area else None,
                "median_side": self.median_side(),
            },
            "loader": self.loader(),
            "kept": {"where": self.survey.home, "bytes": self.survey.needed},
        }

    def median_side(self) -> float | None:
        """Return the median of the sides, in pixels, of the squares that images become before they are resized."""
        side = max if self.survey.decoder.fit == "pad" else min
        sides = [side(o.width, o.height) for o in self.originals]
        return float(np.median(sides)) if sides else None

    def loader(self) -> dict[str, Any]:
        """Return how many images the loader treats in which way, and the mean share of the pixels that it cuts off."""
        decoder = self.survey.decoder
        width, height = (np.array([getattr(o, name) for o in self.originals]) for name in ("width", "height"))
        short, long = np.minimum(width, height), np.maximum(width, height)
        enlarged = (long if decoder.fit == "pad" else short) < decoder.size
        oblong = short < long
        share = 1 - short / long if len(long) else np.zeros(0)  # cut off by crop, added by pad
        gray = sum(o.mode in GRAY | DEEP for o in self.originals)
        return {
            "size": decoder.size,
            "fit": decoder.fit,
            "channels": self.channels or None,
            "oblong": int(oblong.sum()),
            "share": float(share[oblong].mean()) if oblong.any() else 0.0,
            "enlarged": int(enlarged.sum()),
            "shrunk": int((~enlarged & (long > decoder.size)).sum()),
            "gray_to_colour": gray if self.channels > 1 else 0,
            "colour_to_gray": len(self.originals) - gray if self.channels == 1 else 0,
            "on_background": self.transparent,
            "background": list(decoder.background),
            "turned": sum(o.turned for o in self.originals),
            "jpeg_at_a_part": self.reduced,
        }
