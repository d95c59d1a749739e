"""Theory made visible: divergences, and the optimal discriminator beside the one that training finds.

Above training, whose players it moves; below build and `gantrain-theory`.
"""

from gantrain.theory.generated import FewerModes, OneGaussian, Shifted

__all__ = ["FewerModes", "OneGaussian", "Shifted"]
