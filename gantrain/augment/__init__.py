"""Differentiable augmentation of every sample that D sees, in both players' turns."""

from gantrain.augment.diffaug import DiffAugment

__all__ = ["DiffAugment"]
