"""The sweeper behind ``hydra/sweeper=optuna``: Hydra loads sweepers from here only, at every start, so it is small."""

from __future__ import annotations

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, read_write


class SearchSweeper(Sweeper):
    """Lets ``gantrain.sweeps.search`` choose what the jobs of a sweep are; ``configs/hydra/sweeper/optuna.yaml``."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Build the launcher, which may write the configuration into files: without the database's password."""
        from gantrain.sweeps import storage

        given = OmegaConf.to_container(config.hydra.sweeper, resolve=False)["storage"]  # type: ignore[call-overload, index]
        if isinstance(given, str) and "${" not in given:
            with read_write(config), read_write(config.hydra):
                config.hydra.sweeper.storage = storage.hidden(given)
        self.hydra_context, self.config = hydra_context, config
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Search; ``arguments`` are the task's overrides."""
        from gantrain.build import directions
        from gantrain.sweeps.search import search

        assert self.config is not None  # Hydra calls setup first
        return search(self.settings, self.config, self.launcher, arguments, directions(self.config))
