"""Data sets of torch as data: what is learnt of them, repeated of them, and refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from gantrain.data import Digits, TorchDataset, adapted
from gantrain.errors import ConfigError, DataError

CPU = torch.device("cpu")
PIXELS = torch.randint(256, (40, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Listed(Dataset):
    """What it was given, as it is."""

    def __init__(self, samples: Any) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, k: int) -> Any:
        found = self.samples[k]
        if isinstance(found, Exception):
            raise found
        return found


class Noisy(Listed):
    """Adds noise that comes from all three generators."""

    def __getitem__(self, k: int) -> torch.Tensor:
        noise = 0.1 * torch.rand(()) + 0.1 * np.random.rand() + 0.1 * random.random()
        return (self.samples[k] * 0.5 + noise).clamp(0, 1)


def batches(data: TorchDataset, n: int, seed: int = 0, start: int = 0) -> list[torch.Tensor]:
    stream = data.stream(8, seed, CPU)
    stream.load_state_dict({"position": start})
    return [stream.next()[0] for _ in range(n)]


@pytest.mark.parametrize(
    ("samples", "low", "high"),
    [
        (PIXELS, 0, 255),
        (PIXELS / 255, 0, 1),
        (PIXELS / 127.5 - 1, -1, 1),
        ([pixels.numpy() for pixels in PIXELS], 0, 255),
        ([(pixels.double() / 255,) for pixels in PIXELS], 0, 1),
    ],
)
def test_images_of_every_usual_range_give_the_same_batches(samples: Any, low: float, high: float) -> None:
    data = TorchDataset(Listed(samples))
    assert data.shape == (3, 8, 8) and (data.found.low, data.found.high) == (low, high) and data.classes == 0
    assert torch.equal(data.at([3, 1]), PIXELS[[3, 1]]) and torch.equal(torch.cat([*data.once(7)]), PIXELS)
    reference = batches(TorchDataset(Listed(PIXELS)), 7)
    for ours, theirs in zip(batches(data, 7), reference, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
        assert ours.is_contiguous(memory_format=torch.channels_last)


def test_points_are_taken_as_they_are_and_signals_are_scaled() -> None:
    points = torch.randn(20, 5, dtype=torch.float64) * 100
    data = TorchDataset(TensorDataset(points))
    assert data.shape == (5,) and data.kind.name == "points" and torch.equal(data.at(range(20)), points.float())
    signals = TorchDataset(Listed(torch.rand(20, 2, 16)))
    assert signals.kind.name == "signals" and batches(signals, 1)[0].min() < -0.8


def test_labels_and_names_of_classes_are_its_own() -> None:
    labels = [0, np.int64(2), torch.tensor(1), torch.tensor([2])] * 10
    dataset = Listed([*zip(PIXELS, labels, strict=True)])
    assert TorchDataset(dataset).class_names == ("0", "1", "2")
    dataset.classes = ["cat", "dog", "owl", "none"]
    data = TorchDataset(dataset)
    assert data.classes == 4 and data.labels[:4].tolist() == [0, 2, 1, 2]
    part = TorchDataset(dataset, classes=["owl", "cat"])
    assert part.count == 30 and part.labels[:3].tolist() == [1, 0, 0] and torch.equal(part.at([1]), PIXELS[[1]])
    few = TorchDataset(dataset, classes=["owl", "cat"], limit=6, in_memory=False)
    held = TorchDataset(dataset, classes=["owl", "cat"], limit=6)
    assert torch.equal(few.at(range(6)), held.at(range(6))) and few.fingerprint() == held.fingerprint()
    assert few.fingerprint() != part.fingerprint()
    stream = few.stream(6, 0, CPU)
    x, y = stream.next()
    found = {tuple(image.flatten().tolist()): int(label) for image, label in zip(x, y, strict=True)}
    both = (few.at(range(6)).float() / 127.5 - 1, few.labels)
    assert found == {tuple(image.flatten().tolist()): int(label) for image, label in zip(*both, strict=True)}


def test_what_is_drawn_in_a_sample_depends_on_seed_and_position_alone() -> None:
    data = TorchDataset(Noisy(PIXELS / 255))
    assert data.samples is None
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    whole = batches(data, 8)
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[2]
    assert np.random.get_state()[1].tolist() == states[1]
    torch.rand(3), np.random.rand(), random.random()
    assert all(torch.equal(a, b) for a, b in zip(batches(data, 3, start=5), whole[5:], strict=True))
    assert not torch.equal(batches(data, 1, seed=1)[0].sum(), whole[0].sum())
    assert torch.equal(data.at([2]), data.at([2])) and data.fingerprint() == TorchDataset(data.dataset).fingerprint()
    first, again = (torch.cat(batches(data, 5, start=start)).sum(0) for start in (0, 5))
    assert not torch.equal(first, again)  # another epoch of the same images has other noise


def test_each_sample_is_asked_for_a_few_times_only_if_they_are_held() -> None:
    asked = []

    class Counted(Listed):
        def __getitem__(self, k: int) -> Any:
            asked.append(k)
            return super().__getitem__(k)

    data = TorchDataset(Counted(PIXELS))
    assert len(asked) == 16 + 4 + 40
    batches(data, 9), data.at(range(40))
    assert len(asked) == 60
    batches(TorchDataset(Counted(PIXELS), in_memory=False), 2)
    assert len(asked) == 60 + 60 + 16


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([{"image": 1, "label": 2}], r"\[0\] gives a dictionary \(image, label\); return \(sample, label\)"),
        ([Image.new("RGB", (8, 8))], r"gives a PIL image; .*PILToTensor\(\)"),
        ([(1, 2, 3)], "gives 3 things"),
        (["text"], "gives a str; a tensor or an array"),
        ([torch.zeros(3, 8, 8, dtype=torch.complex64)], "gives a Tensor; a tensor or an array of real numbers"),
        ([torch.zeros(())], r"of shape \(\)"),
        ([torch.zeros(2, 3, 4, 5)], r"of shape \(2, 3, 4, 5\)"),
        ([torch.zeros(8, 8, 3)], r"the channels come first: permute\(2, 0, 1\)"),
        ([*PIXELS[:20], torch.zeros(3, 9, 8)], r"Listed\[20\] has the shape \(3, 9, 8\), and the first \(3, 8, 8\)"),
        ([*(PIXELS[:20] / 255), -torch.ones(3, 8, 8)], r"Listed\[20\] reaches from -1 to -1, beyond \[0, 1\]"),
        ([PIXELS[0].float()], r"reaches from .* to 25\d, beyond \[0, 1\]"),
        ([torch.full((3, 8, 8), float("nan"))], "not finite"),
        ([(PIXELS[0], 1), (PIXELS[1],)], r"Listed\[1\] has no label, unlike the first"),
        ([(PIXELS[0], 0.5)], r"has the label 0\.5; a whole number"),
        ([(PIXELS[0], -1)], "has the label -1"),
        ([(PIXELS[0], torch.zeros(10))], r"has the label of shape \(10,\)"),
        ([*PIXELS[:20], ValueError("no such file")], r"Listed\[20\] fails: ValueError: no such file"),
        ([], "Listed has no samples"),
    ],
)
def test_a_wrong_contract_is_one_sentence(samples: list, words: str) -> None:
    with pytest.raises(DataError, match=words):
        TorchDataset(Listed(samples))


def test_other_objects_are_refused_and_data_stays_data() -> None:
    class Endless(IterableDataset):
        def __iter__(self) -> Any:
            return iter([])

    with pytest.raises(ConfigError, match=r"Endless is neither .* an iterable one cannot go on where a run stopped"):
        adapted(Endless())
    with pytest.raises(ConfigError, match=r"data\.in_memory"):
        TorchDataset(Listed(PIXELS), in_memory="no")
    assert isinstance(adapted(digits := Digits()), Digits) and adapted(digits) is digits
    assert isinstance(adapted(TensorDataset(PIXELS)), TorchDataset)


CODE = """
import torch

class Mine(torch.utils.data.Dataset):
    classes = ["low", "high"]

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, k):
        return (torch.full((1, 8, 8), 0.2 + 0.6 * (k % 2)) + 0.1 * torch.rand(1, 8, 8)), k % 2
"""


def test_the_command_trains_on_a_data_set_by_its_name_and_goes_on_bit_for_bit(
    tmp_path: Path, gantrain: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"mine_{tmp_path.name[-6:]}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    mine = ("data=dataset", f"data.dataset._target_={name}.Mine", "+data.dataset.n=64", f"trusted_modules=[{name}]")
    rest = (*mine, "evaluation=none", "batch_size=8", "device=cpu", "conditioning=projection")
    run = gantrain(*rest, "total_steps=6", "run.dir=whole")
    assert run.exit_code == 0 and "Mine of 64 samples 1×8×8, 2 classes" in run.out, run.out + run.err
    assert "other ones each time" in run.err
    assert gantrain(*rest, "total_steps=3", "run.dir=parts").exit_code == 0
    longer = gantrain(*rest, "total_steps=6", "run.dir=parts")
    assert "resumed       from step 3 (same torch" in longer.out, longer.out + longer.err
    both = [tmp_path / name / "checkpoints" / "step-000000006" / "state.safetensors" for name in ("whole", "parts")]
    assert both[0].read_bytes() == both[1].read_bytes()
    assert gantrain(*mine[:2], "evaluation=none").exit_code == 2  # not trusted


class Rare(Listed):
    """Turns one sample in a thousand."""

    def __getitem__(self, k: int) -> torch.Tensor:
        return self.samples[k].flip(2) if torch.rand(()) < 0.001 else self.samples[k]


def test_a_change_that_is_rare_is_known_by_the_number_that_it_draws() -> None:
    assert TorchDataset(Rare(PIXELS)).samples is None
    assert TorchDataset(Rare(PIXELS), in_memory=True).samples is not None


def test_a_sample_that_draws_is_noticed_wherever_it_lies() -> None:
    class Late(Listed):
        def __getitem__(self, k: int) -> torch.Tensor:
            return self.samples[k].flip(2) if k == 33 and random.random() < 0.5 else self.samples[k]

    data = TorchDataset(Late(PIXELS))
    assert data.samples is None and len({data._get(33, (2, k)).x.sum().item() for k in range(9)}) == 1
    assert {tuple(data._get(33, (2, k)).x.flatten().tolist()) for k in range(9)} == {
        tuple(x.flatten().tolist()) for x in (PIXELS[33], PIXELS[33].flip(2))
    }
