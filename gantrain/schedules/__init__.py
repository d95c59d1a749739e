"""Schedules: a number as a function of the share of the run that has been played, by ``_target_``."""

from gantrain.schedules.functions import Cosine, Function, Linear, Piecewise, WarmUp

__all__ = ["Cosine", "Function", "Linear", "Piecewise", "WarmUp"]
