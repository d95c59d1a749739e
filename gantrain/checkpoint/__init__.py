"""Checkpoints: directories of plain data that are complete and verified, or do not count.

Above run, whose files it writes; below training, which hands it the state to save.
"""

from gantrain.checkpoint.environment import changes, environment
from gantrain.checkpoint.format import read
from gantrain.checkpoint.retention import Retention
from gantrain.checkpoint.rng import Rng
from gantrain.checkpoint.series import Checkpoints

__all__ = ["Checkpoints", "Retention", "Rng", "changes", "environment", "read"]
