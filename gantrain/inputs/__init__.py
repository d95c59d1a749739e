"""What a generator gets beside its weights: latents and labels, in training and for everything drawn from it."""

from gantrain.inputs.inputs import Given, Inputs, asked_of, class_numbers, is_conditional
from gantrain.inputs.latent import Codes, Latent, Mixture, Normal, Spherical, Truncated, Uniform

__all__ = [
    "Codes",
    "Given",
    "Inputs",
    "Latent",
    "Mixture",
    "Normal",
    "Spherical",
    "Truncated",
    "Uniform",
    "asked_of",
    "class_numbers",
    "is_conditional",
]
