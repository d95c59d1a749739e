"""What the settings of all sets of image files have in common."""

from __future__ import annotations

import inspect
import sys
import types
from typing import get_type_hints

import pytest

from gantrain.data import HuggingFace
from gantrain.data.form import Formed, FormedFiles
from gantrain.data.subset import choose
from gantrain.errors import ConfigError
from tests.conftest import config

NEEDED = {"image_folder": ["data.root=x"], "huggingface": ["data.name=x"], "celeba": [], "imagenet": [], "lsun": []}
OPAQUE = ("celeba", "imagenet", "lsun")


@pytest.mark.parametrize("option", NEEDED)
def test_the_yaml_states_every_setting_of_the_class(option: str) -> None:
    cfg = config(f"data={option}", *NEEDED[option]).data
    kind = getattr(__import__("gantrain.data", fromlist=["x"]), cfg._target_.rpartition(".")[2])
    own = inspect.signature(kind).parameters
    known = {**inspect.signature(choose).parameters, **inspect.signature(FormedFiles).parameters, **own}
    settings = {key: known[key] for key in {*own, *get_type_hints(Formed)} - {"formed"}}
    unneeded = {"background"} if option in OPAQUE else set()
    assert set(cfg) - {"_target_"} == set(settings) - unneeded
    for key in set(settings) - unneeded - {"classes"}:
        default = settings[key].default
        assert default is inspect.Parameter.empty or cfg[key] == default, key


@pytest.mark.parametrize("version", [None, "3.6.0"])
def test_without_the_library_or_with_one_that_may_run_code_the_extra_is_named(
    version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = types.ModuleType("datasets")
    old.__version__ = version  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", None if version is None else old)
    with pytest.raises(ConfigError, match=r"data=huggingface needs the package datasets.*'gantrain\[huggingface\]'"):
        HuggingFace("x/y", "train", None, None, None)
