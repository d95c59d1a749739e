"""Numbers that say how good samples are: arrays in, numbers out."""

from gantrain.metrics.modes import Coverage, coverage

__all__ = ["Coverage", "coverage"]
