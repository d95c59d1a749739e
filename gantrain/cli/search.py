"""Search for settings: which trial comes next, what it came to, and how a search that was killed goes on.

Optuna chooses; the trials are the jobs of a sweep, run by whatever launcher, in folders named by their choices. Hydra's
own plugin for Optuna is not used: it holds Optuna to its version 2, cannot prune, and begins anew after a kill.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import DictConfig

from gantrain import storage
from gantrain.better import BETTER, LOWEST
from gantrain.cli import follow
from gantrain.cli.entry import Reported
from gantrain.errors import ConfigError, StoppedError, first_line
from gantrain.run import StopSignal
from gantrain.schema import SearchSettings

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial

Space = dict[str, "BaseDistribution"]
PARTS = ("best", "final", "median_of_last_5")


def search(settings: dict[str, Any], cfg: DictConfig, launcher: Launcher, arguments: list[str]) -> list[JobReturn]:
    """Try settings until there have been ``n_trials``, and print the best.

    Args:
        settings: the node ``hydra.sweeper``.
        cfg: the configuration, hydra's node included, as it is without what is searched over.
        launcher: runs the jobs.
        arguments: the command line's overrides: what is fixed, and more to search over.

    Raises:
        ConfigError: for settings that mean nothing, or a study that was begun with others.
        Reported: with the first exit code of trials that failed, or if a signal came.
    """
    fixed, space = parted(settings, cfg, arguments)
    metric = settings["metric"] or cfg.evaluation.best
    check(settings, metric, space)
    study = opened(settings, cfg, fixed, space, metric)
    stop_what_was_killed(study)
    done: list[JobReturn] = []
    failed = 0
    while (left := settings["n_trials"] - len(counted(study))) > 0:
        trials = [ask(study, settings, space) for _ in range(min(left, settings["n_jobs"]))]
        jobs = [job(trial, fixed, settings, study, url(settings, cfg), metric) for trial in trials]
        returns = launcher.launch(jobs, initial_job_idx=len(done))
        done += returns
        if StopSignal.received is not None:
            raise Reported(StoppedError.exit_code)  # what was stopped goes on with the same command
        for trial, returned in zip(trials, returns, strict=True):
            code = tell(study, trial, returned, settings["of"], metric)
            if code == ConfigError.exit_code:
                raise Reported(code)  # the next one would be refused as well
            failed = failed or code
    follow.catch_up()
    print(result(study, metric, settings["of"], fixed), flush=True)
    if failed:
        raise Reported(failed)
    return done


def check(settings: dict[str, Any], metric: str | None, space: Space) -> None:
    """Raise ConfigError for settings that mean nothing."""
    if metric not in BETTER:
        raise ConfigError(
            f"hydra.sweeper.metric={metric}: a search needs a measured value that has a better side; "
            f"choose an evaluation, and one of {', '.join(BETTER)}"
        )
    if not space:
        raise ConfigError("there is nothing to search over; hydra/sweeper/space=wgan_gp, or key=interval(0.1,10)")
    for key in ("n_trials", "n_jobs"):
        if not isinstance(settings[key], int) or settings[key] < 1:
            raise ConfigError(f"hydra.sweeper.{key} must be 1 or more, got {settings[key]}")
    if settings["of"] not in PARTS:
        raise ConfigError(f"hydra.sweeper.of must be one of {', '.join(PARTS)}, got {settings['of']!r}")


def parted(settings: dict[str, Any], cfg: DictConfig, arguments: list[str]) -> tuple[dict[str, str], Space]:
    """Return what is fixed, by key, and what is searched over; the command line wins over the loss's space."""
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
    return settings["storage"] or f"sqlite:///{Path(cfg.run.root, 'search.db').absolute()}"


def opened(settings: dict[str, Any], cfg: DictConfig, fixed: dict[str, str], space: Space, metric: str | None) -> Study:
    """Begin the study, or go on with it.

    Raises:
        ConfigError: if it was begun with other settings, or cannot be opened.
    """
    import optuna

    choices = cfg.hydra.runtime.choices
    name = settings["study"] or f"{choices.data}-{choices.architecture}-{choices.loss}"
    where = url(settings, cfg)
    if settings["storage"] is None:
        storage.make_folder(Path(cfg.run.root))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=where,
            study_name=name,
            load_if_exists=True,
            direction="minimize" if BETTER[str(metric)] == LOWEST else "maximize",
        )
    except Exception as error:  # of whatever database that is
        raise ConfigError(f"hydra.sweeper.storage={where} cannot be used: {first_line(error)}") from error
    asked = {
        "fixed": {key: value for key, value in fixed.items() if not key.startswith(("hydra", "run."))},
        "space": {key: optuna.distributions.distribution_to_json(d) for key, d in sorted(space.items())},
        "objective": [metric, settings["of"], settings["sampler"], settings["seed"]],
    }
    before = study.user_attrs.get("asked")
    if before is not None and json.dumps(before, sort_keys=True) != json.dumps(asked, sort_keys=True):
        raise ConfigError(
            f"{where} has a study {name} with other settings or another space; "
            "choose another hydra.sweeper.study=…, or another run.root"
        )
    study.set_user_attr("asked", asked)
    return study


def stop_what_was_killed(study: Study) -> None:
    """Queue again the trials whose search was killed on this machine: their runs go on where they were."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=[TrialState.RUNNING]):
        host, process = trial.user_attrs.get("owner", ":").split(":")
        if host == socket.gethostname() and not alive(int(process)):
            study.enqueue_trial(trial.params)
            study.tell(trial.number, state=TrialState.FAIL)


def alive(process: int) -> bool:
    """Tell whether a process of this machine lives, and is not this one."""
    with suppress(ProcessLookupError):
        os.kill(process, 0)
        return process != os.getpid()
    return False


def counted(study: Study) -> list[Any]:
    """Return the trials that came to an end or are under way: not those that were queued again after a kill."""
    from optuna.trial import TrialState

    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return [t for t in study.get_trials() if t.state in ended or "failed" in t.user_attrs]


def ask(study: Study, settings: dict[str, Any], space: Space) -> Trial:
    """Return the next trial. Its sampler is seeded anew, so that a search that was killed goes on as it would have."""
    number = len(counted(study))
    study.sampler = sampler(settings["sampler"], settings["seed"] + number)
    trial = study.ask(space)
    trial.set_user_attr("owner", f"{socket.gethostname()}:{os.getpid()}")
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
        "qmc": lambda: samplers.QMCSampler(seed=seed),
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
    """Return the overrides of a trial's run; those under ``search`` are for pruning, and make it no other run."""
    chosen = {key: str(value) for key, value in trial.params.items()}
    pruning = {
        "storage": f"'{where}'",
        "study": f"'{study.study_name}'",
        "trial": str(trial._trial_id),
        "metric": str(metric),
        **{key: str(settings[key]) for key in ("pruner", "startup_trials", "warmup_steps")},
    }
    return [
        *(f"{key}={value}" for key, value in (fixed | chosen).items()),
        *(f"search.{key}={value}" for key, value in pruning.items()),
    ]


def tell(study: Study, trial: Trial, returned: JobReturn, part: str, metric: str | None) -> int:
    """Give the study a trial's result, and return the exit code of its job."""
    from optuna.trial import TrialState

    if returned.status == JobStatus.FAILED:
        code: int = getattr(returned._return_value, "exit_code", 1)
        trial.set_user_attr("failed", code)
        study.tell(trial, state=TrialState.FAIL)
        return code
    found = returned.return_value
    trial.set_user_attr("run", found["run"])
    if found["state"] == "pruned":
        study.tell(trial, state=TrialState.PRUNED)
        return 0
    value = (found["evaluation"].get(part) or {}).get(metric)
    if value is None:
        raise ConfigError(f"{found['run']} did not measure {metric}")
    study.tell(trial, value)
    return 0


def result(study: Study, metric: str | None, part: str, fixed: dict[str, str]) -> str:
    """Return what the search came to, and how to look whether it was luck."""
    from optuna.trial import TrialState

    count = {state: len(study.get_trials(states=[state])) for state in (TrialState.COMPLETE, TrialState.PRUNED)}
    failed = sum("failed" in trial.user_attrs for trial in study.get_trials())
    lines = [
        f"search        {study.study_name}: {count[TrialState.COMPLETE]} trials to their end, "
        f"{count[TrialState.PRUNED]} pruned, {failed} failed"
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
    """

    def __init__(self, settings: SearchSettings) -> None:
        import optuna

        assert settings.storage is not None and settings.trial is not None  # the sweeper fills in all or none

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.metric = str(settings.metric)
        study = optuna.load_study(study_name=settings.study, storage=settings.storage, pruner=pruner(settings))
        self.trial = optuna.trial.Trial(study, settings.trial)

    def __call__(self, step: int, values: dict[str, float]) -> bool:
        """Report what was measured, and tell whether to end."""
        if self.metric in values:
            self.trial.report(values[self.metric], step)
        return self.trial.should_prune()


def pruner(settings: Any) -> BasePruner:
    """Return one of Optuna's pruners.

    Raises:
        ConfigError: if there is none of that name.
    """
    from optuna import pruners

    first, least = settings.startup_trials, settings.warmup_steps
    known: dict[str, Callable[[], BasePruner]] = {
        "median": lambda: pruners.MedianPruner(n_startup_trials=first, n_warmup_steps=least),
        "hyperband": lambda: pruners.HyperbandPruner(min_resource=max(least, 1)),
        "none": pruners.NopPruner,
    }
    if settings.pruner not in known:
        raise ConfigError(f"hydra.sweeper.pruner must be one of {', '.join(known)}, got {settings.pruner!r}")
    return known[settings.pruner]()
