"""Signals are measured by distances between them: what moves each value, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gantrain.build import build_quality
from gantrain.data import Data, SignalFile, Sines
from gantrain.errors import ConfigError
from gantrain.evaluation import SignalQuality
from gantrain.evaluation.result import Interrupted
from gantrain.kinds import Kind
from tests.conftest import config

SIZES = ("evaluation.n_fake=600", "evaluation.n_real=600", "evaluation.n_w2=300", "evaluation.n_neighbours=400")
CPU = torch.device("cpu")


def quality_of(data: Data, *settings: str) -> SignalQuality:
    quality = build_quality(config("data=sines", "evaluation=signals", *SIZES, *settings), data, CPU)
    assert isinstance(quality, SignalQuality)
    return quality


def sines(frequencies: tuple[int, ...] = (1, 2, 4, 8)) -> Sines:
    return Sines(frequencies, 64, (0.4, 0.9), 0.02)


def drawn(data: Data, n: int = 600, seed: int = 99) -> tuple[Tensor, Tensor | None]:
    return data.stream(n, seed, CPU).next()


@pytest.fixture(scope="module")
def quality() -> SignalQuality:
    return quality_of(sines())


def values(quality: SignalQuality, signals: Tensor, asked: Tensor | None = None) -> dict[str, float]:
    return quality.measure(signals.split(250), asked=asked).values


def test_real_signals_are_as_good_as_real_ones(quality: SignalQuality) -> None:
    found = values(quality, drawn(sines())[0])
    assert found["w2"] == pytest.approx(found["w2_of_real"], rel=0.3)
    assert found["sliced_wasserstein"] < 0.05 and found["precision"] > 0.8 and found["recall"] > 0.8
    assert found["density"] == pytest.approx(1, abs=0.15) and found["coverage"] > 0.9
    assert not {"memorised", "conditional_accuracy"} & found.keys()  # drawn fresh, asked for no classes


@pytest.mark.parametrize(
    ("fault", "rises", "falls"),
    [
        (lambda: drawn(sines((8,)))[0], ("sliced_wasserstein", "w2"), ("recall", "coverage")),
        (lambda: (drawn(sines())[0] + 0.3 * torch.randn(600, 1, 64)).clamp(-1, 1),
         ("sliced_wasserstein", "w2"), ("precision", "density")),
        (lambda: 0.5 * drawn(sines())[0], ("sliced_wasserstein",), ("precision", "recall")),
    ],
    ids=["dropped frequencies", "noise", "halved"],
)  # fmt: skip
def test_a_planted_fault_is_seen(
    quality: SignalQuality, fault: Callable[[], Tensor], rises: tuple[str, ...], falls: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    good, bad = values(quality, drawn(sines())[0]), values(quality, fault())
    assert all(bad[name] > 1.3 * good[name] for name in rises), bad
    assert all(bad[name] < 0.7 * good[name] for name in falls), bad


def test_the_class_of_the_nearest_real_signal_is_compared_with_the_one_asked_for(quality: SignalQuality) -> None:
    signals, labels = drawn(sines())
    assert labels is not None
    assert values(quality, signals, labels)["conditional_accuracy"] == 1
    assert values(quality, signals, (labels + 1) % 4)["conditional_accuracy"] == 0
    half = torch.where(torch.arange(600) % 2 == 0, labels, (labels + 1) % 4)
    assert values(quality, signals, half)["conditional_accuracy"] == pytest.approx(0.5)


def a_file(path: Path, n: int = 600, labels: bool = True) -> SignalFile:
    signals, classes = sines().sample(n, np.random.default_rng(5))
    np.save(path / "x.npy", signals)
    np.save(path / "y.npy", classes)
    return SignalFile(str(path / "x.npy"), str(path / "y.npy") if labels else None, False, None)


def test_the_share_of_copies_is_found_as_planted(tmp_path: Path) -> None:
    data, course = a_file(tmp_path), []
    measured = quality_of(data)
    for share in (0.0, 0.25, 0.5, 1.0):
        n = int(share * 600)
        course.append(values(measured, torch.cat([data.at(range(n)), drawn(sines(), 600)[0][n:]]))["memorised"])
    np.testing.assert_allclose(course, [0, 0.25, 0.5, 1], atol=0.04)


def test_real_signals_of_a_file_are_taken_in_a_random_order_with_their_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.linspace(-1, 1, 400)[:, None].repeat(8, 1))  # sorted, as files often are
    np.save(tmp_path / "y.npy", np.arange(400) // 200)
    real = quality_of(SignalFile(str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), False, None)).real
    assert len(real.kept) == 400 and abs(float(real.kept[:100].mean())) < 0.2
    assert real.labels is not None and torch.equal(real.labels, (real.kept[:, 0, 0] > 0).long())


def test_the_protocol_tells_data_and_settings_apart(quality: SignalQuality) -> None:
    assert quality.protocol.features == "signals" and quality.protocol.hash == quality_of(sines()).protocol.hash
    others = [quality_of(sines((1, 2))), quality_of(sines(), "evaluation.seed=1")]
    assert len({quality.protocol.hash, *(other.protocol.hash for other in others)}) == 3


def test_an_evaluation_that_is_stopped_measures_nothing(quality: SignalQuality) -> None:
    with pytest.raises(Interrupted):
        quality.measure(drawn(sines())[0].split(250), lambda: True)


def test_too_few_signals_are_refused_or_cost_a_live_run_its_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few, cfg = a_file(tmp_path, 50), config("data=sines", "evaluation=signals")
    with pytest.raises(ConfigError, match="50 real signals are too few to measure anything by, 100 are needed"):
        build_quality(cfg, few, CPU)
    assert build_quality(cfg, few, CPU, live=True) is None
    assert "50 real signals are too few" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["data=sines", "evaluation=classifier"], "features=classifier is for images; use evaluation=signals"),
        (["data=sines", "evaluation=pixels"], "ms_ssim is not measured on signals; there are sliced_wasserstein"),
        (["data=sines", "evaluation=points"], "modes needs data whose modes are known, like data=waves"),
        (["data=sines", "evaluation=stacks"], "features=classifier is for images; use evaluation=signals"),
        (["data=sines", "evaluation=signals", "evaluation.best=memorised"], "nothing can be copied from sine waves"),
        (["data=sines", "evaluation=signals", "evaluation.best=fid"], "best=fid is not measured; there are sliced"),
        (["data=sines", "evaluation=signals", "evaluation.k_precision_recall=500", *SIZES], "must be below the number"),
        (["data=ring", "evaluation=signals"], "precision_recall is not measured on points; there are modes"),
        (["data=digits", "evaluation=signals"], "w2 is not measured on images; there are fid"),
    ],
)
def test_an_evaluation_that_does_not_suit_the_samples_is_refused_in_one_sentence(
    settings: list[str], words: str
) -> None:
    from gantrain.build import build_data

    cfg = config(*settings)
    with pytest.raises(ConfigError) as refused:
        build_quality(cfg, build_data(cfg), CPU)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_samples_of_no_kind_are_not_measured() -> None:
    class Unknown(Sines):
        kind = Kind()  # type: ignore[assignment]

    with pytest.raises(
        ConfigError,
        match=r"neither a set of images, signals or rows nor points of a known distribution; use .*=none",
    ):
        build_quality(config("data=sines", "evaluation=signals"), Unknown([1], 64, (0.4, 0.9), 0.0), CPU)
