"""A YAML file of settings is read with its comments, as Hydra would read its values."""

from __future__ import annotations

from pathlib import Path

import pytest

from gantrain.errors import ConfigError
from gantrain.reference import read

FILE = """# @package _global_
# A loss of mine. Me 2026.
defaults:
  - override /ratio@_global_.ratio: 5to1  # n_critic
  - other
  - _self_
loss:  # what I minimise
  _target_: gantrain.losses.Loss
  objective: {_target_: mine.Mine, slope: 0.2}  # of the leak, a # in it
  # above the key
  margin: 1.0
  words: ["a # b", c]  # two
  several:  # lines
    [1,
     2]  # of a list
note: "x # y"
"""


def test_values_comments_classes_and_defaults_of_a_file_are_found(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(FILE)
    option = read(tmp_path / "mine.yaml", "loss")
    assert (option.label, option.heading) == ("loss=mine", ["A loss of mine. Me 2026."])
    assert [(b.group, b.option, b.comment) for b in option.brings] == [("ratio", "5to1", "n_critic")]
    assert option.base == ["other"] and option.self_last
    assert {key: (line.value, line.comment) for key, line in option.lines.items()} == {
        "loss.objective.slope": ("0.2", "of the leak, a # in it"),
        "loss.margin": ("1.0", "above the key"),
        "loss.words": ('["a # b", c]', "two"),
        "loss.several": ("[1, 2]", "of a list"),
        "note": ('"x # y"', ""),
    }
    assert option.lines["loss.objective.slope"].target == "mine.Mine"
    assert option.targets == {"loss": "gantrain.losses.Loss", "loss.objective": "mine.Mine"}
    assert option.sections == {"loss": "what I minimise"}


def test_a_file_without_a_package_line_sets_what_lies_under_its_group(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("# Mine.\nn_jobs: 2  # at once\n")
    assert list(read(tmp_path / "mine.yaml", "hydra/launcher").lines) == ["hydra.launcher.n_jobs"]


@pytest.mark.parametrize(
    ("content", "reason"), [(b"a: [1", "no YAML"), (b"a: \xff", "no YAML"), (b"a: &x {b: *x}\n", "holds itself")]
)
def test_a_file_that_is_none_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"bad\.yaml .*{reason}"):
        read(tmp_path / "bad.yaml", "loss")
