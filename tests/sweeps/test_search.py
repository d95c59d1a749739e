"""Search by Optuna: seeded, resumable, pruning, and refusing what means nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from hydra.core.utils import JobReturn, JobStatus

from gantrain.run.directory import RunDirectory
from gantrain.sweeps import search
from tests.conftest import CONFIGS, GUARD, Outcome, config, loss_names, option_names

Command = Callable[..., Outcome]
QUICK = ("data=ring", "batch_size=16", "device=cpu", "samples.every=0", "log.every=100", "evaluation=points",
         "evaluation.n_fake=200", "evaluation.n_real=200", "evaluation.metrics=[sliced_wasserstein]")  # fmt: skip
SPACE = ("optimizer.g.lr=tag(log,interval(1e-5,1e-2))", "architecture.generator.width=choice(16,32)")
SEARCH = ("-m", "hydra/sweeper=optuna", *QUICK, *SPACE, "ratio=1to1", "optimizer.d.lr=1e-3",
          "optimizer.g.betas=[0.5,0.9]")  # fmt: skip


def study_in(folder: Path) -> optuna.Study:
    (database,) = folder.rglob("search.db")
    (summary,) = optuna.get_all_study_summaries(f"sqlite:///{database}")
    return optuna.load_study(study_name=summary.study_name, storage=f"sqlite:///{database}")


def params(study: optuna.Study) -> list[dict]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("loss", loss_names())
def test_every_loss_has_a_space_of_settings_that_it_has(loss: str) -> None:
    from hydra import compose, initialize_config_module

    with initialize_config_module("gantrain.configs", version_base="1.3"):
        cfg = compose(
            "train", ["hydra/sweeper=optuna", f"hydra/sweeper/space={loss}", f"loss={loss}"], return_hydra_config=True
        )
        space = dict(cfg.hydra.sweeper.space)
        assert len(space) >= 3
        from hydra.core.override_parser.overrides_parser import OverridesParser

        ends: tuple[list[str], list[str]] = ([], [])
        for override in OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in space.items()]):
            found, key = search.distribution(override), override.get_key_element()
            tried = getattr(found, "choices", None) or (found.low, found.high)
            assert tried[0] != tried[-1]
            for end, value in zip(ends, (tried[0], tried[-1]), strict=True):
                end.append(f"{key}={value}")
        for end in ends:
            compose("train", [f"loss={loss}", *end])  # the keys exist


def test_spaces_are_of_losses_or_of_their_optimizers() -> None:
    names = {path.stem for path in (CONFIGS / "hydra" / "sweeper" / "space").glob("*.yaml")}
    assert names - set(option_names("loss")) == {"adam", "rmsprop"}


def test_a_search_tries_keeps_and_names_the_best(gantrain: Command, tmp_path: Path) -> None:
    outcome = gantrain(*SEARCH, "hydra.sweeper.n_trials=4", "total_steps=16", "hydra.sweeper.pruner=none")
    assert outcome.exit_code == 0, outcome.err
    study = study_in(tmp_path)
    assert [t.state.name for t in study.trials] == ["COMPLETE"] * 4
    assert all(
        1e-5 <= p["optimizer.g.lr"] <= 1e-2 and set(p) == {"optimizer.g.lr", "architecture.generator.width"}
        for p in params(study)
    )
    assert len({p["optimizer.g.lr"] for p in params(study)}) == 4
    for trial in study.trials:
        run = tmp_path / trial.user_attrs["run"]
        assert json.loads((run / "evaluation.json").read_text())["best"]["sliced_wasserstein"] == trial.value
        assert f"lr: {trial.params['optimizer.g.lr']}" in (run / "config.yaml").read_text()
    assert f"sliced_wasserstein={study.best_value:.6g}" in outcome.out and "seed=range(1,6)" in outcome.out
    assert "4 trials to their end, 0 pruned, 0 failed" in outcome.out
    again = gantrain(*SEARCH, "hydra.sweeper.n_trials=5", "total_steps=16", "hydra.sweeper.pruner=none")
    assert again.exit_code == 0 and len(study_in(tmp_path).trials) == 5  # the four are not tried again


@pytest.mark.thorough
def test_random_search_is_seeded(gantrain: Command, tmp_path: Path) -> None:
    def tried(root: str, *more: str) -> list[dict]:
        arguments = (
            "-m",
            "hydra/sweeper=random",
            *SEARCH[2:],
            "hydra.sweeper.n_trials=3",
            "total_steps=2",
            f"run.root={root}",
        )
        assert gantrain(*arguments, *more).exit_code == 0
        return params(study_in(tmp_path / root))

    first = tried("a")
    assert tried("b") == first and tried("c", "hydra.sweeper.seed=7") != first


@pytest.mark.thorough
def test_a_search_that_was_killed_goes_on_as_it_would_have(gantrain: Command, tmp_path: Path) -> None:
    arguments = (*SEARCH, "total_steps=16", "hydra.sweeper.startup_trials=1")
    assert gantrain(*arguments, "hydra.sweeper.n_trials=4", "run.root=whole").exit_code == 0
    assert gantrain(*arguments, "hydra.sweeper.n_trials=2", "run.root=killed").exit_code == 0
    study = study_in(tmp_path / "killed")
    # As a kill leaves it: a trial under way, of a process that is gone, whose training had begun.
    settings = {"sampler": "tpe", "seed": 0, "n_trials": 4}
    trial = search.ask(study, settings, study.trials[0].distributions)
    trial.set_user_attr("owner", f"{search.machine()}:{2**22 + 1}:12345")
    outcome = gantrain(*arguments, "hydra.sweeper.n_trials=4", "run.root=killed")
    assert outcome.exit_code == 0 and "under way" not in outcome.out
    mended = [t for t in study_in(tmp_path / "killed").trials if t.state.name in ("COMPLETE", "PRUNED")]
    whole = study_in(tmp_path / "whole").trials
    assert [(t.params, t.value, t.state) for t in mended] == [(t.params, t.value, t.state) for t in whole]


@pytest.mark.thorough
def test_a_trial_that_goes_badly_is_pruned_and_recorded(gantrain: Command, tmp_path: Path) -> None:
    lr = "optimizer.g.lr=choice(0.002,1e-9)"
    arguments = ("-m", "hydra/sweeper=optuna", *QUICK, lr, *SEARCH[-3:], "total_steps=400", "evaluation.every=100",
                 "hydra.sweeper.startup_trials=1", "hydra.sweeper.n_trials=4", "loss=lsgan")  # fmt: skip
    outcome = gantrain(*arguments, "hydra.sweeper.sampler=random", "hydra.sweeper.seed=3")
    assert outcome.exit_code == 0, outcome.err
    trials = study_in(tmp_path).trials
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    assert pruned and f"{len(pruned)} pruned" in outcome.out and "pruned by its search at step" in outcome.out
    status = json.loads((tmp_path / pruned[0].user_attrs["run"] / "status.json").read_text())
    assert status["state"] == "pruned" and status["step"] < 400 and status["exit_code"] == 0
    assert max(pruned[0].intermediate_values) == search.eighth(status["step"], 400) < 8


def test_trials_of_unlike_length_are_compared_by_the_eighth_of_theirs() -> None:
    for total in (8, 16, 60, 80, 5000, 4001):
        every = max(total // 8, 1)  # as evaluations are spread
        steps = [*range(every, total, every), total]
        assert [search.eighth(step, total) for step in steps][:7] == [1, 2, 3, 4, 5, 6, 7]
        assert search.eighth(total, total) == 8


@pytest.mark.thorough
def test_a_run_that_is_there_tells_the_study_all_it_measured(gantrain: Command, tmp_path: Path) -> None:
    arguments = (*SEARCH, "hydra.sweeper.n_trials=1", "total_steps=16", "hydra.sweeper.pruner=none")
    assert gantrain(*arguments).exit_code == 0
    first = study_in(tmp_path).trials[0]
    again = gantrain(*arguments, "hydra.sweeper.study=another")
    assert again.exit_code == 0 and "is finished" in again.out
    (database,) = tmp_path.rglob("search.db")
    other = optuna.load_study(study_name="another", storage=f"sqlite:///{database}").trials[0]
    assert other.intermediate_values == first.intermediate_values and len(first.intermediate_values) == 8
    assert (other.value, other.params) == (first.value, first.params)


def test_a_run_that_one_search_gave_up_is_trained_to_its_end_by_another(gantrain: Command, tmp_path: Path) -> None:
    from gantrain.cli import resume

    pruned = config("data=ring", "search.trial=1", "search.study=a", "search.metric=w2", "search.pruner=median")
    run = RunDirectory(tmp_path)
    run.write_status("pruned", {"step": 5, "search": resume.search_of(pruned)}, 0)
    assert resume.is_finished(pruned, run)
    others = (["search.study=b", "search.pruner=median"], ["search.study=a", "search.pruner=none"], [])
    for more in others:
        trial = ["search.trial=1", "search.metric=w2"] if more else []
        assert not resume.is_finished(config("data=ring", *trial, *more), run)


def test_neighbouring_seeds_try_other_points() -> None:
    lr = {"lr": optuna.distributions.FloatDistribution(0, 1)}

    def tried(seed: int) -> set[float]:
        study = optuna.create_study(storage="sqlite://")
        points = set()
        for _ in range(4):
            trial = search.ask(study, {"sampler": "random", "seed": seed, "n_trials": 4}, lr)
            study.tell(trial, 0.0)
            points.add(trial.params["lr"])
        return points

    assert not tried(0) & tried(1) and tried(0) == tried(0)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("absent", "argument", "extra"),
    [
        ("hydra_plugins.hydra_joblib_launcher.joblib_launcher", "hydra/launcher=joblib", "sweep"),
        ("hydra_plugins.hydra_submitit_launcher.submitit_launcher", "hydra/launcher=submitit_slurm", "slurm"),
        ("hydra_plugins.hydra_ray_launcher.ray_launcher", "hydra/launcher=ray", "ray"),
        ("optuna", "hydra/sweeper=optuna", "optuna"),
    ],
)
def test_an_extra_that_is_not_installed_is_named(absent: str, argument: str, extra: str, tmp_path: Path) -> None:
    package = absent.rpartition(".")[0] or absent
    hide = f"import sys; sys.modules.update(dict.fromkeys([{absent!r}, {package!r}]))"
    code = (
        f"{hide}; sys.argv = ['gantrain', '-m', 'data=ring', {argument!r}]; from gantrain.cli.train import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=GUARD)
    assert done.returncode == 2 and f"gantrain[{extra}]" in done.stderr and "Traceback" not in done.stderr


def test_a_search_without_a_sweep_is_refused(gantrain: Command) -> None:
    outcome = gantrain("hydra/sweeper=optuna", "data=ring")
    assert outcome.exit_code == 2 and "add -m" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials must be 1 or more"),
        (["hydra.sweeper.sampler=magic"], "hydra.sweeper.sampler must be one of tpe"),
        (["hydra.sweeper.pruner=magic", "total_steps=2"], "hydra.sweeper.pruner must be one of median"),
        (["hydra.sweeper.metric=beauty"], "hydra.sweeper.metric=beauty"),
        (["hydra.sweeper.metric=fid"], "there are sliced_wasserstein"),
        (["hydra.sweeper.seed=abc"], "hydra.sweeper.seed must be 0 or more"),
        (["hydra.sweeper.startup_trials=-1"], "hydra.sweeper.startup_trials must be 0 or more"),
        (["loss=vanilla,lsgan"], "name one, hydra/sweeper/space="),
        (["hydra.sweeper.of=worst"], "hydra.sweeper.of must be one of final"),
        (["hydra.sweeper.storage=nosuchdb://here"], "hydra.sweeper.storage=nosuchdb"),
        (["optimizer.g.lr=interval(5,1)"], "interval"),
        (["optimizer.g.lrr=interval(1,5)", "total_steps=2"], "optimizer.g.lrr"),
    ],
)
def test_a_search_that_means_nothing_is_refused(gantrain: Command, arguments: list[str], named: str) -> None:
    outcome = gantrain(*SEARCH, "hydra.sweeper.n_trials=2", *arguments)
    assert outcome.exit_code == 2 and named in outcome.err and "Traceback" not in outcome.err


def test_a_mistake_does_not_lock_the_study_and_any_folder_will_do(gantrain: Command, tmp_path: Path) -> None:
    wrong = gantrain(
        *SEARCH, "hydra.sweeper.n_trials=1", "total_steps=2", "optimizer.g.lrr=interval(1,5)", 'run.root="it\'s"'
    )
    assert wrong.exit_code == 2
    right = gantrain(*SEARCH, "hydra.sweeper.n_trials=1", "total_steps=2", 'run.root="it\'s"')
    assert right.exit_code == 0, right.err
    assert (tmp_path / "it's" / "search.db").exists()


def test_a_study_of_other_settings_is_not_gone_on_with(gantrain: Command, tmp_path: Path) -> None:
    assert gantrain(*SEARCH, "hydra.sweeper.n_trials=1", "total_steps=2").exit_code == 0
    other = gantrain(*SEARCH, "hydra.sweeper.n_trials=2", "total_steps=3")
    assert other.exit_code == 2 and "choose another hydra.sweeper.study" in other.err
    assert len(study_in(tmp_path).trials) == 1


@pytest.mark.thorough
def test_a_failed_trial_is_recorded_and_the_search_goes_on(gantrain: Command, tmp_path: Path) -> None:
    rates = "optimizer.g.lr=choice(0.001,1e30)"
    arguments = ("-m", "hydra/sweeper=random", *QUICK, rates, *SEARCH[-3:], "total_steps=60", "loss=lsgan")
    outcome = gantrain(*arguments, "architecture.generator.norm=none", "hydra.sweeper.n_trials=4")
    states = [(t.params["optimizer.g.lr"], t.state.name) for t in study_in(tmp_path).trials]
    assert set(states) == {("0.001", "COMPLETE"), ("1e+30", "FAIL")} and len(states) == 4
    assert outcome.exit_code == 4 and "failed" in outcome.out


def test_the_searchs_settings_make_it_no_other_run() -> None:
    from gantrain.run.identity import compared, plain

    plainly, searched = (
        compared(plain(config("data=ring", *more))) for more in ([], ["search.trial=3", "search.study=x"])
    )
    assert plainly == searched


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "random"])
def test_every_sampler_suggests_and_repeats(name: str) -> None:
    space = {
        "lr": optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True),
        "slope": optuna.distributions.FloatDistribution(0.0, 1.0),
    }

    def tried() -> list[dict]:
        study = optuna.create_study(storage="sqlite://")
        for _ in range(12):
            trial = search.ask(study, {"sampler": name, "seed": 0, "n_trials": 12}, space)
            study.tell(trial, abs(trial.params["slope"] - 0.3))
        return params(study)

    first = tried()
    assert len({p["lr"] for p in first}) > 6 and tried() == first


def test_a_trial_without_a_finite_value_counts_as_failed() -> None:
    study = optuna.create_study(storage="sqlite://")
    for value in (float("nan"), None):
        returned = JobReturn(status=JobStatus.COMPLETED)
        returned.return_value = {"run": "x", "state": "finished", "history": {}, "total_steps": 8,
                                 "evaluation": {"best": {"w2": value}}}  # fmt: skip
        space = {"lr": optuna.distributions.FloatDistribution(0, 1)}
        trial = search.ask(study, {"sampler": "random", "seed": 0, "n_trials": 4}, space)
        before = len(search.counted(study))
        assert search.tell(study, trial, returned, "best", "w2") == 4
        assert len(search.counted(study)) == before and study.trials[-1].state.name == "FAIL"
