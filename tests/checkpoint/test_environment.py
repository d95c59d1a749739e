"""What a bit-exact repetition depends on."""

from __future__ import annotations

from pathlib import Path

import torch

from gantrain.checkpoint.environment import changes, environment, processor

NOW = environment(torch.device("cpu"), "digits")


def test_a_processor_is_told_by_its_name_and_numbers(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    first = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nstepping\t: 1\n"
    info.write_text(f"{first}\nprocessor\t: 1\nmodel name\t: another\n")
    assert processor(info) == "AMD EPYC 25.17.1"
    info.write_text("Hardware\t: a board\n")
    assert processor(info) and processor(tmp_path / "none")
    assert NOW["processor"] == processor()


def test_another_processor_makes_a_resume_inexact_even_with_the_same_instructions() -> None:
    assert changes(NOW, NOW) == []
    assert changes(NOW | {"processor": "X 1.2.3"}, NOW) == [f"processor X 1.2.3 → {NOW['processor']}"]
    assert changes(NOW | {"threads": 99}, NOW) == [f"threads 99 → {NOW['threads']}"]


def test_a_checkpoint_that_does_not_name_its_processor_is_compared_by_the_rest() -> None:
    before = {key: value for key, value in NOW.items() if key != "processor"}
    assert changes(before, NOW) == []
    assert changes(before | {"cpu": "AVX9"}, NOW) == [f"cpu AVX9 → {NOW['cpu']}"]
