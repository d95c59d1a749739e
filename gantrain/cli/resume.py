"""Where a run goes on: which checkpoint, whether it fits, and whether the rest will be bit-exact."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gantrain import budget
from gantrain.errors import CheckpointError, ConfigError
from gantrain.run import files, forms, read
from gantrain.run.directory import RunDirectory
from gantrain.run.identity import Identity, check_same_run, compared, digests, recorded, settings_digest
from gantrain.terminal import folded, say, visible

if TYPE_CHECKING:
    from gantrain.checkpoint import Checkpoints
    from gantrain.training.trainer import Trainer

Found = tuple[dict[str, Any], dict[str, Any]]
"""A checkpoint's manifest and state."""


def named_checkpoint(
    cfg: DictConfig, checkpoints: Checkpoints, identity: Identity, data: Callable[[], str]
) -> Found | None:
    """Return the checkpoint that ``resume=PATH`` names, None for auto and never; nothing has been written yet.

    Args:
        cfg: the configuration.
        checkpoints: of the run that is to go on.
        identity: which run that is.
        data: returns the ``identity`` of its data.

    Raises:
        ConfigError: if it is of another configuration, or this run already has checkpoints beyond it.
        CheckpointError: if it cannot be used.
    """
    from gantrain import checkpoint

    if cfg.resume == "auto":
        return None
    if cfg.resume == "never":
        checkpoints.refuse_beyond(-1)
        return None
    folder = files.at_home(cfg.resume).resolve()
    found = checkpoint.read(folder)
    check_same_run(cfg, RunDirectory(folder.parent.parent), data)
    check_settings(found, RunDirectory(folder.parent.parent), folder, identity)
    check_not_beyond(found, cfg.total_steps)
    checkpoints.refuse_beyond(found[0]["step"])
    return found


def newest(run: RunDirectory, checkpoints: Checkpoints, identity: Identity) -> Found | None:
    """Return the newest usable checkpoint of a run, None for a run that has none yet.

    Raises:
        CheckpointError: if it had some, and none is left.
        ConfigError: if it is of another configuration.
    """
    found = checkpoints.latest()
    status = run.status()
    if found is None and status.get("state") in ("finished", "stopped"):
        raise CheckpointError(
            f"{run.path} is {status['state']} at step {status.get('step')}, but {checkpoints.folder} is empty or gone; "
            "start again with resume=never"
        )
    if found is not None:
        check_settings(found, run, checkpoints.path(found[0]["step"]), identity)
    return found


def check_settings(found: Found, run: RunDirectory, folder: Path, identity: Identity) -> None:
    """Raise ConfigError if a checkpoint was saved under other settings, by digest.

    An earlier version of gantrain may have named a setting otherwise. Then the digest is that of the run's config.yaml,
    which ``check_same_run`` has compared.
    """
    allowed = digests(identity.compared) | {change["settings"] for change in changes_of(run)}
    if run.read_config() is not None:
        allowed |= digests(recorded(run.settings())) | digests(compared(run.settings(), run.begun_in()))
    if found[0].get("settings", identity.settings) not in allowed:
        raise ConfigError(
            f"{folder} was saved with other settings than these, and there is no config.yaml that lists them"
        )


CHANGES = "changes.jsonl"
"""In a run's folder: a line for each time that it went on with settings that ``allow_changes`` let change."""


def changes_of(run: RunDirectory) -> list[dict[str, Any]]:
    """Return the lines of ``changes.jsonl``, each with ``step``, ``changed`` and ``settings``: the digest of before.

    Raises:
        RecordError: if the file is none that a run writes.
    """
    found = (forms.fitted(line, forms.CHANGE) for line in read.json_lines(run.path / CHANGES))
    return [values for values, wrong in found if not wrong and values.keys() == forms.CHANGE.keys()]


def keep_changes(run: RunDirectory, step: int, changed: Sequence[str]) -> list[dict[str, Any]]:
    """Add to ``changes.jsonl`` what a run goes on with otherwise from ``step``; return all of them as departures.

    This is written before ``config.yaml`` is, and before the next checkpoint: a run that is killed meanwhile is known
    by the digest of its settings of before.
    """
    every = before_this = changes_of(run)
    stored = settings_digest(compared(run.settings())) if run.read_config() is not None else ""
    while every and every[-1]["settings"] == stored:  # it was written, and killed before it took effect
        every = every[:-1]
    if changed:
        every = [*every, {"step": step, "changed": "; ".join(changed), "settings": stored}]
        say(f"from step {step:,} on with other settings: {visible('; '.join(changed))}")
    if every != before_this:
        files.write_durably(run.path / CHANGES, "".join(json.dumps(change) + "\n" for change in every))
    return [{"step": change["step"], "changed": change["changed"]} for change in every]


def check_not_beyond(found: Found, total_steps: int) -> None:
    """Raise ConfigError if the checkpoint is later than the run is to end."""
    if (step := found[0]["step"]) > total_steps:
        raise ConfigError(
            f"the checkpoint is at step {step}, beyond total_steps={total_steps}; give total_steps={step} or more, or "
            "choose another run.dir"
        )


def restore(
    trainer: Trainer, found: Found, environment: dict[str, Any], class_names: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Put a checkpoint's state into the trainer, and say whether the rest will be bit-exact.

    Args:
        trainer: of the same settings.
        found: the checkpoint.
        environment: the facts of this process, by name.
        class_names: of the data, None where the classes have none.

    Returns:
        Its ``departures``, which all later manifests keep: at which steps it went on, and what had changed since.

    Raises:
        CheckpointError: if the state is of other networks or optimizers.
    """
    from gantrain.checkpoint import changes

    if trainer.clock.limit == math.inf:  # else the last step is an estimate
        check_not_beyond(found, trainer.total_steps)
    manifest, state = found
    if state.get("step") != manifest["step"]:
        raise CheckpointError(f"the checkpoint of step {manifest['step']} holds the state of step {state.get('step')}")
    trainer.load_state_dict(state)
    departures = list(manifest.get("departures", []))
    if changed := ", ".join(
        [*changes(manifest, environment), *renumbered(manifest, class_names), *rescheduled(trainer, state)]
    ):
        departures.append({"step": trainer.step, "changed": changed})
    exact = f"not bit-exact: {changed}" if changed else "same torch, threads, device and data"
    print(folded(f"resumed       from step {trainer.step:,} ({visible(exact)})"))
    return departures


def renumbered(manifest: dict[str, Any], class_names: Sequence[str] | None) -> list[str]:
    """Return, in words, that the classes bear other numbers than when a checkpoint was saved; [] if they do not.

    Checkpoints of before do not name the classes; their numbers then followed the alphabet, so that 10 came before 9.
    """
    facts = manifest.get("generator")
    before = facts.get("class_names") if isinstance(facts, dict) else None
    before = before or (class_names and sorted(class_names))
    if not class_names or not before or list(before) == list(class_names):
        return []
    k = next((k for k, pair in enumerate(zip(before, class_names, strict=False)) if pair[0] != pair[1]), len(before))
    names = [str(some[k]) if k < len(some) else "none" for some in (before, list(class_names))]
    return [f"the classes have other numbers, class {k} was {names[0]} and is {names[1]}"]


def rescheduled(trainer: Trainer, state: dict[str, Any]) -> list[str]:
    """Return, in words, that a run of before had torch's schedulers where there are none now; else []."""
    players = {name: getattr(trainer, name) for name in ("g", "d")}
    before = [n for n, player in players.items() if player.schedule is None and state[n].get("schedule") is not None]
    return ["the scheduled learning rates are computed anew, equal to 1e-15"] if before else []


def is_finished(cfg: DictConfig, run: RunDirectory) -> bool:
    """Tell whether this run has already come to the end that its budget sets."""
    status = run.status()
    if cfg.resume != "auto":
        return False
    if status.get("state") == "pruned" and status.get("search") == search_of(cfg) is not None:
        return True  # by the same search, which was killed before it heard of that
    if status.get("state") != "finished":
        return False
    if cfg.budget.of in budget.per_step(cfg):
        return bool(status.get("step") == cfg.total_steps)
    return bool(status.get("budget") == budget.as_record(cfg))


def search_of(cfg: DictConfig) -> dict[str, Any] | None:
    """Return which search a run is a trial of, None if it is none that prunes."""
    if cfg.search.trial is None or cfg.search.pruner == "none":
        return None
    return {key: cfg.search[key] for key in ("study", "metric", "pruner", "startup_trials", "warmup_eighths")}
