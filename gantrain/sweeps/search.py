"""Search for settings: which trial comes next, its result, and how a search that was killed goes on.

Optuna chooses; the trials are the jobs of a sweep, run by whatever launcher, in folders named by their choices. Hydra's
own plugin for Optuna is not used: it holds Optuna to its version 2, cannot prune, and begins anew after a kill.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import DictConfig

from gantrain.errors import ConfigError, DivergedError, GantrainError, Reported, StoppedError, first_line
from gantrain.run import files
from gantrain.run.directions import Better, ranked, sign
from gantrain.run.read import PARTS
from gantrain.run.signals import StopSignal
from gantrain.schema import SearchSettings
from gantrain.sweeps import follow, storage
from gantrain.terminal import folded, say

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

Space = dict[str, "BaseDistribution"]
DATABASE = "search.db"
LEAST = {"n_trials": 1, "n_jobs": 1, "seed": 0, "startup_trials": 0, "warmup_eighths": 0, "lost_after": 4}
SECONDS = 0.5  # between two looks whether another process has ended a trial


def search(
    settings: dict[str, Any], cfg: DictConfig, launcher: Launcher, arguments: list[str], better: Better
) -> list[JobReturn]:
    """Try settings until there have been ``n_trials``, and print the best.

    Args:
        settings: the node ``hydra.sweeper``.
        cfg: the configuration, hydra's node included, as it is without what is searched over.
        launcher: runs the jobs.
        arguments: the command line's overrides: those that are fixed, and more to search over.
        better: the direction of each value that the trials will measure.

    Raises:
        ConfigError: for settings that mean nothing, or a study that was begun with others.
        Reported: with the first exit code of trials that failed, or if a signal came.
    """
    fixed, space = parted(settings, cfg, arguments)
    metric = settings["metric"] or cfg.evaluation.best
    check(settings, better, metric, space)
    where = storage.hidden(url(settings, cfg))

    def launched(trials: list[Trial], first: int) -> list[JobReturn]:
        jobs = [job(trial, fixed, settings, study, where, metric) for trial in trials]
        with storage.lent(where, str(cfg.hydra.launcher._target_)):
            return list(launcher.launch(jobs, initial_job_idx=first))

    try:
        study = opened(settings, cfg, where, fixed, space, str(metric), better)
        done, failed = tried(study, settings, space, str(metric), launched)
        text = result(study, metric, settings["of"], fixed)
    except storage.troubles() as error:
        why = first_line(storage.reason(error))
        raise GantrainError(f"{where} does not answer any more ({why}); the same command goes on") from None
    follow.catch_up()
    print(folded(text), flush=True)
    if failed:
        raise Reported(failed)
    return done


def tried(
    study: Study,
    settings: dict[str, Any],
    space: Space,
    metric: str,
    launched: Callable[[list[Trial], int], list[JobReturn]],
) -> tuple[list[JobReturn], int]:
    """Try settings until the study has as many trials as asked for, those of other processes included.

    Returns:
        What the jobs returned, and the first exit code of one that failed, else 0.
    """
    done: list[JobReturn] = []
    failed = 0
    while True:
        take_up_what_was_lost(study)
        left = settings["n_trials"] - len(counted(study))
        asked = [ask(study, settings, space) for _ in range(min(left, settings["n_jobs"]))]
        waiting = [trial for trial in asked if trial is not None]
        if not waiting:
            return done, failed
        with storage.beating(study, waiting), given_back(study, waiting):
            while trials := free(study, waiting):
                returns = launched(trials, len(done))
                done += returns
                if StopSignal.received is not None:
                    raise Reported(StoppedError.exit_code)  # the same command goes on with the trials that were stopped
                for trial, returned in zip(trials, returns, strict=True):
                    waiting.remove(trial)
                    code = tell(study, trial, returned, settings["of"], metric)
                    if code == ConfigError.exit_code and not ended(study):
                        raise Reported(code)  # the next one would be refused as well
                    failed = failed or code


@contextmanager
def given_back(study: Study, trials: list[Trial]) -> Iterator[None]:
    """If the block fails or is stopped, let other processes try the settings of the trials that are left, at once."""
    try:
        yield
    except BaseException:
        with suppress(*storage.troubles()):
            for trial in trials:
                queue_again(study, trial.number)
        raise


def free(study: Study, trials: list[Trial]) -> list[Trial]:
    """Return those trials whose settings no earlier one is trying at this moment, after waiting until there are some.

    Two trials of the same settings are one run, in one folder: the second finds there what the first has trained.
    """

    def is_free(trial: Trial, others: list[Any]) -> bool:
        return not any(other.number < trial.number and other.params == trial.params for other in others)

    while trials:
        others = running(study)
        if found := [trial for trial in trials if is_free(trial, others)]:
            return found
        if StopSignal.received is not None:
            raise Reported(StoppedError.exit_code)
        time.sleep(SECONDS)
        take_up_what_was_lost(study)
    return []


def check(settings: dict[str, Any], better: Better, metric: str | None, space: Space) -> None:
    """Raise ConfigError for settings that mean nothing, before anything is begun."""
    measured = ranked(better)
    if metric not in measured:
        raise ConfigError(
            f"hydra.sweeper.metric={metric}: a search needs a measured value that has a better side; "
            f"there are {', '.join(sorted(measured)) or 'none, choose another evaluation'}"
        )
    if not space:
        raise ConfigError("there is nothing to search over; hydra/sweeper/space=wgan_gp, or key=interval(0.1,10)")
    if "loss" in space and not settings.get("space"):
        raise ConfigError("a search over losses needs a space that suits them all: name one, hydra/sweeper/space=…")
    for key, least in (
        ("n_trials", 1),
        ("n_jobs", 1),
        ("seed", 0),
        ("startup_trials", 0),
        ("warmup_eighths", 0),
        ("lost_after", 4),
    ):
        if not isinstance(settings[key], int) or settings[key] < least:
            raise ConfigError(f"hydra.sweeper.{key} must be {least} or more, got {settings[key]}")
    sampler(settings["sampler"], 0)
    pruner(SearchSettings(**{key: settings[key] for key in ("pruner", "startup_trials", "warmup_eighths")}))
    if settings["of"] not in PARTS:
        raise ConfigError(f"hydra.sweeper.of must be one of {', '.join(PARTS)}, got {settings['of']!r}")


def parted(settings: dict[str, Any], cfg: DictConfig, arguments: list[str]) -> tuple[dict[str, str], Space]:
    """Return the fixed settings, by key, and the space of the others; the command line wins over the loss's space."""
    lines = {str(key): str(value) for key, value in (settings.get("space") or space_of(cfg)).items()}
    lines |= {str(key): str(value) for key, value in (settings["params"] or {}).items()}
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides([*(f"{key}={value}" for key, value in lines.items()), *arguments])
    last = {override.get_key_element(): override for override in overrides}
    fixed, space = {}, {}
    for key, override in last.items():
        if override.is_sweep_override():
            space[key] = distribution(override)
        else:
            fixed[key] = override.get_value_element_as_str()
    return fixed, space


def space_of(cfg: DictConfig) -> dict[str, Any]:
    """Return the search space that comes with the loss, {} if none does."""
    loader: ConfigLoader = GlobalHydra.instance().config_loader()
    loss = cfg.hydra.runtime.choices.loss
    if loss not in loader.get_group_options("hydra/sweeper/space"):
        return {}
    chosen = ["hydra/sweeper=optuna", f"hydra/sweeper/space={loss}"]
    found = loader.load_configuration(cfg.hydra.job.config_name, chosen, RunMode.RUN)
    return dict(found.hydra.sweeper.space)


def distribution(override: Override) -> BaseDistribution:
    """Return Optuna's word for one of Hydra's: interval (of whole numbers or not, tag log), choice, range, glob."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = value.start, value.end, "log" in value.tags
        assert low is not None and high is not None
        try:
            if isinstance(low, int) and isinstance(high, int):
                return IntDistribution(low, high, log=log)
            return FloatDistribution(float(low), float(high), log=log)
        except ValueError as error:
            raise ConfigError(f"{override.input_line} is no interval: {first_line(error)}") from error
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def url(settings: dict[str, Any], cfg: DictConfig) -> str:
    """Return where the study is kept."""
    return settings["storage"] or f"sqlite:///{Path(str(cfg.run.root), DATABASE).absolute()}"


def opened(
    settings: dict[str, Any],
    cfg: DictConfig,
    where: str,
    fixed: dict[str, str],
    space: Space,
    metric: str,
    better: Better,
) -> Study:
    """Begin the study, or go on with it.

    Raises:
        ConfigError: if it was begun with other settings, or cannot be opened.
    """
    import optuna

    choices = cfg.hydra.runtime.choices
    name = settings["study"] or f"{choices.data}-{choices.architecture}-{choices.loss}"
    if settings["storage"] is None:
        files.make_folder(Path(str(cfg.run.root)))
        own_database(Path(str(cfg.run.root), DATABASE))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage.opened(where, settings["lost_after"]),
        study_name=name,
        load_if_exists=True,
        direction="minimize" if sign(better, metric) > 0 else "maximize",
    )
    take_up_what_was_lost(study)
    asked = {
        "fixed": {key: value for key, value in fixed.items() if not key.startswith(("hydra", "run."))},
        "space": {key: optuna.distributions.distribution_to_json(d) for key, d in sorted(space.items())},
        "objective": [metric, settings["of"], settings["sampler"], settings["seed"]],
    }
    before = study.user_attrs.get("asked")
    begun = [*ended(study), *running(study)]
    if before is not None and begun and json.dumps(before, sort_keys=True) != json.dumps(asked, sort_keys=True):
        raise ConfigError(
            f"{where} has a study {name} with other settings or another space; "
            "choose another hydra.sweeper.study=…, or another run.root"
        )
    study.set_user_attr("asked", asked)
    return study


def own_database(path: Path) -> None:
    """Give a database that has other names too (``cp -al``) a copy of its own, so that a search changes no other.

    Raises:
        ConfigError: if it is a link, a pipe or a device, or cannot be read.
    """
    try:
        if os.path.lexists(path):
            files.unshare(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be used ({first_line(error)}); choose another run.root") from error


def take_up_what_was_lost(study: Study) -> None:
    """Queue again the trials whose search was killed: their runs go on where they were.

    On this machine a process is known to be gone at once. Of a search elsewhere, and of one that was killed before it
    had signed its trial, a sign of life has to be missing for some time.
    """
    stale = storage.lost(study)
    for trial in running(study):
        host, _, rest = str(trial.user_attrs.get("owner", "::")).partition(":")
        process, _, began = rest.partition(":")
        if trial.number in stale or (host == machine() and birth(process) != began):
            queue_again(study, trial.number)
        elif storage.BEATING not in trial.user_attrs:
            with suppress(*storage.settled()):
                storage.begin_to_beat(study, trial)


def queue_again(study: Study, number: int) -> None:
    """Let a trial's settings be tried by whoever asks next, unless another process has done so or it has ended."""
    from optuna.trial import TrialState

    try:
        study.tell(number, state=TrialState.FAIL)
    except storage.settled():
        return  # two processes noticed it, and the other one came first
    study.enqueue_trial(study.get_trials(deepcopy=False)[number].params)


def machine() -> str:
    """Return a name of this machine since it was started: others may have the same host name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        boot = ""
    return f"{socket.gethostname()}-{boot}"


def birth(process: str | int) -> str:
    """Return when a process of this machine began, in ticks since it was started; "" if there is no such process."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def ended(study: Study) -> list[Any]:
    """Return the trials that gave the study something to go by."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED])


def running(study: Study) -> list[Any]:
    """Return the trials that are under way, in whatever process."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=[TrialState.RUNNING])


def counted(study: Study) -> list[Any]:
    """Return the trials that came to an end or are under way: not those that were queued again after a kill.

    They are read at once: between two reads a trial under way may end, and be in neither.
    """
    from optuna.trial import TrialState

    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return [t for t in study.get_trials(deepcopy=False) if t.state in states or "failed" in t.user_attrs]


def ask(study: Study, settings: dict[str, Any], space: Space) -> Trial | None:
    """Return the next trial, None if other processes have begun all that were left.

    Its sampler is seeded anew, so that a search that was killed goes on as it would have. The seed depends on how many
    trials came before this one, which is another number in every process that asks at the same moment.
    """
    from optuna.trial import TrialState

    trial = study.ask()
    trial.set_user_attr("owner", f"{machine()}:{os.getpid()}:{birth(os.getpid())}")
    storage.begin_to_beat(study, trial)
    before = sum(other.number < trial.number for other in counted(study))
    if before >= settings["n_trials"]:
        study.tell(trial, state=TrialState.FAIL)  # it does not count
        return None
    seed = np.random.SeedSequence([settings["seed"], before]).generate_state(1)[0]
    study.sampler = sampler(settings["sampler"], int(seed))
    for key, values in space.items():
        trial._suggest(key, values)
    return trial


def sampler(name: str, seed: int) -> BaseSampler:
    """Return one of Optuna's samplers.

    Raises:
        ConfigError: if there is none of that name.
    """
    from optuna import samplers

    known: dict[str, Callable[[], BaseSampler]] = {
        "tpe": lambda: samplers.TPESampler(seed=seed, multivariate=True),
        "random": lambda: samplers.RandomSampler(seed=seed),
        "cmaes": lambda: samplers.CmaEsSampler(seed=seed),
        "gp": lambda: samplers.GPSampler(seed=seed),
    }
    if name not in known:
        raise ConfigError(f"hydra.sweeper.sampler must be one of {', '.join(known)}, got {name!r}")
    try:
        return known[name]()
    except ImportError as error:
        raise ConfigError(f"hydra.sweeper.sampler={name}: {first_line(error)}; install it, or use tpe") from error


def job(
    trial: Trial, fixed: dict[str, str], settings: dict[str, Any], study: Study, where: str, metric: str | None
) -> list[str]:
    """Return the overrides of a trial's run; those under ``search`` are for pruning, and make it no other run.

    The URL in ``where`` has no password. A trial that is not pruned has no need of the database.
    """
    chosen = {key: str(value) for key, value in trial.params.items()}
    pruning = {
        **({} if settings["pruner"] == "none" else {"storage": in_quotes(where)}),
        "study": in_quotes(study.study_name),
        "trial": str(trial._trial_id),
        "metric": str(metric),
        **{key: str(settings[key]) for key in ("pruner", "startup_trials", "warmup_eighths")},
    }
    return [
        *(f"{key}={value}" for key, value in (fixed | chosen).items()),
        *(f"search.{key}={value}" for key, value in pruning.items()),
    ]


def in_quotes(text: str) -> str:
    """Return a text as Hydra's grammar takes any text."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def tell(study: Study, trial: Trial, returned: JobReturn, part: str, metric: str | None) -> int:
    """Give the study a trial's result, and return the exit code of its job.

    A trial that another search has taken up meanwhile is left to that: it finds the run in its folder.
    """
    try:
        return told(study, trial, returned, part, metric)
    except storage.settled():
        say(f"trial {trial.number} gave no sign of life for too long and was taken up by another search")
        return 0


def told(study: Study, trial: Trial, returned: JobReturn, part: str, metric: str | None) -> int:
    """Do what ``tell`` does for a trial that is still this process's."""
    from optuna.trial import TrialState

    def failed(code: int) -> int:
        trial.set_user_attr("failed", code)  # else it would not count, and be tried for ever
        study.tell(trial, state=TrialState.FAIL)
        return code

    if returned.status == JobStatus.FAILED:
        return failed(getattr(returned._return_value, "exit_code", 1))
    found = returned.return_value
    trial.set_user_attr("run", found["run"])
    report(trial, found["history"], found["total_steps"])  # of a run that was there already
    if found["state"] == "pruned":
        study.tell(trial, state=TrialState.PRUNED)
        return 0
    value = (found["evaluation"].get(part) or {}).get(metric)
    if value is None or not math.isfinite(value):
        return failed(DivergedError.exit_code)
    study.tell(trial, value)
    return 0


def report(trial: Trial, history: dict[int, float], total_steps: int) -> None:
    """Report the values of a run by the eighths of its length, where that has not been done."""
    known = set(trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values)
    for step, value in history.items():
        if (part := eighth(step, total_steps)) not in known:
            trial.report(value, part)
            known.add(part)


def eighth(step: int, total_steps: int) -> int:
    """Return in which eighth of its length a run is, 1 to 8: trials of unlike length are compared there."""
    return min(math.ceil(8 * step / total_steps), 8)


def result(study: Study, metric: str | None, part: str, fixed: dict[str, str]) -> str:
    """Return the result of the search, and a command that tells whether it was luck."""
    from optuna.trial import TrialState

    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    count = {state: len(study.get_trials(states=[state])) for state in states}
    failed = sum("failed" in trial.user_attrs for trial in study.get_trials())
    elsewhere = f", {count[TrialState.RUNNING]} under way or lost elsewhere" if count[TrialState.RUNNING] else ""
    lines = [
        f"search        {study.study_name}: {count[TrialState.COMPLETE]} trials to their end, "
        f"{count[TrialState.PRUNED]} pruned, {failed} failed{elsewhere}"
    ]
    if count[TrialState.COMPLETE]:
        best = study.best_trial
        settings = {k: v for k, v in fixed.items() if not k.startswith(("hydra", "run."))} | best.params
        words = " ".join(quoted(f"{key}={value}") for key, value in settings.items() if key != "seed")
        lines += [
            f"best          {metric}={best.value:.6g} ({part}), trial {best.number}, {best.user_attrs.get('run')}",
            f"was it luck?  gantrain -m {words} 'seed=range(1,6)'",
        ]
    return "\n".join(lines)


def quoted(word: str) -> str:
    """Return a word as a shell takes it."""
    return f"'{word}'" if any(letter in word for letter in "[](){} ,;") else word


class Judge:
    """Asks the study at each evaluation whether a training is worth going on with.

    Args:
        settings: the node ``search``, which the sweeper fills in.
        total_steps: of the run.
    """

    def __init__(self, settings: SearchSettings, total_steps: int) -> None:
        import optuna

        assert settings.storage is not None and settings.trial is not None  # the sweeper fills in all or none
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.metric, self.total_steps = str(settings.metric), total_steps
        database = storage.opened(settings.storage)
        study = optuna.load_study(study_name=settings.study, storage=database, pruner=pruner(settings))
        self.trial = optuna.trial.Trial(study, settings.trial)

    def __call__(self, step: int, history: dict[int, dict[str, float]]) -> bool:
        """Report the values by step, and tell whether to end the run, which is never given up in its last eighth.

        The training goes on if the database does not answer: its search reports the values when the run has ended.
        """
        try:
            report(self.trial, of_metric(history, self.metric), self.total_steps)
            return eighth(step, self.total_steps) < 8 and self.trial.should_prune()
        except storage.settled():  # another search took the trial up
            return False
        except storage.troubles() as error:
            why = first_line(storage.reason(error))
            say(f"the search's database does not answer ({why}); the training goes on and is not pruned now")
            return False


def of_metric(history: dict[int, dict[str, float]], metric: str) -> dict[int, float]:
    """Return one metric's values by step."""
    return {step: found[metric] for step, found in sorted(history.items()) if metric in found}


def pruner(settings: Any) -> BasePruner:
    """Return one of Optuna's pruners.

    Raises:
        ConfigError: if there is none of that name.
    """
    from optuna import pruners

    first, least = settings.startup_trials, settings.warmup_eighths
    known: dict[str, Callable[[], BasePruner]] = {
        "median": lambda: pruners.MedianPruner(n_startup_trials=first, n_warmup_steps=least),
        "hyperband": lambda: pruners.HyperbandPruner(min_resource=max(least, 1), max_resource=8),
        "none": pruners.NopPruner,
    }
    if settings.pruner not in known:
        raise ConfigError(f"hydra.sweeper.pruner must be one of {', '.join(known)}, got {settings.pruner!r}")
    return known[settings.pruner]()
