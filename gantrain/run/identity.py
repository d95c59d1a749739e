"""Which run it is: the folder that its choices name, the settings that two runs must share, and digests of them."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from gantrain.errors import ConfigError
from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.run.places import DATA, PLACES, is_same, place, spelled, spellings

GROUPS = (
    *("data", "architecture", "loss", "optimizer", "schedule", "ratio", "precision", "augment"),
    *("latent", "conditioning", "performance", "evaluation", "budget"),
)
"""Config groups whose options are a run's choices."""
IN_THE_PATH = ("data", "architecture", "loss")
CARRYING_OUT = (
    *(
        "run.",
        "hydra",
        "resume",
        "callbacks",
        "allow_changes",
        "device",
        "ranks",
        "distributed.timeout",
        "deterministic",
        "profile",
        "performance.keep_memory",
        "trusted_modules",
    ),
    *("notes", "tags"),
    *("log.", "logger", "samples.", "evaluation", "checkpoint.", "nonfinite.", "search."),
    *("data.in_memory", "data.copy", "data.on_bad", "data.skip_limit", "data.timeout"),
    *("data.check_count", "data.parts.check_count"),
)
"""Settings of where and how a run is carried out and recorded, not of which run it is."""
HOW_LONG = ("total_steps", "budget.")
AS_BEFORE: dict[str, Any] = {
    **{"batch_size_g": None, "ratio.simultaneous": False, "precision.tf32": False},
    **{"conditioning.generator": "none", "conditioning.discriminator": "none"},
    **{"distributed.sync_batchnorm": False},
    **{"init_from": None, "freeze_d": 0, "accumulate": 1, "schedule.reference_steps": None},
    **{"latent._target_": "gantrain.inputs.Normal", "data.background": "white"},
    **{"data.depth": 8, "data.range": None},
    **{"data.classes": None, "data.imbalance": None, "data.limit": None, "data.limit_seed": 0, "data.channels": None},
    **{"data.labels": None, "data.class_level": 1, "data.header": None},
}
"""Settings that runs of before do not have, and the value at which they are the same runs."""
GONE = ("loss.objective.unit_slope",)
"""Settings that only runs of before have, and that changed no weight."""
RENAMED = {"loss.regularizers.gradient_penalty.": "loss.regularizers.gp."}
"""Beginnings of keys, as runs of before have them, and their names now."""


FORMERLY_OF_TORCH = {
    "torch.optim.lr_scheduler.LinearLR": "gantrain.schedules.Linear",
    "torch.optim.lr_scheduler.CosineAnnealingLR": "gantrain.schedules.Cosine",
}
"""What ``schedule=linear`` and ``schedule=cosine`` were, and are."""
CHANGEABLE = ("optimizer.", "loss.", "augment.", "ema.", "schedule.", "gradient_clip_norm", "accumulate")
"""Settings that ``allow_changes`` may name: with them a run is still made of the same networks and data."""
WAS = {"data.header": (True, None)}
"""Settings whose first value is now reached by the second, too: what lies in the file decides."""
SAME = {"gantrain.optimizers.RMSprop": "torch.optim.RMSprop"}
"""Values, and those that stand for the same computation in runs of before."""


@dataclass(frozen=True)
class Identity:
    """Which run it is.

    Args:
        text: its config.yaml, everything resolved.
        compared: by dotted key, the settings in which two runs must agree for one to go on from the other.
        choices: the option of each config group.
        overrides: all else that was chosen, as it was written.
        command: the whole command, as a shell takes it, or Python's call if it gave objects.
    """

    text: str
    compared: dict[str, Any]
    choices: dict[str, str]
    overrides: list[str]
    command: str

    @classmethod
    def of(cls, cfg: DictConfig, lines: Iterable[str]) -> Identity:
        """Return the identity of a validated configuration that a command line, ``lines``, asked for."""
        lines = list(lines)
        others = distinguishing(lines, (*GROUPS, "seed"))
        command = python_call(lines) or shlex.join(["gantrain", *lines])
        return cls(OmegaConf.to_yaml(cfg, resolve=True), compared(plain(cfg)), choices(), others, command)

    @property
    def config(self) -> str:
        """A digest of all settings."""
        return digest(self.text)

    @property
    def settings(self) -> str:
        """A digest of the settings in which two runs must agree, wherever the data lie."""
        return settings_digest(placeless(self.compared))

    @property
    def variant(self) -> str:
        """A digest of the same but the seed: runs that share it differ by chance alone."""
        but_seed = {key: value for key, value in self.compared.items() if key != "seed"}
        return digest(json.dumps(but_seed, sort_keys=True))[:8]


def python_call(lines: list[str]) -> str:
    """Return the call that gave a run objects, of which each has a line ``own.data=Mine-1a2b3c4d``; "" if none has."""
    given = [line.removeprefix("own.").rpartition("-")[0] for line in lines if line.startswith("own.")]
    texts = [repr(line) for line in lines if not line.startswith("own.")]
    return f"gantrain.train({', '.join([*texts, *given])})" if given else ""


def digest(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return the digest of settings by dotted key."""
    return digest(json.dumps(settings, sort_keys=True))


def placeless(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without those that name a folder."""
    return {key: value for key, value in settings.items() if key not in PLACES}


def digests(settings: Mapping[str, Any]) -> set[str]:
    """Return the digests that a checkpoint of these settings may have: once the names of folders were part of them."""
    found = {settings_digest(placeless(settings)), settings_digest(settings)}
    for key in PLACES:
        if isinstance(name := settings.get(key), str):
            found |= {settings_digest({**settings, key: way}) for way in spellings(name, Path.cwd())}
    return found


def choices() -> dict[str, str]:
    """Return the option of each config group, as the command line chose it."""
    chosen: dict[str, str] = dict(HydraConfig.get().runtime.choices)
    return {group: chosen[group] for group in GROUPS}


def parsed(lines: Iterable[str]) -> list[Override]:
    """Return the overrides among command-line arguments; those that cannot be parsed are left for hydra to refuse."""
    overrides = []
    for line in lines:
        try:
            overrides.append(OverridesParser.create().parse_override(line))
        except HydraException:
            continue
    return overrides


def run_directory(cfg: DictConfig, lines: Iterable[str], groups: tuple[str, ...] = IN_THE_PATH) -> Path:
    """Return the run's directory: named by its choices, never by a counter, so the same command finds it again.

    ``run.dir`` if that is set, else ``<run.root>/<choice of each group>/seed<k>``, plus a short hash of the other
    overrides, whose order does not matter. Folders among these count by one name for all their names; a run that was
    begun by another of them is found all the same.
    """
    if cfg.run.dir is not None:
        return files.at_home(str(cfg.run.dir))
    chosen: dict[str, str] = dict(HydraConfig.get().runtime.choices)
    folder = files.at_home(str(cfg.run.root)).joinpath(*(chosen[group] for group in groups))
    lines, others = list(lines), (*groups, "seed")
    path = folder / run_name(cfg.seed, distinguishing(lines, others))
    if not path.exists():
        for same in otherwise_spelled(lines, others):
            before = folder / run_name(cfg.seed, same)
            if before.exists() and is_of_the_same_places(cfg, RunDirectory(before)):
                return before
    return path


def run_name(seed: int, others: list[str]) -> str:
    """Return the name of a run's folder: its seed, and a hash of the overrides that distinguish it."""
    return f"seed{seed}" + ("-" + digest("\n".join(others))[:8] if others else "")


def otherwise_spelled(lines: list[str], but: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield what ``distinguishing`` gave for the same command if it was typed with other names of its folders."""
    yield distinguishing(lines, but, as_typed=True)
    for override in parsed(lines):
        if override.key_or_group in PLACES and isinstance(value := override.value(), str) and value.strip():
            rest = [line for line in lines if line != override.input_line]
            for way in spellings(value, Path.cwd()):
                line = in_other_words(override, way)
                yield distinguishing([*rest, line], but, as_typed=True)


def is_of_the_same_places(cfg: DictConfig, run: RunDirectory) -> bool:
    """Tell whether the folders that a stored run's settings name are those of a configuration."""
    try:
        before, after = dict(flat(run.settings())), dict(flat(plain(cfg)))
    except ConfigError:
        return False
    there, here = run.begun_in() or Path.cwd(), Path.cwd()
    return all(before.get(key) == after.get(key) or lead_to_one(key, before, there, after, here) for key in PLACES)


def distinguishing(lines: Iterable[str], but: tuple[str, ...], as_typed: bool = False) -> list[str]:
    """Return the overrides that make it this run and no other, in order, without those of the keys ``but``.

    Unless ``as_typed``, folders stand in them by the one name that stands for all, see ``places.spelled``.
    """
    own = [o for o in parsed(lines) if o.key_or_group not in but and not o.key_or_group.startswith(CARRYING_OUT)]
    return sorted(str(o.input_line) if as_typed else in_one_way(o) for o in own)


def in_one_way(override: Override) -> str:
    """Return an override as it was written, a folder in it by its one name."""
    line = str(override.input_line)
    if override.key_or_group not in PLACES or override.is_sweep_override() or "${" in line:
        return line
    value = override.value()
    if not isinstance(value, str) or (one := spelled(value, Path.cwd())) == value:
        return line
    return in_other_words(override, one)


def in_other_words(override: Override, value: str) -> str:
    """Return an override with another text as its value, in quotes where Hydra's grammar needs them."""
    key = str(override.input_line).partition("=")[0]
    read = parsed([f"{key}={value}"])
    as_it_is = bool(read) and isinstance(read[0].value(), str | int) and str(read[0].value()) == value
    return f"{key}={value}" if as_it_is else f"{key}={QuotedString(text=value, quote=Quote.double).with_quotes()}"


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration without hydra's own part, as nested dicts, all interpolations resolved."""
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    OmegaConf.resolve(cfg)
    content = OmegaConf.to_container(cfg)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every leaf; a list is one leaf."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def recorded(content: dict[str, Any]) -> dict[str, Any]:
    """Return, by dotted key, the settings of a configuration that its checkpoints are bound to, by its own names.

    A switch of speed, or a setting of a loss, that is null is left out, so that runs from before it existed go on.
    """
    settings = {key: value for key, value in flat(content) if not key.startswith(HOW_LONG + CARRYING_OUT)}
    optional = ("performance.", "compile", "loss.")
    return {key: value for key, value in settings.items() if value is not None or not key.startswith(optional)}


def compared(content: dict[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """Return, by dotted key, the settings in which two runs must agree for one to go on from the other.

    They are those of ``recorded`` under the names and without the settings that differ between versions of gantrain,
    and folders by one name for all their names, as seen from ``folder``, by default the current one.
    """
    settings = {renamed(key): value for key, value in recorded(content).items() if key not in GONE}
    settings = with_schedules(settings, content.get("total_steps"))
    settings |= {key: now for key, (before, now) in WAS.items() if settings.get(key) is before}
    settings = {k: v for k, v in settings.items() if k not in AS_BEFORE or v != AS_BEFORE[k]}
    settings = {k: SAME.get(v, v) if isinstance(v, str) else v for k, v in settings.items()}
    return {k: spelled(v, folder or Path.cwd()) if k in PLACES else v for k, v in settings.items()}


def with_schedules(settings: dict[str, Any], total_steps: Any) -> dict[str, Any]:
    """Return settings in which schedules are of gantrain's own kind and say over how many steps they run.

    A run of before may have torch's schedulers under ``schedule=linear`` or ``cosine``: the same numbers to 1e-15.
    """
    settings = dict(settings)
    for player in ("g", "d"):
        kind = FORMERLY_OF_TORCH.get(str(settings.get(f"schedule.{player}._target_")))
        given = {k.rpartition(".")[2]: v for k, v in settings.items() if k.startswith(f"schedule.{player}.")}
        length = given.pop("total_iters", given.pop("T_max", None))
        first = {"start_factor": 1.0, "end_factor": 0.0} if "end_factor" in given else {"eta_min": 0.0}
        if kind is None or {k: v for k, v in given.items() if k != "_target_"} != first:
            continue
        settings = {k: v for k, v in settings.items() if not k.startswith(f"schedule.{player}.")}
        settings |= {f"schedule.{player}": None, "schedule.reference_steps": length}
        settings |= {f"schedule.optimizer.{player}.lr._target_": kind, f"schedule.optimizer.{player}.lr.end": 0.0}
    moves = any(key.startswith("schedule.") and key.endswith("._target_") for key in settings)
    if moves and settings.get("schedule.reference_steps") is None:
        settings["schedule.reference_steps"] = total_steps
    return settings


def renamed(key: str) -> str:
    """Return the present name of a setting."""
    for before, now in RENAMED.items():
        if key.startswith(before):
            return now + key.removeprefix(before)
    return key


def check_same_run(cfg: DictConfig, run: RunDirectory, data: Callable[[], str] | None = None) -> list[str]:
    """Return, in words, the settings that the directory's run had otherwise and ``allow_changes`` lets change.

    Some settings may change without being named there, such as ``total_steps``. The folder of the data may: what lies
    in it decides whether it is the same run.

    Args:
        cfg: the configuration.
        run: the directory.
        data: returns the ``identity`` of the data, which is asked only if their folder is another.

    Raises:
        ConfigError: if the directory holds a run of another configuration, or none and ``allow_changes`` is set.
    """
    allowed = allowed_changes(cfg)
    if run.read_config() is None:
        if allowed:
            raise ConfigError(
                f"allow_changes is for a run that goes on, and {run.path} holds none; name its folder with run.dir=…"
            )
        return []
    there, here = run.begun_in() or Path.cwd(), Path.cwd()
    before, after = compared(run.settings(), there), compared(plain(cfg), here)
    differing = {
        key: f"{key}: {before.get(key)} → {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not lead_to_one(key, before, there, after, here)
    }
    on_purpose = {key for key in differing if any(f"{key}.".startswith(f"{name}.") for name in allowed)}
    others = {key: said for key, said in differing.items() if key not in on_purpose}
    if data is not None and others and others.keys() <= set(DATA):
        if run.status().get("data") == data():
            others = {}
        else:
            others["data"] = "the data there are others"
    if others:
        raise ConfigError(f"{run.path} holds another run ({'; '.join(others.values())}); {remedy_for(others, before)}")
    return [differing[key] for key in sorted(on_purpose)]


def allowed_changes(cfg: DictConfig) -> list[str]:
    """Return what ``allow_changes`` names; raise ConfigError for a setting that stays as it was begun."""
    allowed = list(cfg.get("allow_changes", []))
    for name in allowed:
        if not f"{name}.".startswith(CHANGEABLE):
            raise ConfigError(f"allow_changes: {name} stays as it was begun; {', '.join(CHANGEABLE)} may change")
    return allowed


def remedy_for(differing: Iterable[str], before: Mapping[str, Any]) -> str:
    """Return what to do where a directory holds a run of other settings, by the keys that differ."""
    keys = list(differing)
    if keys == ["schedule.reference_steps"]:
        return f"schedule.reference_steps={before[keys[0]]} keeps its schedule as it was begun"
    if all(key.startswith(CHANGEABLE) for key in keys):
        return f"choose another run.dir, or go on with other settings by allow_changes=[{','.join(keys)}]"
    return "choose another run.dir"


def lead_to_one(key: str, before: dict[str, Any], there: Path, after: dict[str, Any], here: Path) -> bool:
    """Tell whether a setting of two configurations, each seen from a folder, names one place in both."""
    names = before.get(key), after.get(key)
    if key not in PLACES or not all(isinstance(name, str) for name in names):
        return False
    return is_same(place(names[0], there), place(names[1], here))
