"""One training, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gantrain.api import objects
from gantrain.api.composing import lines_of
from gantrain.api.playing import named, of_lines
from gantrain.api.run import Run


def train(*overrides: str, callbacks: Sequence[object] | str = (), **settings: Any) -> Run:
    """Train a GAN, or go on with the same one, and return its run.

        run = gantrain.train("loss=hinge", data="ring", total_steps=500)
        run.metrics["d/loss"], run.samples(64), run.path

    It is the run of the command ``gantrain loss=hinge data=ring total_steps=500``, in the same folder: either goes on
    with what the other has begun, bit for bit. With objects of your own the run goes on from Python alone.

    Ctrl-C saves, and returns the run, whose ``state`` is ``"stopped"``; a second one leaves at once. SIGTERM and the
    like save too, and then do what they would have done.

    Args:
        overrides: as on the command line: ``"loss=hinge"``, ``"optimizer.g.lr=1e-4"``.
        callbacks: objects with methods of ``gantrain.Callback``; or names of options, ``"[stop_at]"``.
        settings: overrides by name; a dict holds settings of a group: ``ema={"rampup": None}``. Four may be objects:
            ``data``: a map-style data set of torch; a tensor or array (n, *shape), images (n, C, H, W) as bytes or in
            [0, 1] or [-1, 1], signals (n, C, L), points (n, d); a pair of one and labels (n,); ``gantrain.data.Data``.
            ``generator``, ``discriminator``: a ``torch.nn.Module`` of (z) or (z, labels), and of (x) or (x, labels), z
            (n, architecture.latent_dim) float32; the run begins with a copy of its weights. ``loss``: a
            ``gantrain.losses.Objective``.

    Raises:
        ConfigError: for a choice, key, value or object that cannot work.
        DataError: for data that are missing or damaged.
        DivergedError: if a value became infinite or NaN.
        CheckpointError: if the run has checkpoints and none can be used.
        RunInUseError: if another process trains in its folder.
        DiskError, MemoryFullError: if the machine does not suffice.
        CallbackError: if a callback failed; its cause is the callback's own error.
    """
    given = objects.taken(settings)
    if isinstance(callbacks, str):
        settings["callbacks"] = callbacks
        callbacks = ()
    given["callbacks"] = named(callbacks)
    lines = lines_of(overrides, settings)
    return Run(of_lines(lines, given), lines=lines, **given)
