"""D alone between known distributions: truths, the optimal D, and the command that draws them."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from PIL import Image

from gantrain.build import build_study
from gantrain.data import Circles, Grid, Known, Mixture, Moons, Ring
from gantrain.errors import ConfigError
from gantrain.run.directory import RunDirectory
from gantrain.run.records import Records
from gantrain.schema import TheoryConfig, validated
from gantrain.theory import FewerModes, OneGaussian, Shifted
from gantrain.theory.draw import history, picture
from gantrain.theory.study import Study, shown, truths
from tests.conftest import GUARD, Outcome, command, loss_names, only, run_files


def study(*overrides: str) -> Study:
    with initialize_config_module("gantrain.configs", version_base="1.3"):
        return build_study(validated(compose("theory", ["device=cpu", *overrides]), TheoryConfig))


@pytest.fixture
def theory(tmp_path: Path, monkeypatch, capsys) -> Iterator[Callable[..., Outcome]]:
    from gantrain.cli.theory import main

    yield from command(main, "gantrain-theory", tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    "mixture",
    [
        Mixture([[-1.5], [1.0]], 0.4, [1, 2]),
        Ring(8, 2.0, 0.3),
        Grid(3, 1.0, 0.2),
        Mixture([[0.0, 1.0]], 0.5),
        Moons(0.3),
        Circles(0.5, 0.2),
    ],
    ids=str,
)
def test_densities_integrate_to_one_and_have_the_samples_moments(mixture: Known) -> None:
    from gantrain.theory.study import box

    points = box(mixture, mixture, {1: 2001, 2: 301}[mixture.shape[0]])
    cell = np.prod(np.ptp(points, axis=0) / ({1: 2001, 2: 301}[mixture.shape[0]] - 1))
    density = np.exp(mixture.log_density(points)) * cell
    assert density.sum() == pytest.approx(1, abs=1e-3)
    samples, component = mixture.sample(40_000, np.random.default_rng(0))
    np.testing.assert_allclose(samples.mean(0), density @ points, atol=0.05)
    np.testing.assert_allclose((samples**2).mean(0), density @ points**2, rtol=0.05, atol=0.02)
    np.testing.assert_allclose(np.bincount(component) / 40_000, mixture.mode_shares, atol=0.02)


def test_what_plays_the_generated_samples() -> None:
    data = Mixture([[-1.0, 0.0], [3.0, 0.0]], 0.5, [3, 1])
    one = OneGaussian(data, std=None, shift=0.5)
    np.testing.assert_allclose(one.centers, [[0.5, 0.0]])
    assert one.std == pytest.approx(math.sqrt((3 + 0) / 2 + 0.25))  # variance 3 along x, 0 along y, and 0.25 of each
    assert OneGaussian(data, std=0.7, shift=0.0).std == 0.7
    fewer = FewerModes(Mixture([[0.0], [1.0], [2.0]], 0.1, [1, 3, 4]), modes=2)
    np.testing.assert_allclose(fewer.centers, [[0.0], [1.0]])
    np.testing.assert_allclose(fewer.weights, [0.25, 0.75])
    np.testing.assert_allclose(Shifted(data, 2.0).centers, [[1.0, 0.0], [5.0, 0.0]])
    with pytest.raises(ConfigError, match="between 1 and 2"):
        FewerModes(data, modes=3)


def test_what_takes_the_generators_place_is_made_of_curves_too() -> None:
    moons, rng = Moons(0.3), np.random.default_rng(0)
    points, arm = moons.sample(20_000, rng)
    one = OneGaussian(moons, None, 0.0)
    np.testing.assert_allclose(one.centers[0], points.mean(0), atol=0.02)
    assert one.std == pytest.approx(points.var(0).mean() ** 0.5, rel=0.02)
    fewer, moved = FewerModes(moons, 1), Shifted(moons, 2.0)
    np.testing.assert_allclose(fewer.sample(20_000, rng)[0].mean(0), points[arm == 0].mean(0), atol=0.02)
    at = points[:50].astype(np.float64)
    np.testing.assert_allclose(moved.log_density(at + np.array([2, 0])), moons.log_density(at))
    assert str(fewer) == "two moons, std 0.3, the first 1 alone" and str(moved) == "two moons, std 0.3, shifted by 2"
    with pytest.raises(ConfigError, match="between 1 and 2, got 3"):
        FewerModes(moons, 3)
    kl = truths(moons, Shifted(moons, 0.2))["kl_nats"]
    alone = points.astype(np.float64)
    assert kl == pytest.approx((moons.log_density(alone) - Shifted(moons, 0.2).log_density(alone)).mean(), rel=0.1)


@pytest.mark.thorough
def test_truths_of_two_gaussians_on_a_line() -> None:
    p, q = Mixture([[0.0]], 1.0), Mixture([[1.0]], 1.0)
    found = truths(p, q)
    assert found["kl_nats"] == pytest.approx(0.5, rel=1e-3) and found["reverse_kl_nats"] == pytest.approx(0.5, rel=1e-3)
    assert found["wasserstein_1_data_units"] == pytest.approx(1, rel=1e-3)
    assert found["total_variation_unitless"] == pytest.approx(math.erf(0.5 / math.sqrt(2)), rel=1e-3)
    assert found["twice_js_nats"] == 2 * found["js_nats"]
    assert found["twice_js_minus_log4_nats"] == found["twice_js_nats"] - math.log(4)
    assert truths(Ring(8, 2.0, 0.2), Shifted(Ring(8, 2.0, 0.2), 0.0))["js_nats"] == pytest.approx(0, abs=1e-12)
    shifted = truths(Mixture([[0.0, 0.0]], 0.2), Mixture([[1.0, 0.0]], 0.2))
    assert shifted["wasserstein_1_data_units"] == pytest.approx(1, rel=0.05)


@pytest.mark.thorough
def test_truths_of_modes_thinner_than_a_step_of_any_grid() -> None:
    # Modes 0.02 wide do not see each other: each is one Gaussian against itself, half a deviation away.
    ring = Ring(8, 2.0, 0.02)
    found = truths(ring, Shifted(ring, 0.01), samples=10)
    assert found["kl_nats"] == pytest.approx(0.125, rel=1e-3)  # ½ (½)²
    assert found["total_variation_unitless"] == pytest.approx(math.erf(0.25 / math.sqrt(2)), rel=1e-3)
    assert found["pearson_unitless"] == pytest.approx(math.exp(0.25) - 1, rel=1e-3)
    # Seven of eight modes are lost: p = (1/8, …), q = (1, 0, …).
    found = truths(ring, FewerModes(ring, 1), samples=10)
    assert found["total_variation_unitless"] == pytest.approx(7 / 8, rel=1e-6)
    assert found["reverse_kl_nats"] == pytest.approx(math.log(8), rel=1e-6)


@pytest.mark.parametrize(
    ("real", "generated", "infinite"),
    [(1.5, 0.5, "pearson_unitless"), (0.5, 1.5, "neyman_unitless"), (0.5, 0.6, None)],
)
def test_a_truth_is_infinite_where_one_is_more_than_the_root_of_two_wider(
    real: float, generated: float, infinite: str | None
) -> None:
    ring = Ring(3, 0.5, real)
    found = truths(ring, OneGaussian(ring, generated, 0.0), samples=10)
    assert [name for name, value in found.items() if not math.isfinite(value)] == ([infinite] if infinite else [])


def test_what_cannot_be_integrated_is_left_unknown_or_refused_before_the_study(monkeypatch) -> None:
    p, q = Mixture([[-1.0], [1.0]], 1.0), Mixture([[0.0], [1.0]], 1.0)
    monkeypatch.setattr("gantrain.theory.divergences.where_the_square_is", refused)
    found = truths(p, q)
    assert [name for name, value in found.items() if math.isnan(value)] == ["pearson_unitless", "neyman_unitless"]
    assert shown(found["pearson_unitless"]) == "not known" and shown(math.inf) == "inf" and shown(0.25) == "0.25"
    monkeypatch.setattr("gantrain.theory.divergences.where_either_is", refused)
    with pytest.raises(ConfigError, match="data and generated cannot be compared: too thin"):
        study("data=mixture")


def refused(*_: object) -> None:
    raise ValueError("too thin")


@pytest.mark.thorough
def test_an_infinite_truth_is_printed_recorded_and_drawn(theory: Callable[..., Outcome], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = theory("data=mixture", "data.std=1.5", "generated.std=0.5", "loss=fgan_pearson", "total_steps=2",
                  "device=cpu", "run.dir=here")  # fmt: skip
    assert done.exit_code == 0, done.err
    assert ", truth inf\n" in done.out and "truth         pearson_unitless inf\n" in done.out
    recorded = json.loads((tmp_path / "here" / "status.json").read_text())["truths"]
    assert recorded["pearson_unitless"] == "inf" and 0 < recorded["total_variation_unitless"] < 1
    (line,) = [json.loads(line) for line in (tmp_path / "here" / "metrics.jsonl").read_text().splitlines()]
    assert "truth/pearson_unitless" not in line and "truth/total_variation_unitless" in line
    board = EventAccumulator(str(tmp_path / "here")).Reload()
    (text,) = board.Tensors("theory/text_summary")
    assert b"pearson_unitless inf" in text.tensor_proto.string_val[0]


def test_an_infinite_truth_stands_in_the_legend() -> None:
    from matplotlib.figure import Figure

    here = study("data=mixture", "data.std=1.5", "generated.std=0.5", "loss=fgan_pearson", "batch_size=8")
    here.history.append((1, {"pearson_lower_bound_unitless": 0.5}))
    axis = Figure().subplots()
    history(axis, here)
    assert [text.get_text() for text in axis.get_legend().get_texts()][1] == "truth: inf"


@pytest.mark.thorough
def test_how_far_d_is_from_the_optimum_does_not_depend_on_the_grid() -> None:
    here = study("generated=fewer_modes", "data.std=0.02", "batch_size=16")
    coarse, fine = here.curves(5), here.curves(41)
    assert coarse.apart == fine.apart
    # p is all modes, q the first: D* is 1 at seven eighths of p, and p/(p+q) = (1/8)/(9/8) at the rest and at q.
    # An untrained D is nearly ½ everywhere.
    assert coarse.apart == pytest.approx(0.5 * (7 / 8 * 0.5 + 9 / 8 * (0.5 - 1 / 9)), abs=0.08)


@pytest.mark.parametrize(
    ("loss", "name", "tolerance"),
    [
        ("vanilla", "js_lower_bound_nats", 0.06),
        pytest.param("lsgan", "le_cam_lower_bound_unitless", 0.1, marks=pytest.mark.every_loss),
        pytest.param("fgan_kl", "kl_lower_bound_nats", 0.15, marks=pytest.mark.every_loss),
        pytest.param(
            "fgan_squared_hellinger", "squared_hellinger_lower_bound_unitless", 0.15, marks=pytest.mark.every_loss
        ),
    ],
)
def test_the_estimate_comes_to_the_truth_and_d_to_the_optimal_d(
    loss: str, name: str, tolerance: float, tmp_path: Path
) -> None:
    here = study("data=mixture", f"loss={loss}", "total_steps=500", "log.every=10", "optimizer=adam",
                 "optimizer.g.lr=1e-3", "batch_size=1024")  # fmt: skip
    with Records(RunDirectory(tmp_path), 0) as records:
        here.train(records)
    truth = here.truth_of(name)
    assert truth is not None and truth > 0.1
    assert here.averaged_estimates()[name] == pytest.approx(truth, abs=tolerance)
    curves = here.curves(501)
    weight = curves.real + curves.generated
    assert (weight * np.abs(curves.learned - curves.optimal)).sum() / weight.sum() < 0.06
    untrained = study("data=mixture", f"loss={loss}").curves(501)
    assert (weight * np.abs(untrained.learned - untrained.optimal)).sum() / weight.sum() > 0.15


def test_the_optimal_d_is_p_over_p_plus_q_and_the_gradient_is_the_critics() -> None:
    curves = study("data=mixture").curves(201)
    np.testing.assert_allclose(curves.optimal, curves.real / (curves.real + curves.generated), atol=1e-9)
    step = curves.points[1, 0] - curves.points[0, 0]
    np.testing.assert_allclose(curves.gradient[:, 0], np.gradient(curves.critic, step), atol=0.05)


DATA, DRAWN = ("ring", "grid", "mixture"), ("vanilla", "hinge", "mmd", "fisher", "began")
IN_SHORT = [("mixture", "vanilla"), ("ring", "mmd"), ("grid", "began")]


@pytest.mark.parametrize(("data", "loss"), only(IN_SHORT, itertools.product(DATA, DRAWN)))
def test_a_study_of_any_loss_can_be_drawn(data: str, loss: str, tmp_path: Path) -> None:
    here = study(f"data={data}", f"loss={loss}", "total_steps=4", "log.every=2", "batch_size=32")
    with Records(RunDirectory(tmp_path), 0) as records:
        here.train(records)
    drawn = picture(here)
    assert drawn.shape == ((3, 400, 1300) if data == "mixture" else (3, 800, 1300))
    assert drawn.min() >= 0 and drawn.max() <= 1 and drawn.std() > 0.1


@pytest.mark.parametrize("loss", loss_names())
def test_every_loss_can_be_studied(loss: str) -> None:
    here = study(f"loss={loss}", "data=mixture", "batch_size=16")
    curves = here.curves(21)
    assert np.isfinite(curves.critic).all() and curves.critic.shape == (21,)
    assert (curves.learned is None) == (here.loss.objective.log_ratio(torch.zeros(1)) is None)


def test_the_command_leaves_a_picture_metrics_and_a_table(theory: Callable[..., Outcome], tmp_path: Path) -> None:
    arguments = ("data=mixture", "generated=fewer_modes", "total_steps=20", "log.every=10", "device=cpu")
    done = theory(*arguments)
    assert done.exit_code == 0, done.err
    assert "estimate      js_lower_bound_nats" in done.out and "truth         kl_nats" in done.out
    (folder,) = (tmp_path / "outputs" / "theory" / "mixture" / "fewer_modes" / "vanilla").iterdir()
    assert Image.open(folder / "samples" / "theory.png").size == (1300, 400)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20]
    assert {"estimate/js_lower_bound_nats", "truth/js_nats", "truth/wasserstein_1_data_units"} <= set(lines[0])
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    before = (folder / "samples" / "theory.png").stat().st_mtime_ns
    assert "is finished" in theory(*arguments).out
    assert (folder / "samples" / "theory.png").stat().st_mtime_ns == before


@pytest.mark.thorough
def test_the_command_sweeps(theory: Callable[..., Outcome], tmp_path: Path) -> None:
    done = theory("-m", "loss=vanilla,hinge", "data=mixture", "total_steps=2", "device=cpu")
    assert done.exit_code == 0, done.err
    assert len(list(tmp_path.glob("outputs/theory/mixture/one_gaussian/*/seed0-*/samples/theory.png"))) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data=digits"], "known density"),
        (["data=waves"], "known density"),
        (["data=mixture", "data.centers=[[1,2,3],[4,5,6]]"], "on a line or in the plane, and data has samples of (3,)"),
        (["data=swiss_roll", "data.dimensions=3"], "on a line or in the plane, and data has samples of (3,)"),
        (["generated=fewer_modes", "generated.modes=9"], "between 1 and 8"),
        (["generated=fewer"], "did you mean generated=fewer_modes"),
        (["total_steps=0"], "total_steps must be 1 or more"),
        (["total_step=5"], "did you mean total_steps"),
        (["data=mixture", "data.centers=[1,2]"], "data.centers must be"),
        (["data=mixture", "data.weights=[1.0,-1.0]"], "data.weights must be"),
        (["data=mixture", "data.std=0"], "std"),
        (["loss=wgan_gp", "architecture.discriminator.norm=batch"], "norm=layer"),
        (["batch_size=1", "architecture.discriminator.norm=batch"], "batch_size=2"),
        (["architecture.discriminator.minibatch_features=8"], "minibatch_features=0"),
        (["generated.std=-1"], "generated.std must be above 0"),
        (["regularizer=null"], "regularizer=[r1,lecam]"),
        (["loss=began", "architecture=mlp"], "architecture=autoencoder"),
    ],
)
def test_mistakes_get_one_line_and_leave_nothing(
    arguments: list[str], words: str, theory: Callable[..., Outcome], tmp_path: Path
) -> None:
    done = theory(*arguments, "device=cpu")
    assert done.exit_code == 2
    (line,) = [line for line in done.err.splitlines() if line]
    assert words in line and line.startswith("gantrain: error:")
    assert run_files(tmp_path) == []


@pytest.mark.thorough
def test_a_finished_study_may_be_asked_for_with_other_records_but_not_other_settings(
    theory: Callable[..., Outcome], tmp_path: Path
) -> None:
    arguments = ("data=mixture", "total_steps=2", "device=cpu", "run.dir=here")
    assert theory(*arguments).exit_code == 0
    assert "is finished" in theory(*arguments, "log.every=1").out
    refused = theory(*arguments, "data.std=0.5")
    assert refused.exit_code == 2 and "data.std: 0.3 → 0.5" in refused.err


@pytest.mark.parametrize("choice", ["architecture.discriminator.outputs=4", "architecture.discriminator.norm=batch"])
def test_d_may_have_several_outputs_or_batch_norm(choice: str) -> None:
    here = study("data=mixture", "batch_size=16", choice)
    before = {name: value.clone() for name, value in here.d.net.state_dict().items() if "running" in name}
    assert here.curves(101).learned.shape == (101,)
    after = here.d.net.state_dict()
    # The one batch of the turn moves the statistics by a tenth of itself; the grid, far wider, by nothing.
    assert all((after[name] - value).abs().max() < 1.5 for name, value in before.items())
    assert here.d.net.training


def test_a_truth_is_finite_where_densities_underflow(tmp_path: Path) -> None:
    narrow = Mixture([[-1.5], [1.0]], 0.05, [1, 2])
    found = truths(narrow, FewerModes(narrow, 1))
    # At the second mode, 2/3 of the mass, log p/q = log 2/3 + 2.5²/2σ² on average; at the first, log 1/3.
    expected = (math.log(1 / 3) + 2 * (math.log(2 / 3) + 6.25 / (2 * 0.0025))) / 3
    assert found["kl_nats"] == pytest.approx(expected, rel=1e-3)


def test_help_answers_without_torch() -> None:
    program = "import sys; from gantrain.cli.theory import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, timeout=GUARD)
    assert "generated: fewer_modes, one_gaussian, shifted" in done.stdout and done.stdout.strip().endswith("False")
