"""Copies among samples: those that are equal in every number, and images that nearly are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from scipy.spatial import cKDTree

DIFFERENCE, COLOUR = 12.0, 24.0
"""Of 255, by which near copies differ at most: their thumbnails (root mean square), and the means of their channels."""
CONTRAST, FLAT = 48.0, 8.0
"""Standard deviation that the gray values of a thumbnail are brought to: less contrast is raised up to there, but as of
a thumbnail with ``FLAT`` at most, for what is flatter is noise; more contrast is left, or simple drawings that differ
in a stroke would be copies."""
DIRECTIONS, NEIGHBOURS = 16, 1000
"""Principal directions of the thumbnails in which near ones are looked for, and how many are compared with one."""
LEARNT_FROM = 20_000
"""Thumbnails that the directions are learnt from, spread evenly over all."""
AT_ONCE = 2**14
"""Thumbnails that are floats at the same time."""
Groups = list[list[int]]
"""Numbers of samples that are copies of each other, ascending; the groups in the order of their first ones."""


def exact(digests: np.ndarray) -> Groups:
    """Return the groups of samples with equal digests (n,)."""
    order = np.argsort(digests, kind="stable")
    sorted_ = digests[order]
    begins = np.flatnonzero(np.append(True, sorted_[1:] != sorted_[:-1])) if len(order) else np.empty(0, int)
    groups = [group.tolist() for group in np.split(order, begins[1:]) if len(group) > 1]
    return sorted(groups)


def near(thumbnails: np.ndarray, colours: np.ndarray, but: Groups) -> Groups:
    """Return the groups of images that are linked by nearly equal thumbnails and mean colours.

    Thumbnails that are close to each other, once brightness and contrast are evened, are as close when projected on
    their principal directions: a tree finds those without comparing all pairs, and they are then compared whole, the
    ``NEIGHBOURS`` nearest at most. What is a copy already is not compared again, so many copies of one image take no
    more memory than other images, and one look.

    Args:
        thumbnails: (n, pixels) uint8.
        colours: (n, channels) in [0, 255], the mean of each.
        but: groups of exact copies, of which the first alone is looked at.
    """
    left = np.setdiff1d(np.arange(len(thumbnails)), [k for group in but for k in group[1:]])
    if len(left) < 2:
        return []
    radius = 1.001 * DIFFERENCE * thumbnails.shape[1] ** 0.5  # a little more, for projections are rounded
    places = projected(thumbnails, left)
    tree = cKDTree(places)
    distances, _ = tree.query(places, k=2, distance_upper_bound=radius, workers=-1)
    is_copy, pairs = np.zeros(len(left), bool), []
    for k in np.flatnonzero(np.isfinite(distances[:, 1])):
        if is_copy[k]:
            continue
        away, found = tree.query(places[k], k=min(NEIGHBOURS, len(left)), distance_upper_bound=radius)
        found = found[np.isfinite(away)]
        found = found[found != k]
        found = found[alike(thumbnails[left[found]], colours[left[found]], thumbnails[left[k]], colours[left[k]])]
        is_copy[found] = True
        pairs += [(int(left[k]), int(other)) for other in left[found]]
    return joined(pairs)


def alike(thumbnails: np.ndarray, colours: np.ndarray, thumbnail: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Return which of some images (n,) are near copies of one."""
    difference = np.square(even(thumbnails) - even(thumbnail[None])).mean(1) ** 0.5
    alike: np.ndarray = (difference <= DIFFERENCE) & (np.abs(colours - colour).max(1) <= COLOUR)
    return alike


def parts(n: int) -> Iterator[slice]:
    """Yield slices that cover ``n`` rows."""
    for start in range(0, n, AT_ONCE):
        yield slice(start, start + AT_ONCE)


def even(thumbnails: np.ndarray) -> np.ndarray:
    """Return thumbnails (n, pixels) float32 with mean 0 and evened contrast, see ``CONTRAST``."""
    rows = thumbnails.astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    scaled: np.ndarray = rows * (CONTRAST / rows.std(1, keepdims=True).clip(FLAT, CONTRAST))
    return scaled


def projected(thumbnails: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return some of the thumbnails (n, pixels) along their principal directions, (m, directions) float32."""
    some = even(thumbnails[left[:: -(-len(left) // LEARNT_FROM)]]).astype(np.float64)
    directions = np.linalg.eigh(some.T @ some)[1][:, ::-1][:, :DIRECTIONS].astype(np.float32)
    return np.concatenate([even(thumbnails[left[part]]) @ directions for part in parts(len(left))])


def joined(pairs: Iterable[tuple[int, int]]) -> Groups:
    """Return the groups that pairs link together."""
    leader: dict[int, int] = {}

    def of(k: int) -> int:
        while leader.setdefault(k, k) != k:
            leader[k] = leader[leader[k]]
            k = leader[k]
        return k

    for a, b in pairs:
        low, high = sorted((of(a), of(b)))
        leader[high] = low
    groups: dict[int, list[int]] = {}
    for k in sorted(leader):
        groups.setdefault(of(k), []).append(k)
    return sorted(groups.values())
