"""Metrics say their own direction, those of a user's own too; runs record it, reports and searches read it there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from gantrain.errors import ConfigError
from gantrain.evaluation import images, points
from gantrain.evaluation.metric import joined, values_of
from gantrain.run import read
from gantrain.run.directions import BESIDE, DIRECTIONS, HIGHEST, LOWEST, arrow, ranked, shown, sign
from tests.conftest import REPOSITORY, Outcome, command

Command = Callable[..., Outcome]
QUICK = ("batch_size=16", "device=cpu", "total_steps=8", "samples.every=0", "log.every=8", "evaluation=pixels",
         "evaluation.n_fake=100", "architecture.generator.width=4", "architecture.discriminator.width=4")  # fmt: skip
OWN = ("trusted_modules=[my_metrics]", "evaluation.best=brightness_error",
       "evaluation.metrics=[sliced_wasserstein,{_target_: my_metrics.Brightness}]")  # fmt: skip


@pytest.fixture
def gantrain_eval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    from gantrain.cli.eval import main

    yield from command(main, "gantrain-eval", tmp_path, monkeypatch, capsys)


@pytest.fixture
def gantrain_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    from gantrain.cli.report import main

    yield from command(main, "gantrain-report", tmp_path, monkeypatch, capsys)


@pytest.fixture
def example(tmp_path: Path) -> None:
    """The metric that docs/evaluation.md shows."""
    code = re.search(r"```python\n(# my_metrics\.py.*?)```", (REPOSITORY / "docs" / "evaluation.md").read_text(), re.S)
    assert code is not None
    (tmp_path / "my_metrics.py").write_text(code[1])


def test_a_metric_of_ones_own_is_measured_recorded_and_chooses_the_best_checkpoint(
    gantrain: Command, example: None, tmp_path: Path
) -> None:
    outcome = gantrain(*QUICK, *OWN, "run.dir=run", "evaluation.every=4")
    assert outcome.exit_code == 0, outcome.err
    assert "brightness_error" in outcome.out and "best by brightness_error" in outcome.out
    recorded = read.evaluation(tmp_path / "run")
    assert recorded.better == {"sliced_wasserstein": LOWEST, "brightness_error": LOWEST}
    measured = read.history(tmp_path / "run", recorded.tag)
    assert set(measured) == {4, 8} and all(0 <= found["brightness_error"] <= 255 for found in measured.values())
    assert recorded.best_step == min(measured, key=lambda step: (measured[step]["brightness_error"], -step))


def test_a_metric_of_ones_own_is_ranked_by_in_the_report_and_measured_again_where_it_is_trusted(
    gantrain: Command, gantrain_report: Command, gantrain_eval: Command, example: None, tmp_path: Path
) -> None:
    for seed in (0, 1):
        assert gantrain(*QUICK, *OWN, f"seed={seed}").exit_code == 0
    report = gantrain_report("outputs", "metric=brightness_error", "out=r.html")
    assert report.exit_code == 0 and "brightness_error" in report.out, report.err
    assert "brightness_error ↓" in (tmp_path / "r.md").read_text()
    refused = gantrain_eval("run=outputs", "json=true")
    assert refused.exit_code == 2 and "my_metrics.Brightness is not trusted" in refused.err
    (again, _) = gantrain_eval("run=outputs", "json=true", "trusted_modules=[my_metrics]").out.splitlines()
    assert json.loads(again)["brightness_error"] >= 0


@pytest.mark.thorough
def test_a_metric_of_ones_own_can_be_searched_by(gantrain: Command, example: None, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    space = ("optimizer.g.lr=choice(1e-4,1e-3)", "hydra.sweeper.n_trials=2", "hydra/sweeper=random")
    outcome = gantrain("-m", *space, *QUICK, *OWN)
    assert outcome.exit_code == 0 and "brightness_error=" in outcome.out, outcome.err
    refused = gantrain("-m", *space, *QUICK, *OWN, "hydra.sweeper.metric=fid", "run.root=other")
    assert refused.exit_code == 2 and "brightness_error, sliced_wasserstein" in refused.err


class Wrong:
    """A metric with a fault."""

    def __init__(self, gives: object, values: Mapping[str, object] | None = None) -> None:
        self.gives, self.values = gives, values or {}

    def measure(self, quality: object, samples: object) -> Mapping[str, object]:
        return self.values


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ([Wrong({"a": "low"})], "'low' of a; allowed are lowest, highest"),
        ([Wrong({})], "needs gives"),
        ([Wrong(["a"])], "needs gives"),
        ([object()], "needs gives"),
        ([Wrong({"a": LOWEST}), Wrong({"a": HIGHEST})], "a is measured twice"),
        ([images.METRICS["fid"], Wrong({"fid": LOWEST})], "fid is measured twice"),
    ],
)
def test_a_metric_that_does_not_say_what_it_gives_is_refused_in_a_sentence(metrics: list[object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        joined(metrics)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [{"b": 1.0}, {"a": "high"}, {"a": None}])
def test_a_metric_that_gives_something_else_than_it_said_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"evaluation\.metrics: Wrong gives"):
        values_of(Wrong({"a": LOWEST}, values), None, None)  # type: ignore[arg-type]


def test_every_metric_says_the_direction_of_each_of_its_values() -> None:
    for table in (images.METRICS, points.METRICS):
        for name, metric in table.items():
            assert metric.gives and set(metric.gives.values()) <= set(DIRECTIONS), name


def test_directions_rank_show_and_turn() -> None:
    better = {"fid": LOWEST, "is": HIGHEST, "is_std": BESIDE, "ms_ssim": "as_real"}
    assert ranked(better) == ["fid", "is"] and shown(better) == ["fid", "is", "ms_ssim"]
    assert (sign(better, "fid"), sign(better, "is")) == (1, -1)
    assert [arrow(better, name) for name in better] == ["fid ↓", "is ↑", "is_std", "ms_ssim"]


def test_a_run_that_recorded_no_directions_is_still_read_with_those_of_its_time(tmp_path: Path) -> None:
    own = {name: found for t in (images.METRICS, points.METRICS) for m in t.values() for name, found in m.gives.items()}
    (tmp_path / "evaluation.json").write_text(json.dumps({"best_by": "fid", "final": {"step": 1, "fid": 2.0}}))
    before = read.evaluation(tmp_path).better
    since = {"conditional_accuracy", "intra_fid", "intra_coverage", "curve_covered"}  # no run of that time has them
    assert set(before) == set(ranked(own)) - since and all(own[name] == direction for name, direction in before.items())
