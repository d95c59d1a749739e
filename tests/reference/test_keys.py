"""The catalogue of settings says what Hydra composes, and leaves out no option and no key."""

from __future__ import annotations

from functools import cache

import pytest
import yaml
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from gantrain.reference import Catalogue
from gantrain.reference.keys import COMMANDS, in_words, range_in_words, type_in_words
from gantrain.run.identity import flat
from tests.conftest import CONFIGS


@cache
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.mark.parametrize("command", ["train", "theory", "sample", "export", "inspect"])
def test_every_key_that_hydra_composes_is_there_with_its_default(command: str) -> None:
    with initialize_config_module("gantrain.configs", version_base="1.3"):
        composed = OmegaConf.to_container(compose(command))
    assert isinstance(composed, dict)
    keys = catalogue().keys(command)
    values = {key: value for key, value in flat(composed) if not key.endswith("_target_") and value != {}}
    assert len(values) > 5
    for key, value in values.items():
        found = keys[key].default
        assert found is not None, key
        refers = isinstance(value, str) and value.startswith("${")
        assert found == in_words(value, key) if refers or value == "???" else yaml.safe_load(found) == value, key


def test_every_yaml_file_is_an_option_of_a_group() -> None:
    files = {p.relative_to(CONFIGS).with_suffix("").as_posix() for p in CONFIGS.glob("*/**/*.yaml")}
    known = {f"{group}/{name}" for group, options in catalogue().groups.items() for name in options}
    assert known == {name for name in files if not name.startswith("hydra/help/")}


def test_every_setting_has_a_meaning_and_every_option_a_heading() -> None:
    for command in COMMANDS:
        for key in catalogue().keys(command).values():
            said = key.meaning or all(
                setter.line.comment or setter.option.group == "experiment" for setter in key.setters
            )
            # What an experiment schedules stands in its file as one line, and its heading says what it is.
            assert said or key.name.startswith("schedule."), f"{command}: {key.name}"
    for group, options in catalogue().groups.items():
        assert catalogue().meaning_of(group), group
        assert all(option.heading for option in options.values()), group


def test_types_and_ranges_come_from_schema_and_classes() -> None:
    keys = catalogue().keys("train")
    told = {name: (keys[name].kind, keys[name].range) for name in keys}
    assert told["ema.halflife_images"] == ("number", "0 or more")
    assert told["batch_size_g"] == ("whole number, or null", "1 or more, below 2^31")
    assert told["nonfinite.policy"] == ("text", "stop | rollback")
    assert told["distributed.timeout"] == ("number", "above 0 and finite")
    assert told["loss.regularizers.gp.weight"] == ("number", "")  # gantrain.regularizers.GradientPenalty
    assert told["architecture.generator.width"] == ("whole number", "")  # gantrain.architectures.dcgan.Generator
    assert told["optimizer.g.betas"] == ("list", "")  # torch's class: as the value
    assert catalogue().keys("eval")["evaluation.n_fake"].range == "100 or more, below 2^31"


def test_values_types_and_ranges_are_put_into_words() -> None:
    assert in_words("${..g.lr}", "optimizer.d.lr") == "that of optimizer.g.lr"
    assert (
        in_words('${oc.env:GANTRAIN_CACHE,"~/.cache/gantrain"}', "evaluation.cache")
        == "~/.cache/gantrain, or $GANTRAIN_CACHE"
    )
    assert in_words("???", "data.root") == "to be given"
    assert type_in_words("tuple[float, float] | None") == "list, or null"
    assert type_in_words("nn.Module") == ""
    assert range_in_words({"at_least": 2, "below": 2**53}) == "2 or more"
