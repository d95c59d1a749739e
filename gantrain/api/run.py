"""A run as Python sees it: its records, its generator, its measurements."""

from __future__ import annotations

import ast
import html
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gantrain.errors import ConfigError
from gantrain.run import read
from gantrain.run.directory import RunDirectory

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]
    from torch import Tensor

    from gantrain.export import Generator


class Columns(dict[str, np.ndarray]):
    """The lines of a run's records by column, in the order of steps; NaN where a line has no such value."""

    def to_pandas(self) -> pandas.DataFrame:
        """Return a pandas table with the steps as its index.

        Raises:
            ConfigError: if pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ConfigError("to_pandas needs pandas: pip install pandas") from error
        return pandas.DataFrame({k: v for k, v in self.items() if k != "step"}, pandas.Index(self["step"], name="step"))


class Run:
    """A run, finished or not, read anew each time it is asked.

        run = gantrain.Run("outputs/ring/mlp/hinge/seed0")

    Args:
        path: its folder.
        lines: the overrides that began it; None: those that its records tell.
        callbacks: for ``resume``.
        objects: those that it was trained with, by the names that ``gantrain.train`` has: data, generator,
            discriminator, loss.

    Raises:
        ConfigError: if the folder holds no run.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        lines: Sequence[str] | None = None,
        callbacks: Mapping[str, object] | None = None,
        **objects: Any,
    ) -> None:
        from gantrain.api.objects import KEYS, fitting

        self.path = Path(path).expanduser()
        self._directory = RunDirectory(self.path)
        if self._directory.read_config() is None:
            raise ConfigError(f"{self.path} is no run's folder: it has no config.yaml")
        if unknown := objects.keys() - set(KEYS):
            raise ConfigError(f"{min(unknown)} is none of {', '.join(KEYS)}")
        self._lines, self._callbacks = lines, dict(callbacks or {})
        self._objects = {key: fitting(key, given) for key, given in objects.items()}

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.state} at step {self.step:,})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: how the run stands, and its last grid."""
        from gantrain.api.notebook import picture

        grids = sorted((self.path / "samples").glob("step-*.png"))
        return f"<pre>{html.escape(repr(self))}</pre>" + (picture(grids[-1]) if grids else "")

    @property
    def state(self) -> str:
        """How it stands: running, finished, stopped, pruned, diverged, failed or killed."""
        return self._directory.state()

    @property
    def step(self) -> int:
        """Steps that it has played, by its last record; while it plays that is the last line of metrics.jsonl."""
        told = int(self.status.get("step", 0))
        if self.state in ("running", "killed"):  # status.json has what was when it began
            return max(told, *(int(line["step"]) for line in self._directory.metrics()), 0)
        return told

    @property
    def status(self) -> dict[str, Any]:
        """What status.json says: counters, cost, environment, the command; a damaged entry is left out."""
        return self._directory.status()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings it was trained with, nested, as config.yaml has them."""
        return self._directory.settings()

    @property
    def metrics(self) -> Columns:
        """The lines of metrics.jsonl by column, ``step`` among them; evaluations are columns ``eval/…``."""
        rows: dict[int, dict[str, float]] = {}
        for line in self._directory.metrics():  # an evaluation has a line of its own
            rows.setdefault(line["step"], {}).update(line)
        steps = sorted(rows)
        names = dict.fromkeys(name for row in rows.values() for name in row)
        found = {name: np.array([rows[step].get(name, np.nan) for step in steps], dtype=float) for name in names}
        found["step"] = np.array(steps, dtype=int)
        return Columns(found)

    @property
    def evaluation(self) -> dict[str, dict[str, float]]:
        """What its evaluations say: parts ``best``, ``final`` and ``median``, each by metric; a part may be empty."""
        parts = read.evaluation(self.path).parts
        return {name: dict(parts.get(name) or {}) for name in ("best", "final", read.MEDIAN)}

    @property
    def generator(self) -> Generator:
        """The averaged generator of the newest checkpoint, on the CPU."""
        return self.load()

    def load(self, step: str | int = "last", which: str = "ema", device: str = "cpu") -> Generator:
        """Return the generator of a checkpoint, as ``gantrain.load`` returns that of an export.

        Args:
            step: ``last``, ``best`` by the run's evaluation, or the step of a checkpoint that was kept.
            which: ``ema``, the averaged one, or ``raw``, the one that plays.
            device: cpu, cuda, cuda:1 or auto.

        Raises:
            ConfigError: if there is no such checkpoint, or an object that it was trained with is not given.
            CheckpointError: if it cannot be used.
        """
        from gantrain.build import pick_device
        from gantrain.export import Generator, described
        from gantrain.trained import NETS, Trained

        if which not in NETS:
            raise ConfigError(f"which must be ema or raw, got {which!r}")
        place = pick_device(device)
        with self._lent():
            trained = Trained.open(self.path, step, self._trusted())
            net = trained.generator(which, place)
            return Generator(net, described(trained), trained.inputs).eval()

    def samples(
        self,
        n: int = 64,
        seed: int = 0,
        truncation: float | None = None,
        classes: Sequence[int | str] | int | str | None = None,
    ) -> Tensor:
        """Return samples of the averaged generator (n, *shape) float32 on the CPU, as ``Generator.sample`` does."""
        with self._lent():
            return self.generator.sample(n, seed, truncation, classes)

    def resume(self, *overrides: str, callbacks: Sequence[object] | None = None, **settings: Any) -> Run:
        """Go on with the run, as ``gantrain.train`` with the same arguments does; return it.

            run = run.resume(total_steps=2000)

        Args:
            overrides: laid over those that began it.
            callbacks: instead of those that it had; None: the same.
            settings: overrides by name.

        Raises:
            ConfigError: if it is another run with them, or an object that it was trained with is not given.
        """
        from gantrain.api.composing import lines_of
        from gantrain.api.playing import named, of_lines

        more = lines_of(overrides, {"resume": "auto", **settings, "run.dir": self.path})
        replaced = {line.partition("=")[0] for line in more}
        lines = [line for line in self._began_with() if line.partition("=")[0] not in replaced]
        hearing = self._callbacks if callbacks is None else named(callbacks)
        path = of_lines([*lines, *more], {**self._objects, "callbacks": hearing})
        return Run(path, lines=[*lines, *more], callbacks=hearing, **self._objects)

    def evaluate(self, *overrides: str, **settings: Any) -> dict[str, float]:
        """Measure the generator as ``gantrain-eval`` does, which keeps a line in evaluations.jsonl; return the metrics.

            run.evaluate("evaluation=classifier", step="best")

        Args:
            overrides: of the command: ``"evaluation.n_fake=5000"``.
            settings: the same by name.

        Raises:
            ConfigError: for settings that cannot work, or a run without a protocol.
        """
        from gantrain.api.composing import composing, lines_of, without_hydra
        from gantrain.cli import eval as measuring
        from gantrain.schema import EvalConfig, validated

        lines = lines_of(overrides, settings)
        with composing([*lines_of((), {"run": self.path}), *lines], "eval") as composed, self._lent():
            cfg = validated(without_hydra(composed), EvalConfig)
            row = measuring.of_one(self.path, cfg)
        return {name: row[name] for name in row["better"] if name in row}

    def _began_with(self) -> list[str]:
        if self._lines is not None:
            return list(self._lines)
        command = self.status.get("command")
        try:
            if not isinstance(command, str) or not command.strip():
                raise ValueError("no command")
            if not command.startswith("gantrain.train("):
                return shlex.split(command)[1:]
            call = ast.parse(command, mode="eval").body
            lines = [ast.literal_eval(text) for text in getattr(call, "args", [])]
            if not all(isinstance(line, str) for line in lines):
                raise ValueError("no overrides")
            return lines
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(
                f"{self.path / 'status.json'} does not tell how the run was begun; call gantrain.train again"
            ) from error

    def _trusted(self) -> tuple[str, ...]:
        prefix = "trusted_modules="
        given = [line.removeprefix(prefix).strip("[]") for line in self._lines or () if line.startswith(prefix)]
        return tuple(name.strip() for line in given for name in line.split(",") if name.strip())

    @contextmanager
    def _lent(self) -> Iterator[None]:
        from gantrain.api.surroundings import unchanged
        from gantrain.build.own import lent

        with unchanged(), lent(self._objects):
            yield
