"""One training, from its settings to its end."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from gantrain import budget
from gantrain.cli import origin, resume, summary, warm
from gantrain.cli.outlets import outlets
from gantrain.errors import ConfigError, DivergedError, RecordError, for_training, memory_errors
from gantrain.run import forms, lists, read
from gantrain.run.directions import HIGHEST
from gantrain.run.directory import RunDirectory, state_after
from gantrain.run.identity import Identity, check_same_run, flat, plain
from gantrain.run.signals import StopSignal
from gantrain.schema import as_text, clip_norms, fill_cadences
from gantrain.terminal import folded, say

if TYPE_CHECKING:
    from gantrain.build import Built, Quality
    from gantrain.data import Data
    from gantrain.distributed import Alone
    from gantrain.evaluation import Live
    from gantrain.loggers import Guard
    from gantrain.run.records import Records
    from gantrain.training.trainer import Trainer


class Session:
    """A training in this process: prepared, restored, played.

    Args:
        cfg: its configuration, the length settled.
        run: its folder.
        identity: which run it is.
        built: the trainer, and the data it trains on.
        quality: what measures it, None for nothing.
        ranks: the processes that play the game; the first alone writes.
    """

    def __init__(
        self,
        cfg: DictConfig,
        run: RunDirectory,
        identity: Identity,
        built: Built,
        quality: Quality | None,
        ranks: Alone,
    ) -> None:
        from gantrain.checkpoint import Checkpoints, Retention, environment
        from gantrain.performance.cost import Ledger

        self.cfg, self.run, self.identity, self.built, self.ranks = cfg, run, identity, built, ranks
        self.trainer = built.trainer
        self.live = live(cfg, run, quality, self.trainer)
        device = self.trainer.precision.device
        picked = {"performance": built.performance.facts()}
        self.environment = environment(device, built.data.fingerprint(), ranks.world) | picked
        self.data = built.data.identity()  # looked up once: a folder's images may be gone when the run ends
        self.origin: dict[str, Any] = {}  # where it comes from, and what was said of it; known once it is restored
        self.departures: list[dict[str, Any]] = []  # changes of the environment, each at the step where the run went on
        self.ledger = Ledger(self.trainer)
        kept = cfg.checkpoint
        self.checkpoints = Checkpoints(
            run.path / "checkpoints",
            Retention(kept.keep_last, kept.keep_every, kept.keep_best, kept.best_is == HIGHEST),
            facts=self.manifest,
            guard=run.check_place,
            protected=self.live.protected if self.live is not None else partial(earlier_bests, run),
        )
        self.given = ranks.first(lambda: resume.named_checkpoint(cfg, self.checkpoints, identity, lambda: self.data))
        self.outlets: list[Guard] = []
        ranks.first(lambda: self.outlets.extend(outlets(cfg, run)))
        self.begin_alike()

    @classmethod
    def prepare(cls, cfg: DictConfig, run: RunDirectory, lines: list[str], ranks: Alone) -> Session:
        """Read the data, settle the length, and build everything: all that can be refused is, nothing is written.

        Args:
            cfg: a validated configuration; its ``total_steps`` and cadences are set where the budget must be measured.
            run: the run's folder, there or not.
            lines: the command line's overrides.
            ranks: the processes that play the game.

        Raises:
            ConfigError, DataError, CheckpointError, MemoryFullError: if the run cannot begin.
        """
        from gantrain.build import build, build_data, build_quality, settled_format

        cfg.precision.forward = ranks.from_first(settled_format(cfg))  # unlike machines
        with memory_errors(for_training(cfg.batch_size)):
            data = ranks.first_then_all(lambda: build_data(cfg))
            settle_length(cfg, run, data, ranks)
            check_best(cfg, data, ranks)
            built = build(cfg, data, ranks)
            device = built.trainer.precision.device
            quality = ranks.first_then_all(lambda: build_quality(cfg, data, device, live=True))
        if (latents := cfg.architecture.latent_dim) < data.freedom:
            say(
                f"architecture.latent_dim={latents} is less than the {data.freedom} directions in which the data vary, "
                f"so no generator can cover them; use architecture.latent_dim={data.freedom}"
            )
        return cls(cfg, run, Identity.of(cfg, lines), built, quality, ranks)

    def begin_alike(self) -> None:
        """Take the weights that ``init_from`` names, and give all ranks those of the first."""
        trainer, ranks = self.trainer, self.ranks
        ranks.first(lambda: warm.start(self.cfg, trainer, self.checkpoints))
        nets = (trainer.g.net, trainer.d.net, trainer.ema.net)
        ranks.copy_first(tensor for net in nets for tensor in net.state_dict().values())
        trainer.ema.images = ranks.from_first(trainer.ema.images)

    def describe(self) -> str:
        """Return the run's folder and choices, a line each."""
        return summary.table(self.cfg, self.run.path, self.built, self.live)

    def restore(self) -> None:
        """Go on from the checkpoint that ``resume`` means, if there is one, in a folder that this process has locked.

        Raises:
            ConfigError: if the folder holds another run.
            CheckpointError: if it held checkpoints and none can be used.
        """
        changed = self.ranks.first(self.find_checkpoint)
        self.given = self.ranks.from_first(self.given)
        with memory_errors(for_training(self.cfg.batch_size)):
            self.go_on_counting(self.given[0].get("cost") if self.given else None)
            before = self.ranks.from_first(self.run.status().get("data", self.data))
            if self.given is not None:
                names = self.built.data.class_names
                self.departures += resume.restore(self.trainer, self.given, self.environment, names)
            if self.given is not None and before != self.data and not self.departures_since(self.trainer.step):
                self.departures.append({"step": self.trainer.step, "changed": "the labels of the data are others"})
                say(f"from step {self.trainer.step:,} on the labels of the data are others")
        kept = self.ranks.first(lambda: resume.keep_changes(self.run, self.trainer.step, changed))
        self.departures += [change for change in kept if change not in self.departures]
        self.origin = self.ranks.first(lambda: origin.of(self.cfg, self.run, self.trainer.step))
        self.ranks.first(lambda: self.run.write_config(self.identity.text))

    def find_checkpoint(self) -> list[str]:
        """Find the checkpoint to go on from, in a folder made ready; return the settings that have been changed."""
        # Again: until now another process may have started a run here.
        changed = check_same_run(self.cfg, self.run, lambda: self.data)
        lists.write(self.run.path / "skipped_images.txt", self.built.data.skipped)
        lists.write(self.run.path / "passed_over.txt", self.built.data.passed_over)
        if self.cfg.resume == "auto":
            self.given = resume.newest(self.run, self.checkpoints, self.identity)
        elif self.cfg.resume == "never":
            self.checkpoints.refuse_beyond(-1)
        self.checkpoints.clear_debris()
        return changed

    def departures_since(self, step: int) -> list[dict[str, Any]]:
        """Return the departures at a step that speak of the data."""
        return [found for found in self.departures if found["step"] == step and "data" in str(found["changed"])]

    def go_on_counting(self, before: dict[str, Any] | None) -> None:
        """Let the costs of the run be counted on from those of its checkpoint, None for a new run."""
        if self.cfg.budget.of == "seconds":
            self.trainer.clock.limit = self.cfg.budget.amount
        flops = (before or {}).get("flops_per_step")
        if flops is None and not self.built.performance.as_written:
            flops = flops_of_a_step(self.cfg, self.built.data, self.trainer.rng, self.ranks)
        self.ledger.go_on(before or {}, flops)

    def play(self, stop: StopSignal) -> None:
        """Train to the end; where a value is not finite, go back to the last checkpoint if that is allowed.

        Raises:
            DivergedError: if going back is not allowed, or no longer, or there is no checkpoint.
            StoppedError, EndedError, PrunedError: as ``Trainer.train`` does.
            CallbackError: if a callback failed.
        """
        if why := self.built.data.kind.undrawn(self.built.data.shape):
            say(f"{why}; training goes on, and everything else is recorded")
        stop.patient = True
        began = time.monotonic()
        try:
            with memory_errors(for_training(self.cfg.batch_size)):
                while not self.played(stop, began):
                    pass  # it has been rolled back
        except Exception as error:
            self.trainer.callbacks.tell("on_end", self.trainer, state=state_after(error))
            raise
        else:
            self.trainer.callbacks.tell("on_end", self.trainer, state="finished")
        finally:
            # They hold the trainer, which holds them: its memory would stay until Python looks for cycles.
            self.trainer.perform.forget()

    def played(self, stop: StopSignal, began: float) -> bool:
        """Train from here, and tell whether that came to the end; if not, the last checkpoint has been restored."""
        try:
            with self.recorded() as records:
                self.trainer.train(records, self.checkpoints, stop.__bool__, self.live)
                if records is not None and self.live is not None:
                    records.text("evaluation", self.trainer.step, summary.measured(self.live))
        except DivergedError as error:
            self.roll_back(error)
            return False
        if self.live is not None and self.ranks.is_first and not summary.in_sweep():
            print(folded(summary.evaluation(self.live, time.monotonic() - began)))
        return True

    @contextmanager
    def recorded(self) -> Iterator[Records | None]:
        """Keep records inside the block, None on all ranks but the first."""
        from gantrain.run.records import Records

        if not self.ranks.is_first:
            yield None
            return
        shown = (self.built.preview, self.built.columns, self.built.data.kind)
        with Records(self.run, self.trainer.step, *shown, self.outlets) as records:
            if self.live is not None:
                self.live.go_on(self.trainer.step)
            records.hyperparameters(summary.hyperparameters(self.cfg, self.trainer))
            records.preview(self.trainer.step)
            yield records

    def roll_back(self, error: DivergedError) -> None:
        """Restore the last checkpoint, with other data and random numbers; raise the error if that is not allowed."""
        allowed = self.cfg.nonfinite
        if allowed.policy == "stop":
            raise DivergedError(f"{error}. {remedies(self.cfg)}") from error
        if self.trainer.rollbacks >= allowed.max_rollbacks:
            raise DivergedError(f"{error} (after {self.trainer.rollbacks} rollbacks). {remedies(self.cfg)}") from error
        if (found := self.ranks.first(self.checkpoints.latest)) is None:
            reason = "there is no checkpoint to roll back to"
            raise DivergedError(f"{error} ({reason}). {remedies(self.cfg)}") from error
        self.trainer.go_on_elsewhere(found[1], self.cfg.seed)
        say(f"{error}. Rolled back to step {self.trainer.step:,}, to go on with other data and random numbers")

    def manifest(self) -> dict[str, Any]:
        """Return the facts about the run that stand in a checkpoint's manifest, beside its step."""
        data = self.built.data
        return {
            "config": self.identity.config,
            "settings": self.identity.settings,
            "generator": {
                "shape": list(data.shape),
                "kind": data.kind.name,
                "classes": data.classes,
                "class_names": None if data.class_names is None else list(data.class_names),
                "units": None if data.units is None else data.units.recorded(),
                "shares": self.trainer.inputs.shares,
            },
            **self.environment,
            "departures": self.departures,
            "cost": self.ledger.so_far(),
        }

    def facts(self) -> dict[str, Any]:
        """Return the facts about the run in status.json, which ``gantrain-status`` and ``gantrain-report`` read."""
        trainer, cfg = self.trainer, self.cfg
        counters = {
            "rollbacks": trainer.rollbacks,
            "skipped_d_turns": int(trainer.d.skipped),
            "skipped_g_turns": int(trainer.g.skipped),
            "skipped_images": len(self.built.data.skipped),
            "failed_saves": self.checkpoints.failed,
            "failed_recordings": trainer.perform.failures,
            "lost_records": self.run.lost_records,
        }
        standing = {"step": trainer.step, "total_steps": trainer.total_steps, "counters": counters}
        return standing | {
            "departures": self.departures,
            "choices": self.identity.choices,
            "overrides": self.identity.overrides,
            "command": self.identity.command,
            "folder": str(Path.cwd()),
            **self.origin,
            "players": {name: player.facts() for name, player in (("G", trainer.g), ("D", trainer.d))},
            "ratio": f"{cfg.ratio.d_steps}:{cfg.ratio.g_steps}",
            "seed": cfg.seed,
            "variant": self.identity.variant,
            "budget": budget.as_record(cfg),
            "per_step": budget.per_step(cfg),
            "data": self.data,
            "search": resume.search_of(cfg),
            "environment": {key: self.environment[key] for key in ("torch", "threads", "device", "cpu")},
            "cost": self.ledger.so_far(),
        }


def live(cfg: DictConfig, run: RunDirectory, quality: Quality | None, trainer: Trainer) -> Live | None:
    """Return the object that evaluates a run while it trains, None without evaluation."""
    from gantrain.evaluation import Live
    from gantrain.inputs import is_conditional

    if quality is None:
        return None
    g, judge = trainer.g.net, None
    if cfg.search.storage is not None and trainer.ranks.is_first:
        from gantrain.sweeps.search import Judge

        judge = Judge(cfg.search, cfg.total_steps)
    of_classes = [metric for metric in quality.metrics if getattr(metric, "of_classes", False)]
    if not is_conditional(g) and any(cfg.evaluation.best in metric.gives for metric in of_classes):
        raise ConfigError(f"evaluation.best={cfg.evaluation.best} is measured on conditional generators only")
    best_by = cfg.evaluation.best if cfg.evaluation.best in quality.gives else None  # it may need missing weights
    return Live(quality, trainer.inputs, best_by, run, g, judge, trainer.ranks)


def earlier_bests(run: RunDirectory) -> set[int]:
    """Return the best steps of a run that was measured once, and goes on without evaluation."""
    return {found["best"]["step"] for found in read.evaluation(run.path).bests().values()}


def refuse_other_run(cfg: DictConfig, run: RunDirectory) -> None:
    """Raise ConfigError if the folder holds another run, or a link out of it, before anything is read or built.

    A schedule may hold the run's length. While that is not known, the stored one stands in for it.
    """
    run.refuse_strange()
    stored = stored_settings(run)
    if stored and cfg.precision.forward == "auto":
        cfg.precision.forward = stored.get("precision", {}).get("forward", "auto")
    if not set_known_length(cfg, stored) and stored:
        cfg = copy.deepcopy(cfg)
        cfg.total_steps = stored.get("total_steps", cfg.total_steps)
    check_same_run(cfg, run, lambda: data_of(cfg))


def data_of(cfg: DictConfig) -> str:
    """Return the identity of a configuration's data, which are read for that."""
    from gantrain.build import build_data  # imports torch, which takes seconds: only where data have been moved

    return build_data(cfg).identity()


def stored_settings(run: RunDirectory) -> dict[str, Any]:
    """Return the settings that the folder holds, {} for a new run.

    Raises:
        RecordError: if they are damaged, or those that are looked up in them are not of their form.
    """
    if run.read_config() is None:
        return {}
    stored: dict[str, Any] = as_text(run.settings())
    if wrong := forms.fitted(stored, forms.SETTINGS)[1]:
        raise RecordError(f"{run.path / 'config.yaml'} is damaged ({wrong})")
    return stored


def set_known_length(cfg: DictConfig, stored: dict[str, Any]) -> bool:
    """Set ``total_steps`` and cadences unless a step's cost must be measured for that; tell whether they were set.

    A run that goes on with the same budget keeps the length that was measured when it began; ``stored`` are its
    settings.
    """
    known = budget.set_length(cfg) or budget.keep_length(cfg, stored)
    if known:
        fill_cadences(cfg)
    return known


def settle_length(cfg: DictConfig, run: RunDirectory, data: Data, ranks: Alone) -> None:
    """Set ``total_steps`` to the steps that the budget buys, measuring the cost of one if need be.

    Of seconds it is an estimate, by which evaluations and pictures are spread; the run ends when the time is up.

    Raises:
        ConfigError: if the budget buys no step, or a schedule needs to know the last step beforehand.
    """
    if set_known_length(cfg, ranks.first(lambda: stored_settings(run))):
        return
    from gantrain.build import scratch
    from gantrain.performance import cost

    amount = cfg.budget.amount
    if amount is None:
        raise ConfigError(f"budget.amount is not set: add budget.amount=… ({cfg.budget.of}) to the command")
    if cfg.budget.of == "flops":
        flops = cost.count_flops(scratch(cfg, data, ranks))
        cfg.total_steps = budget.steps_bought(cfg, flops, f"{flops:.4g}")
    elif cfg.schedule.get("reference_steps") is None and is_scheduled(cfg.schedule):
        raise ConfigError(
            "budget=seconds cannot tell a schedule which step is the last; use schedule=constant, or budget=flops, or "
            "say schedule.reference_steps"
        )
    else:
        cfg.total_steps = cost.steps_in(amount, scratch(cfg, data, ranks))
    fill_cadences(cfg)


def is_scheduled(schedule: DictConfig) -> bool:
    """Tell whether anything changes while a run goes on."""
    return any(value is not None for key, value in flat(plain(OmegaConf.create({"schedule": schedule}))))


def remedies(cfg: DictConfig) -> str:
    """Return what may keep a run like this from diverging, apart from what it does already."""
    offered = ["a smaller learning rate"]
    if None in clip_norms(cfg.gradient_clip_norm).values():
        offered.append("gradient_clip_norm=1")
    if {cfg.precision.forward, cfg.precision.penalty} != {"float32"}:
        offered.append("precision=fp32")
    if cfg.nonfinite.policy == "stop":
        offered.append("nonfinite.policy=rollback")
    listed = offered[0] if len(offered) == 1 else f"{', '.join(offered[:-1])} or {offered[-1]}"
    return f"{listed[0].upper()}{listed[1:]} may help"


def check_best(cfg: DictConfig, data: Data, ranks: Alone) -> None:
    """Raise ConfigError unless the value that chooses the best checkpoint is one that a training of this kind logs."""
    from gantrain.build import scratch

    best = cfg.checkpoint.keep_best
    if best is None:
        return
    trainer = scratch(cfg, data, ranks)
    try:
        for _ in range(2):  # a term that begins with the second turn is among the values then
            trainer.play(measure=True)
        known = {f"{player}/{name}" for name in trainer.loss.regularizers for player in "dg"} | trainer.values().keys()
    except DivergedError:
        return  # the run itself will say that
    if best not in known:
        raise ConfigError(
            f"checkpoint.keep_best={best} is not a logged value; there are {', '.join(sorted(known))}. "
            "To keep the best by a metric, set evaluation.best"
        )


def flops_of_a_step(cfg: DictConfig, data: Data, rng: Any, ranks: Alone) -> float:
    """Return the operations of a step, counted on a trainer of its own; the random numbers to come stay the same."""
    from gantrain.build import scratch
    from gantrain.performance import cost

    numbers = rng.state_dict()
    flops = cost.count_flops(scratch(cfg, data, ranks))
    rng.load_state_dict(numbers)
    return flops
