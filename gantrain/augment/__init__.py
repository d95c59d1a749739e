"""Differentiable augmentation of what D sees, the same in both players' turns."""

from gantrain.augment.diffaug import DiffAugment

__all__ = ["DiffAugment"]
