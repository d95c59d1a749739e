"""Theory made visible: divergences, and the optimal discriminator beside the one that training finds."""

from gantrain.theory.generated import FewerModes, OneGaussian, Shifted

__all__ = ["FewerModes", "OneGaussian", "Shifted"]
