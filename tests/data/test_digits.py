"""The digits of scikit-learn."""

from __future__ import annotations

import torch

from gantrain.data import Digits


def test_digits_are_the_1797_images_of_scikit_learn() -> None:
    digits = Digits()
    assert digits.shape == (1, 8, 8) and digits.classes == 10 and len(digits.pixels) == 1797
    assert digits.pixels.min() == 0 and digits.pixels.max() == 255
    assert torch.bincount(digits.labels).min() > 170
