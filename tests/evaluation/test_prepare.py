"""The evaluation as a whole: planted faults move the numbers the right way, protocols keep apart, caches hold."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hydra.errors import HydraException
from PIL import Image
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from gantrain.build import build_data, build_quality, directions
from gantrain.data import Data, Digits, Gaussians, Images, Moons, Ring, Stacked
from gantrain.errors import ConfigError, DataError
from gantrain.evaluation import Classifier, History, ImageQuality, PointQuality, classifier, images
from gantrain.evaluation.cache import Cache
from gantrain.evaluation.classifier import prepared
from gantrain.evaluation.inception import FILE, Inception
from gantrain.evaluation.prepare import protocol_of
from gantrain.run.directions import HIGHEST, LOWEST, ranked
from gantrain.run.protocol import Protocol
from tests.conftest import CONFIGS, GUARD, config, only, until, write_mnist

BETTER = {"fid": LOWEST, "is": HIGHEST}

CPU = torch.device("cpu")


def quality_for(data: Data, *overrides: str) -> Any:
    """What measures, with neighbours among all samples: a part of a set is not the set."""
    return build_quality(config("evaluation.n_neighbours=10000", *overrides), data, CPU)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


@pytest.fixture(scope="module")
def quality(digits: Digits) -> ImageQuality:
    return quality_for(digits)


def as_floats(pixels: Tensor) -> list[Tensor]:
    """Batches as a generator would give them."""
    return list((pixels.float() / 127.5 - 1).split(250))


def values(quality: ImageQuality, pixels: Tensor) -> dict[str, float]:
    return quality.measure(as_floats(pixels)).values


def fresh(digits: Digits) -> Tensor:
    """Digits that are in no training set, but nearly: real ones, moved by a little noise of the brush."""
    noise = torch.randn(digits.pixels.shape, generator=torch.Generator().manual_seed(1)) * 12
    return (digits.pixels + noise * (digits.pixels > 0)).clamp(0, 255).to(torch.uint8)


def test_the_set_itself_is_perfect_and_wholly_memorised(digits: Digits, quality: ImageQuality) -> None:
    found = values(quality, digits.pixels)
    assert abs(found["fid"]) < 1e-6 and found["kid"] < 0.01 and found["sliced_wasserstein"] < 1e-6
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    assert found["memorised_pixels"] == found["memorised_features"] == 1
    assert found["is"] > 7 and found["ms_ssim"] < 0.3


def test_two_halves_of_the_set_are_near_and_no_copies(digits: Digits) -> None:
    order = torch.randperm(len(digits.pixels), generator=torch.Generator().manual_seed(0))
    half, other = (Images(digits.pixels[part], digits.labels[part], 10) for part in order.chunk(2))
    found = values(quality_for(half), other.pixels[: len(half.pixels)])
    noise = torch.randint(256, half.pixels.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    far = values(quality_for(half), noise)
    assert found["fid"] < far["fid"] / 30 and found["recall"] > 0.8 and found["precision"] > 0.8
    assert found["memorised_pixels"] < 0.04 and found["memorised_features"] < 0.04
    assert found["coverage"] == pytest.approx(1 - 2**-5, abs=0.05)


LEVELS = {
    "noise": lambda x, labels, k: x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0)) * 25 * k,
    "blur": lambda x, labels, k: nn.functional.avg_pool2d(x, 2 * k + 1, 1, k, count_include_pad=False) if k else x,
    "modes": lambda x, labels, k: x[labels < 10 - 3 * k].repeat(11, 1, 1, 1)[: len(x)],
}


@pytest.mark.parametrize("fault", only(["modes"], LEVELS))
def test_more_noise_blur_or_missing_modes_make_every_distance_larger(
    digits: Digits, quality: ImageQuality, fault: str
) -> None:
    found = [
        values(quality, LEVELS[fault](digits.pixels.float(), digits.labels, k).clamp(0, 255).to(torch.uint8))
        for k in range(4)
    ]
    for name in ("fid", "fid_infinity", "kid", "sliced_wasserstein"):
        course = [level[name] for level in found]
        assert course == sorted(course) and len(set(course)) == 4, (name, course)
    for name in ("coverage", "recall") if fault == "modes" else ("precision", "density"):
        course = [level[name] for level in found]
        assert course == sorted(course, reverse=True) and course[-1] < course[0], (name, course)
    if fault == "modes":
        assert found[3]["precision"] > 0.99  # what is there is good
        assert found[3]["ms_ssim"] > found[0]["ms_ssim"] + 0.1


def test_the_share_of_copies_is_found_as_planted(digits: Digits) -> None:
    order = torch.randperm(len(digits.pixels), generator=torch.Generator().manual_seed(0))
    training = Images(digits.pixels[order[:1200]], digits.labels[order[:1200]], 10)
    others = digits.pixels[order[1200:]]
    quality, course = quality_for(training, "evaluation=pixels"), []
    for share in (0.0, 0.25, 0.5, 1.0):
        n = int(share * len(others))
        course.append(values(quality, torch.cat([training.pixels[:n], others[n:]]))["memorised_pixels"])
    np.testing.assert_allclose(course, [0, 0.25, 0.5, 1], atol=0.04)


def test_pairs_show_each_copy_above_its_training_image(digits: Digits, quality: ImageQuality) -> None:
    noise = torch.randint(256, (492, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pairs = quality.measure(as_floats(torch.cat([noise, digits.pixels[70:78]]))).pairs
    assert pairs is not None and pairs.shape == (2, 8, 1, 8, 8)
    assert torch.equal(pairs[0], pairs[1])


def test_a_generated_image_is_measured_as_the_bytes_of_its_picture() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(images.as_bytes(levels.float() / 127.5 - 1), levels)
    assert images.as_bytes(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_every_setting_of_a_protocol_changes_its_hash_and_the_list_of_metrics_does_not(quality: ImageQuality) -> None:
    changed = {
        field.name: {int: 7, str: "x"}.get(type(getattr(quality.protocol, field.name)), "y")
        for field in dataclasses.fields(Protocol)
    }
    assert "data" in changed and "network" in changed
    hashes = {dataclasses.replace(quality.protocol, **{name: value}).hash for name, value in changed.items()}
    assert len(hashes | {quality.protocol.hash}) == len(changed) + 1
    assert quality_for(quality.data, "evaluation.metrics=[fid]").protocol == quality.protocol
    assert quality.protocol.tag == f"eval_classifier_{quality.protocol.hash}"


def test_truncation_fewer_samples_and_raw_weights_are_other_protocols(quality: ImageQuality) -> None:
    others = [
        quality_for(quality.data, f"evaluation.{setting}").protocol.hash
        for setting in ("truncation=0.5", "n_fake=500", "generator=raw", "seed=1", "n_real=500", "kid_subsets=9")
    ]
    assert len({quality.protocol.hash, *others}) == 7


def test_the_classifier_is_right_trained_once_and_the_same_for_all(digits: Digits, tmp_path: Path) -> None:
    steps: list[object] = []
    hook = register_optimizer_step_pre_hook(lambda optimizer, *_: steps.append(optimizer))
    first = Classifier(digits, None, Cache(str(tmp_path)), CPU)
    assert first.accuracy > 0.95 and steps
    steps.clear()
    again = Classifier(digits, None, Cache(str(tmp_path)), CPU)
    hook.remove()
    assert not steps
    assert again.digest == first.digest and again.accuracy == first.accuracy
    assert torch.equal(again(digits.pixels[:9])[0], first(digits.pixels[:9])[0])
    (kept,) = tmp_path.glob("classifier-*.safetensors")
    assert Classifier(digits, str(kept), Cache(str(tmp_path / "other")), CPU).digest == first.digest


def test_preparing_and_measuring_disturb_no_random_numbers(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "MOST_STEPS", 30)
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path))
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    small = Images(digits.pixels[:300], digits.labels[:300], 10)
    values(quality_for(small, f"evaluation.cache={tmp_path}"), digits.pixels[:300])
    assert torch.equal(torch.rand(2), expected)


def test_a_damaged_file_in_the_cache_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache, made = Cache(str(tmp_path)), []

    def make() -> tuple[dict[str, Tensor], dict[str, str]]:
        made.append(1)
        return {"x": torch.arange(3)}, {"why": "test"}

    for _ in range(2):
        tensors, facts = cache.fetch("thing", {"a": 1}, make)
        assert tensors["x"].tolist() == [0, 1, 2] and facts == {"why": "test"}
    assert len(made) == 1
    cache.fetch("thing", {"a": 2}, make)
    assert len(made) == 2
    for path in tmp_path.glob("thing-*.safetensors"):
        path.write_bytes(path.read_bytes()[:20])
    assert cache.fetch("thing", {"a": 1}, make)[0]["x"].tolist() == [0, 1, 2]
    assert len(made) == 3 and "is damaged" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    tensors, _ = Cache(str(tmp_path / "file" / "cache")).fetch("thing", {}, lambda: ({"x": torch.ones(1)}, {}))
    assert tensors["x"].item() == 1 and "cannot be written" in capsys.readouterr().err


def test_labels_that_mean_nothing_make_no_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "MOST_STEPS", 60)
    noise = torch.randint(256, (400, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(10, (400,), generator=torch.Generator().manual_seed(1))
    with pytest.raises(DataError, match="hardly more than by chance"):
        Classifier(Images(noise, labels, 10), None, Cache(str(tmp_path)), CPU)
    with pytest.raises(ConfigError, match="needs images with labels"):
        Classifier(Images(noise, None, 0), None, Cache(str(tmp_path)), CPU)


def test_a_weights_file_of_something_else_is_refused(digits: Digits, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_text("nothing")
    with pytest.raises(DataError, match="is no classifier's file"):
        Classifier(digits, str(tmp_path / "x.safetensors"), Cache(str(tmp_path)), CPU)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise URLError("no internet")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("GANTRAIN_INCEPTION", raising=False)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


def test_without_inception_weights_one_line_says_what_to_do(digits: Digits, offline: None) -> None:
    with pytest.raises(DataError) as error:
        quality_for(digits, "evaluation=inception")
    text = str(error.value)
    assert "\n" not in text and FILE in text and "evaluation.weights=" in text and "evaluation=classifier" in text


def test_training_goes_on_without_inception_under_another_name(
    digits: Digits, offline: None, capsys: pytest.CaptureFixture[str]
) -> None:
    quality = build_quality(config("evaluation=inception", "evaluation.n_fake=100"), digits, CPU, live=True)
    assert quality is not None and quality.protocol.features == "pixels"
    assert list(quality.gives) == ["sliced_wasserstein", "ms_ssim", "memorised_pixels", "memorised_features"]
    assert "evaluation.weights=" in capsys.readouterr().err
    assert set(values(quality, digits.pixels[:100])) == {"sliced_wasserstein", "ms_ssim", "memorised_pixels"}


def test_a_damaged_download_is_not_used(offline: None, tmp_path: Path) -> None:
    path = tmp_path / "torch" / "hub" / "checkpoints" / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    with pytest.raises(DataError, match="does not start with 6726825d"):
        Inception(None, "tensorflow", CPU)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def test_weights_from_a_stranger_run_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"Conv2d_1a_3x3.conv.weight": Bomb()}, tmp_path / "weights.pth")
    with pytest.raises(DataError, match="holds no weights of this network"):
        Inception(str(tmp_path / "weights.pth"), "tensorflow", CPU)
    assert not (tmp_path / "exploded").exists()


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the file format of the true ones."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    path = tmp_path_factory.mktemp("inception") / "random.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *args, **options: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        net = module.FeatureExtractorInceptionV3("random", ["2048"])
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):  # with torch's own start the features were 1e-8, below any tolerance
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    torch.save(net.state_dict(), path)
    return path


@pytest.mark.thorough  # in short: tests/metrics compares each with torch-fidelity on given features
def test_inception_metrics_agree_with_the_command_line_of_torch_fidelity_on_the_same_folders(
    random_inception: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 20
    monkeypatch.setattr(sys.modules["gantrain.evaluation.prepare"], "LEAST", 10)
    rng = np.random.default_rng(0)
    for name, low in (("fake", 0), ("real", 60)):
        (tmp_path / name).mkdir()
        for k in range(n):
            coarse = rng.integers(low, 256, size=(4, 4, 3)).astype(np.uint8)
            Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(tmp_path / name / f"{k:02d}.png")
    command = f"""--cpu --save-cpu-ram --silent --json --fid --kid --isc --prc --kid-subset-size 10 --kid-subsets 10
        --isc-splits 2 --rng-seed 0 --input1 {tmp_path}/fake --input2 {tmp_path}/real --cache-root {tmp_path}/cache
        --feature-extractor inception-v3-compat --feature-extractor-weights-path {random_inception}"""
    theirs = json.loads(
        subprocess.run(
            [sys.executable, "-m", "torch_fidelity.fidelity", *command.split()], check=True, capture_output=True
        ).stdout
    )

    settings = ["data=image_folder", f"data.root={tmp_path}/real", "evaluation=inception", "evaluation.n_fake=100"]
    settings += [f"evaluation.weights={random_inception}", "evaluation.kid_subset_size=10", "evaluation.kid_subsets=10"]
    settings += ["evaluation.is_splits=2", "evaluation.metrics=[fid,kid,is,precision_recall]"]
    settings += [f"evaluation.cache={tmp_path}/own"]
    from gantrain.data import ImageFolder

    folder = {"size": 32, "fit": "crop", "channels": None, "flip": False, "on_bad": "error", "timeout": 60}
    fake, real = (ImageFolder(str(tmp_path / name), **folder, in_memory=True) for name in ("fake", "real"))
    ours = values(quality_for(real, *settings), fake.at(range(n)))

    assert ours["fid"] > 1
    assert ours["fid"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    # A difference of means of the kernel, which is about 2, of features in float32, right to 1e-7.
    assert ours["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], abs=1e-6)
    assert ours["is"] - 1 == pytest.approx(theirs["inception_score_mean"] - 1, rel=1e-4)
    assert ours["precision"] == pytest.approx(theirs["precision"]) and ours["recall"] == pytest.approx(theirs["recall"])


def test_gray_images_are_repeated(random_inception: Path) -> None:
    gray = torch.randint(256, (1, 1, 16, 16), dtype=torch.uint8)
    for resizer in ("tensorflow", "clean"):
        net = Inception(str(random_inception), resizer, CPU)
        features, logits = net(gray)
        assert features.shape == (1, 2048) and logits.shape == (1, 1008)
        assert torch.equal(features, net(gray.expand(-1, 3, -1, -1))[0])
    with pytest.raises(
        ConfigError, match="resizer must be one of tensorflow, bicubic, clean for inception, got 'none'"
    ):
        Inception(str(random_inception), "none", CPU)


def as_tensorflow_1(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) bytes to (299, 299, 3): bilinear, output pixel i at i·H/299, no antialiasing."""
    for axis in (0, 1):
        side = image.shape[axis]
        place = np.arange(299) * (side / 299)
        low = place.astype(int)
        low_part, high_part = (image.take(k, axis).astype(float) for k in (low, np.minimum(low + 1, side - 1)))
        share = (place - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        image = low_part * (1 - share) + high_part * share
    return image


def as_pillow(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((299, 299), Image.Resampling.BICUBIC)).astype(float)


def as_clean_fid(image: np.ndarray) -> np.ndarray:
    channels = [Image.fromarray(image[:, :, k].astype(np.float32)) for k in range(3)]
    assert {channel.mode for channel in channels} == {"F"}
    resized = [np.asarray(channel.resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255) for channel in channels]
    return np.stack(resized, 2).astype(float)


@pytest.mark.parametrize("side", [17, 420])
def test_each_resizer_gives_the_network_what_its_definition_says(random_inception: Path, side: int) -> None:
    image = np.random.default_rng(0).integers(256, size=(side, side, 3)).astype(np.uint8)
    seen: dict[str, np.ndarray] = {}
    for name, expected in (("tensorflow", as_tensorflow_1), ("bicubic", as_pillow), ("clean", as_clean_fid)):
        net = Inception(str(random_inception), name, CPU)
        first = net.net.Conv2d_1a_3x3
        first.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0][0].numpy()}))
        net(torch.from_numpy(image).permute(2, 0, 1)[None])
        # float32 positions up to 420 are right to 420/2²³ = 5e-5 pixels, and neighbours differ by up to 255, on 2 axes.
        np.testing.assert_allclose(seen[name].transpose(1, 2, 0) * 128 + 128, expected(image), atol=0.026, rtol=0)
    # Pillow rounds and clips bytes after each of two passes; one rounding is a quarter of a level off on average.
    assert 0.25 < abs(seen["clean"] - seen["bicubic"])[abs(seen["clean"]) < 1].mean() * 128 < 0.5
    assert abs(seen["clean"] - seen["tensorflow"]).mean() * 128 > 5


def test_the_clean_resizer_changes_nothing_behind_the_resizing(random_inception: Path) -> None:
    image = torch.randint(256, (2, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain, clean = (Inception(str(random_inception), name, CPU)(image) for name in ("tensorflow", "clean"))
    for ours, theirs in zip(clean, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_resizer_is_part_of_the_protocol(random_inception: Path, digits: Digits) -> None:
    found = {}
    for name in ("tensorflow", "bicubic", "clean"):
        settings = config("evaluation=inception", f"evaluation.resizer={name}").evaluation
        net = Inception(str(random_inception), settings.resizer, CPU)
        found[name] = protocol_of(settings, digits, "pixels", net, 100, 100)
    assert len({protocol.hash for protocol in found.values()}) == 3
    assert all(str(protocol).endswith(f", resizer {name}") for name, protocol in found.items())
    assert config("evaluation=inception").evaluation.resizer == "tensorflow"


@pytest.mark.thorough
def test_stacked_digits_have_a_thousand_modes_that_are_counted() -> None:
    data = Stacked(Digits(), 26_000)
    quality = quality_for(data, "data=stacked_digits", "evaluation.metrics=[modes,fid]")
    true = values(quality, data.at(range(26_000)))
    assert true["modes"] == 1000 and true["mode_kl"] < 0.05 and abs(true["fid"]) < 1e-6
    zeros = (data.parts.labels == 0).nonzero()[:, 0].numpy()
    one_digit = np.stack([np.random.default_rng(k).choice(zeros, 500) for k in range(3)], 1)
    collapsed = values(quality, data.stack(one_digit))
    assert collapsed["modes"] <= 5 and collapsed["mode_kl"] == pytest.approx(np.log(1000), abs=0.2)
    with pytest.raises(ConfigError, match="is needs one class per image"):
        quality_for(data, "data=stacked_digits", "evaluation.metrics=[is]")


def test_points_of_the_true_mixture_are_perfect_and_of_one_mode_are_not() -> None:
    data = Ring(8, 2.0, 0.02)
    quality = quality_for(data, "data=ring")
    assert isinstance(quality, PointQuality)
    true = quality.measure([torch.from_numpy(data.sample(10_000, np.random.default_rng(9))[0])]).values
    assert true["modes"] == 8 and true["high_quality"] > 0.98 and true["mode_kl"] < 0.002
    assert true["w2"] < 2 * true["w2_of_real"] and true["sliced_wasserstein"] < 0.2
    one = quality.measure([torch.randn(10_000, 2) * 0.02 + torch.tensor([2.0, 0.0])]).values
    assert one["modes"] == 1 and one["mode_kl"] == pytest.approx(np.log(8), abs=1e-3)
    assert one["w2"] == pytest.approx(np.sqrt(8), rel=0.05)  # mean squared distance from (2, 0) to the circle: 2·2²
    assert one["sliced_wasserstein"] > 10 * true["sliced_wasserstein"]


def test_points_of_a_curve_are_perfect_and_those_of_a_part_of_it_are_not() -> None:
    data = Moons(0.05)
    quality = quality_for(data, "data=moons")
    points, arm = (torch.from_numpy(x) for x in data.sample(10_000, np.random.default_rng(9)))
    true = quality.measure([points], asked=arm).values
    assert true["modes"] == true["modes_of_data"] == 2 and true["high_quality"] > 0.99 and true["mode_kl"] < 0.001
    assert true["curve_covered"] == 1 and true["conditional_accuracy"] > 0.99
    one = quality.measure([points[arm == 0]], asked=1 - arm[arm == 0]).values
    assert one["modes"] == 1 and one["mode_kl"] == pytest.approx(np.log(2), abs=0.01)
    assert one["curve_covered"] == pytest.approx(0.5, abs=0.02) and one["conditional_accuracy"] < 0.01
    left = quality.measure([points[points[:, 0] < -0.5]]).values  # 60 degrees of the outer moon's 180
    assert left["curve_covered"] == pytest.approx(1 / 6, abs=0.03)
    off = quality.measure([points + torch.tensor([0.0, 5.0])]).values
    assert off["high_quality"] == off["modes"] == off["curve_covered"] == 0 and "mode_kl" not in off


def test_modes_in_ten_dimensions_are_found_where_three_deviations_would_leave_half_out() -> None:
    data = Gaussians(10, 10, 2.0, 1.0, 0.05, 0)
    quality = quality_for(data, "data=gaussians", "data.dimensions=10")
    true = quality.measure([torch.from_numpy(data.sample(10_000, np.random.default_rng(9))[0])]).values
    assert true["modes"] == 10 and true["high_quality"] == pytest.approx(0.989, abs=0.004) and true["mode_kl"] < 0.003
    assert "curve_covered" not in true
    wide = quality.measure([torch.from_numpy(data.sample(10_000, np.random.default_rng(9))[0]) * 2]).values
    assert wide["modes"] == 0


def test_more_planted_noise_and_fewer_modes_move_points_away() -> None:
    data = Ring(8, 2.0, 0.02)
    quality = quality_for(data, "data=ring")
    points, component = data.sample(10_000, np.random.default_rng(5))
    noise = np.random.default_rng(6).standard_normal(points.shape).astype(np.float32)
    for course in (
        [points + 0.6 * k * noise for k in range(4)],
        [points[component < 8 - 2 * k] for k in range(4)],
    ):
        found = [quality.measure([torch.from_numpy(samples)]).values for samples in course]
        for name in ("w2", "sliced_wasserstein"):
            values = [level[name] for level in found]
            assert values == sorted(values) and values[-1] > 2 * values[0]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["evaluation=points"], "modes needs data whose modes are known"),
        (["evaluation.metrics=[fdi]"], "fdi is not measured on images; there are fid,"),
        (["evaluation.best=fdi"], "evaluation.best=fdi is not measured; there are fid,"),
        (["evaluation.split=test"], "this data set has no splits"),
        (["evaluation.features=inceptoin"], "must be one of inception, classifier"),
        (["evaluation=pixels", "evaluation.metrics=[fid]"], "fid needs evaluation.features=classifier or inception"),
        (["evaluation=pixels", "evaluation.best=fid"], "evaluation.best=fid is not measured; there are"),
        (["evaluation=pixels", "evaluation.weights=x.pth"], "no network is used"),
        (["evaluation.k_precision_recall=2000"], "must be below the number of samples, 1797"),
        (["evaluation.is_splits=500"], "1797 samples have at most 179"),
        (["evaluation.seed=5000000000"], r"must be below 2\^32"),
        (["evaluation.n_fake=10"], "evaluation.n_fake must be 100 or more"),
        (["evaluation.truncation=0"], "evaluation.truncation must be above 0"),
        (["evaluation.generator=g"], "must be one of ema, raw"),
        (["evaluation.n_fakes=3"], "n_fakes"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(digits: Digits, settings: list[str], words: str) -> None:
    with pytest.raises((ConfigError, HydraException), match=words):
        quality_for(digits, *settings)


def test_pixel_metrics_of_a_folder_need_no_labels(digits: Digits) -> None:
    unlabelled = Images(digits.pixels, None, 0)
    found = values(quality_for(unlabelled, "evaluation=pixels"), fresh(digits))
    assert set(found) == {"sliced_wasserstein", "ms_ssim", "memorised_pixels"}
    with pytest.raises(ConfigError, match="needs images with labels"):
        quality_for(unlabelled)


def test_another_split_is_compared_with_and_copies_are_looked_for_in_the_training_set(
    digits: Digits, tmp_path: Path
) -> None:
    padded = nn.functional.pad(digits.pixels, (10, 10, 10, 10))  # digits of 8×8 in the files of MNIST
    write_mnist(tmp_path, train=(padded[500:], digits.labels[500:]), test=(padded[:500], digits.labels[:500]))
    where = ("data=mnist", f"data.root={tmp_path}", "data.download=false", "data.size=28", "data.check_count=false")
    cfg = config(*where, "evaluation=pixels", "evaluation.split=test")
    training = build_data(cfg)
    quality = build_quality(cfg, training, CPU)
    assert quality is not None and quality.protocol.split == "test" and quality.protocol.n_real == 500
    found = values(quality, padded[500:900])
    assert found["memorised_pixels"] == 1 and found["sliced_wasserstein"] > 0.0005
    assert values(quality, padded[:500])["sliced_wasserstein"] < 1e-6


def test_an_evaluation_stops_when_asked(digits: Digits, quality: ImageQuality) -> None:
    from gantrain.evaluation.result import Interrupted

    asked = iter([False, False, True])

    def endless() -> Iterator[Tensor]:
        while True:
            yield torch.zeros(10, 1, 8, 8)

    with pytest.raises(Interrupted):
        quality.measure(endless(), lambda: next(asked))


def test_best_final_and_median_are_taken_over_the_steps() -> None:
    found = {10 * k: {"fid": v, "is": 10 - v} for k, v in enumerate([9.0, 4.0, 5.0, 2.0, 8.0, 7.0, 6.0], 1)}
    summary = History(BETTER, "fid", found).summary()
    assert summary["best"] == {"step": 40, "fid": 2.0, "is": 8.0}
    assert summary["final"] == {"step": 70, "fid": 6.0, "is": 4.0}
    assert summary["median_of_last_5"] == {"fid": 6.0, "is": 4.0}
    assert History(BETTER, "is", found).best_step() == 40  # the highest
    assert History(BETTER, "fid", {10: {"fid": 1.0}, 20: {"fid": 1.0}}).best_step() == 20
    assert History(BETTER, None, found).summary()["best"] is None and History(BETTER, "fid").summary() == {}


def test_every_protocol_file_composes_and_its_metrics_exist() -> None:
    from gantrain.evaluation import points, table

    for path in sorted((CONFIGS / "evaluation").glob("*.yaml")):
        settings = config(f"evaluation={path.stem}").evaluation
        assert set(settings.metrics) <= set(images.METRICS) | set(points.METRICS) | set(table.METRICS), path
        assert settings.best is None or settings.best in ranked(directions(config(f"evaluation={path.stem}"))), path


def test_numbers_of_two_data_sets_never_share_a_hash(digits: Digits) -> None:
    rings = [quality_for(Ring(8, radius, 0.02), "data=ring").protocol.hash for radius in (2.0, 3.0)]
    parts = [Images(digits.pixels[k : k + 300], digits.labels[k : k + 300], 10) for k in (0, 300)]
    pixels = [quality_for(part, "evaluation=pixels").protocol.hash for part in parts]
    stacks = [Stacked(digits, count) for count in (200, 300)]
    assert len({*rings, *pixels}) == 4 and stacks[0].identity() != stacks[1].identity()
    relabelled = Images(digits.pixels, digits.labels.flip(0), 10)
    assert relabelled.identity() != digits.identity() and relabelled.fingerprint() == digits.fingerprint()


def test_files_rewritten_in_place_are_looked_at_again(tmp_path: Path) -> None:
    from gantrain.data import ImageFolder

    options = {"size": 8, "fit": "crop", "channels": None, "flip": False, "on_bad": "error", "timeout": 60}
    freshness = []
    for value in (0, 200):
        for k in range(3):
            Image.fromarray(np.full((8, 8), value + k, dtype=np.uint8)).save(tmp_path / f"{k}.bmp")
        freshness.append(ImageFolder(str(tmp_path), **options, in_memory=True).freshness())
    assert freshness[0] != freshness[1]


def test_copies_are_looked_for_among_all_training_images_also_in_feature_space(digits: Digits) -> None:
    quality = quality_for(digits, "evaluation.n_real=300", "evaluation.metrics=[fid,memorised]")
    found = values(quality, digits.pixels[:200])
    assert found["memorised_pixels"] == found["memorised_features"] == 1


def test_large_images_are_looked_at_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # From outside only the process's peak of memory shows it, and that depends on the allocator and on earlier tests;
    # tests/learns/test_memory.py measures it with 50,000 samples.
    from gantrain.metrics import memorisation

    reference = sys.modules["gantrain.evaluation.reference"]
    seen: dict[str, int] = {}

    def watched(name: str, sizes: Tensor) -> None:
        seen[name] = max(seen.get(name, 0), sizes.numel())

    closest, numbers = memorisation.closest, 3 * 256**2
    monkeypatch.setattr(images, "ms_ssim", lambda a, b: watched("pairs", a) or torch.ones(len(a)))
    monkeypatch.setattr(memorisation, "closest", lambda q, b, own: watched("queries", q) or closest(q, b, own))
    pixels = reference.pixels
    monkeypatch.setattr(reference, "pixels", lambda x: watched("real", x) or pixels(x))
    data = Images(torch.randint(256, (110, 3, 256, 256), dtype=torch.uint8), None, 0)
    quality = quality_for(data, "evaluation=pixels", "evaluation.slices=4")
    values(quality, data.pixels[:100])
    assert seen["pairs"] == numbers and seen["queries"] <= 2**22 and seen["real"] <= 2**23


def twice(folder: Path, log: Path) -> None:
    def make() -> tuple[dict[str, Tensor], dict[str, str]]:
        with log.open("a") as file:
            file.write("made\n")
        until(lambda: len(list(log.parent.glob("here-*"))) == 2)  # the other has come too, while this one makes it
        return {"x": torch.ones(2)}, {}

    (log.parent / f"here-{os.getpid()}").touch()
    assert Cache(str(folder)).fetch("thing", {"a": 1}, make)[0]["x"].tolist() == [1, 1]


@pytest.mark.thorough
def test_a_second_process_waits_for_the_first_instead_of_making_its_own(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=twice, args=(tmp_path / "cache", tmp_path / "log")) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(GUARD)
    assert [process.exitcode for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "made\n"


@pytest.mark.parametrize(("seconds", "warns"), [(11.0, True), (4.0, False), (9.0, False)])
def test_an_evaluation_that_takes_long_is_warned_of(
    seconds: float, warns: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    from types import SimpleNamespace

    from gantrain.cli.summary import evaluation

    live = SimpleNamespace(seconds=seconds, protocol="p", history=History(BETTER, "fid", {1: {"fid": 2.0}}))
    assert f"It took {seconds:.1f} s" in evaluation(live, 100.0)
    assert ("a larger evaluation.every" in capsys.readouterr().err) == warns


def test_a_value_that_the_last_evaluation_lacks_has_an_empty_place_in_the_table() -> None:
    from types import SimpleNamespace

    from gantrain.cli.summary import evaluation

    history = History(BETTER, "fid", {1: {"fid": 2.0, "is": 5.0}, 2: {"fid": 3.0}})
    assert history.summary()["median_of_last_5"] == {"fid": 2.5, "is": 5.0}
    table = evaluation(SimpleNamespace(seconds=1.0, protocol="p", history=history), 100.0)
    assert [line.split() for line in table.splitlines() if line.split()[0] == "is"] == [["is", "5", "5"]]


def test_a_file_of_the_cache_is_made_behind_a_lock(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))

    def locked() -> str:
        (path,) = tmp_path.glob(".*.lock")
        ask = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        return subprocess.run([sys.executable, "-c", ask, path], capture_output=True, text=True).stderr

    seen = []
    cache.fetch("thing", {}, lambda: (seen.append(locked()), ({"x": torch.ones(1)}, {}))[1])
    assert "BlockingIOError" in seen[0]  # another process has to wait while it is made
    assert locked() == ""


def small(classes: int, side: int = 8, n: int = 400) -> Images:
    """Images of a class each, which differ in brightness."""
    labels = torch.arange(n) % classes
    noise = torch.randint(0, 40, (n, 1, side, side), generator=torch.Generator().manual_seed(0))
    return Images((noise + labels[:, None, None, None] * (200 // classes)).to(torch.uint8), labels, classes)


def test_two_classes_are_enough_for_a_classifier_which_is_a_function_of_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gantrain.evaluation.classifier.MOST_STEPS", 20)
    digests = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        classifier = Classifier(small(2), None, Cache(str(tmp_path / str(seed))), torch.device("cpu"))
        digests.append(classifier.digest)
    assert digests[0] == digests[1]
    with pytest.raises(ConfigError, match="needs images with labels"):
        Classifier(small(1), None, Cache(str(tmp_path)), torch.device("cpu"))


def test_images_larger_than_64_are_averaged_down_for_the_classifier() -> None:
    images = torch.randint(0, 256, (2, 3, 128, 128), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    means = images.float().reshape(2, 3, 64, 2, 64, 2).mean((3, 5)) / 127.5 - 1
    torch.testing.assert_close(prepared(images), means)
    assert prepared(images[:, :1]).shape == (2, 1, 64, 64) and prepared(images[..., :64, :64]).shape == (2, 3, 64, 64)
