"""Where a run is shown beside its own records: TensorBoard, CSV, Weights & Biases, MLflow, Aim, or a class of yours.

`interface.py` says what a logger takes, a file each holds one. `guard.py` stands between a logger and the run: what a
logger raises, or how long it hangs, costs a warning. `remembered.py` keeps by which name a tracker knows the run.

Above run, whose Records hand everything on; below what builds. The packages of a tracker are imported by its own file
alone, when a run begins.
"""

from gantrain.loggers.aim import Aim
from gantrain.loggers.csv import Csv
from gantrain.loggers.guard import Guard, guarded
from gantrain.loggers.interface import Facts, Logger
from gantrain.loggers.mlflow import MLflow
from gantrain.loggers.tensorboard import TensorBoard
from gantrain.loggers.wandb import WandB

__all__ = ["Aim", "Csv", "Facts", "Guard", "Logger", "MLflow", "TensorBoard", "WandB", "guarded"]
