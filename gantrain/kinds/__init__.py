"""What a sample is: an image, a point or a signal, and all that follows from it.

Each kind knows its range of values, how it is drawn, and what files hold of it. No other code asks for the number of
axes of a sample. Below all packages that see samples: it imports nothing of gantrain.
"""

from __future__ import annotations

from collections.abc import Sequence

from gantrain.kinds.images import Images
from gantrain.kinds.kind import Kind
from gantrain.kinds.points import Points
from gantrain.kinds.signals import Signals
from gantrain.kinds.units import Units

__all__ = ["KINDS", "Images", "Kind", "Points", "Signals", "Units", "kind_of"]

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Images(), Points(), Signals(), Kind())}
"""Every kind by its name; the last one is of any shape."""


def kind_of(shape: Sequence[int], name: str | None = None) -> Kind:
    """Return the kind of samples of a shape: of one number points, of two signals, of three images.

    Args:
        shape: of one sample.
        name: of the kind, if a data set has said it; a name that there is not, or that does not fit the shape, perhaps
            a stranger's, counts for nothing.
    """
    if name in KINDS and KINDS[name].takes(shape):
        return KINDS[name]
    return next(kind for kind in KINDS.values() if kind.takes(shape))
