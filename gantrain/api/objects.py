"""Objects of the caller's in place of options: data, networks, losses, callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gantrain.errors import ConfigError

KEYS = ("data", "generator", "discriminator", "loss")
"""Arguments that may be objects; callbacks always are, and may be chosen by name too."""
FOR_KINDS = {
    "points": ("architecture=mlp", "evaluation=table"),
    "signals": ("architecture=conv1d", "evaluation=signals"),
    "images": ("evaluation=pixels",),
}
"""Options that suit samples of a kind, where the caller has chosen no others."""


def taken(settings: dict[str, Any]) -> dict[str, Any]:
    """Take the objects out of the caller's settings, as gantrain calls them.

    Raises:
        ConfigError: for an object that cannot be what it is given for.
    """
    objects: dict[str, Any] = {}
    for key in KEYS:
        if key in settings and not isinstance(settings[key], str | Mapping):
            objects[key] = fitting(key, settings.pop(key))
    return objects


def fitting(key: str, given: Any) -> Any:
    """Return an object as gantrain uses it; raise ConfigError where it cannot."""
    from gantrain.build.own import as_player
    from gantrain.losses import Loss, Objective

    if given is None:
        raise ConfigError(f"{key}=None: leave it out, or give an object or an option's name")
    if key in ("generator", "discriminator"):
        return as_player(key, given)
    if key == "loss":
        if not isinstance(given, Objective | Loss):
            raise ConfigError(
                f"loss must be a gantrain.losses.Objective (d_loss and g_loss of scores) or Loss, got "
                f"{type(given).__name__}"
            )
        return given
    return fitting_data(given)


def fitting_data(given: Any) -> Any:
    """Return data as gantrain uses them; raise ConfigError for a tuple that is no pair of samples and labels."""
    from gantrain.build.own import Rows

    if isinstance(given, tuple):
        if len(given) != 2:
            raise ConfigError(f"data: a tuple must be (samples, labels), got {len(given)} parts")
        return Rows(*given)
    if isinstance(given, list) and given and all(hasattr(row, "shape") for row in given):
        shapes = {tuple(row.shape) for row in given}
        if len(shapes) > 1 and len(given) == 2:
            raise ConfigError("data: samples and their labels are a tuple, (samples, labels), got a list of two arrays")
        if len(shapes) == 1:
            import torch

            return Rows(torch.stack([torch.as_tensor(row) for row in given]))
    return Rows(given) if hasattr(given, "__array__") or hasattr(given, "dtype") else given


def options_for(objects: Mapping[str, Any], lines: list[str]) -> list[str]:
    """Return the options that objects ask for beside them, as far as the caller has chosen no others."""
    from gantrain.data import Known

    chosen = {line.partition("=")[0] for line in lines}
    wanted: list[str] = []
    if "data" in objects:
        if "data" in chosen:
            raise ConfigError("data is given both as an object and as an option's name; leave one out")
        wanted = ["data=dataset", *FOR_KINDS.get(kind_name(objects["data"]), ())]
        if isinstance(objects["data"], Known):
            wanted[-1] = "evaluation=points"
    if "loss" in objects:
        wanted.append("loss=vanilla")
    return [line for line in wanted if line.partition("=")[0] not in chosen]


def kind_name(data: Any) -> str:
    """Return the kind of samples by the first one, "" if the data do not tell yet."""
    from gantrain.data import Data
    from gantrain.kinds import kind_of

    if isinstance(data, Data):
        return data.kind.name
    try:
        first = data[0]
        return kind_of(tuple((first[0] if isinstance(first, tuple | list) else first).shape)).name
    except Exception:  # somebody's own code; the data are read, and their error told, when they are built
        return ""


def put(cfg: DictConfig, lines: list[str], objects: Mapping[str, Any]) -> list[str]:
    """Put objects into a configuration, and their names into the run's choices; return the overrides with them.

    The names and digests of objects are part of what distinguishes a run from others, as overrides are.
    """
    from gantrain.build.own import class_name, digest, node
    from gantrain.data import Data
    from gantrain.losses import Loss

    names = {key: class_name(given) for key, given in objects.items() if key in KEYS}
    for key in names:
        stands = node(key, objects[key])
        if key in ("generator", "discriminator"):
            cfg.architecture[key] = stands
        elif key == "loss" and not isinstance(objects[key], Loss):
            cfg.loss.objective = stands
        elif key == "data" and not isinstance(objects[key], Data):
            cfg.data.dataset = stands
        else:
            cfg[key] = stands
    for name in objects.get("callbacks", {}):
        stands = node(f"callbacks.{name}", objects["callbacks"][name]) | {"digest": None}
        OmegaConf.update(cfg, f"callbacks.{name}", stands, force_add=True)
    hydra: Any = HydraConfig.get()
    OmegaConf.set_readonly(hydra, False)
    choices = hydra.runtime.choices
    choices.update({key: names[key] for key in ("data", "loss") if key in names})
    if nets := [names[key] for key in ("generator", "discriminator") if key in names]:
        choices["architecture"] = "-".join([*nets, *([choices["architecture"]] if len(nets) == 1 else [])])
    replaced = {key for key in ("data", "loss") if key in names}
    kept = [line for line in lines if line.partition("=")[0] not in replaced]
    return [*kept, *(f"own.{key}={name}-{digest(objects[key])}" for key, name in names.items())]
