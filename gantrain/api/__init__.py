"""gantrain in Python: train, sweep, and look at runs, as the commands do, with objects of your own.

`composing.py` makes a configuration of Python's values, `objects.py` puts your own objects into it, `playing.py` plays
the game, `run.py` is what comes of it, `training.py` and `sweeps.py` are what is called. Above the commands, whose
work it does; nothing imports it but the package itself.
"""

from gantrain.api.catalogue import describe, options
from gantrain.api.composing import compose
from gantrain.api.run import Run
from gantrain.api.sweeps import Runs, report, sweep
from gantrain.api.training import train

__all__ = ["Run", "Runs", "compose", "describe", "options", "report", "sweep", "train"]
