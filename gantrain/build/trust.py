"""Which classes a configuration may name: it travels with checkpoints, so a ``_target_`` is code from a stranger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from gantrain.errors import ConfigError, first_line

PARTS = ("architectures", "augment", "data", "losses", "optimizers", "regularizers", "theory")
TRUSTED = (*(f"gantrain.{part}" for part in PARTS), "torch.nn", "torch.optim")


def check_targets(cfg: DictConfig, key: str | None = None) -> None:
    """Raise ConfigError if a ``_target_`` is no class of the parts of a GAN, and not in ``trusted_modules``.

    Looks at the whole configuration, or at one ``key`` of it; interpolations are resolved first, because they may lead
    to a target too.

    Configurations travel with checkpoints, so a target is code from whoever wrote the file. Functions are not among
    those that are always trusted, because some write files; and the object itself is asked where it was defined:
    ``gantrain.x.os.system`` starts well and ends badly.
    """
    own = tuple(cfg.trusted_modules)
    parts = OmegaConf.masked_copy(cfg, [str(name) for name in cfg if name != "hydra"])
    content = OmegaConf.to_container(parts, resolve=True)
    assert isinstance(content, dict)
    for target in targets(content if key is None else content[key]):
        check_target(target, own)


@cache  # each builder asks; a target that was found is not looked at again
def check_target(target: str, own: tuple[str, ...]) -> None:
    """Raise ConfigError unless a target lies in, and was defined in, a trusted module; ``own`` are the user's."""
    if not is_in(target, (*TRUSTED, *own)):
        raise ConfigError(f"_target_={target} is not trusted; add its module to trusted_modules=[…] if it is yours")
    try:
        found = get_object(target)
    except Exception as error:  # importing a user's module may raise anything
        raise ConfigError(f"_target_={target} cannot be found: {first_line(error)}") from error
    home = getattr(found, "__module__", None)
    if home is None or not (is_in(home, own) or (isinstance(found, type) and is_in(home, TRUSTED))):
        raise ConfigError(f"_target_={target} leads to {home or 'a module'}, which is not a trusted class or function")


def is_in(module: str, roots: Iterable[str]) -> bool:
    """Tell whether a dotted name is one of ``roots`` or lies in one."""
    return any(module == root or module.startswith(f"{root}.") for root in roots)


def targets(node: Any) -> Iterator[str]:
    """Yield every ``_target_`` in nested dicts and lists."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from targets(item)
