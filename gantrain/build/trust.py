"""Which classes a configuration may name: it travels with checkpoints, so a ``_target_`` is code from a stranger."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from gantrain.errors import ConfigError, first_line

PARTS = (
    "architectures",
    "augment",
    "data",
    "inputs",
    "loggers",
    "losses",
    "optimizers",
    "regularizers",
    "schedules",
    "theory",
)
TRUSTED = (*(f"gantrain.{part}" for part in PARTS), "torch.nn", "torch.optim")


class CurrentFolder:
    """Finds modules in the current folder, but only those that ``trusted_modules`` names; asked after all others.

    On ``sys.path`` the folder would lend a module to any library that looks for one which it can do without
    (``pynvml``, ``dill``), and to Hydra's search for plugins: code of whoever wrote the folder.
    """

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}
        """By the first part of a module's name, the folder where the command that names it was started."""

    def admit(self, modules: Iterable[str]) -> None:
        """Let modules be found in the current folder, and what lies in packages of these names."""
        for name in modules:
            self.folders.setdefault(name.split(".")[0], str(Path.cwd()))
        if self.folders and self not in sys.meta_path:
            sys.meta_path.append(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, as ``sys.meta_path`` asks."""
        folder = self.folders.get(name)
        return None if folder is None or path is not None else PathFinder.find_spec(name, [folder], target)


HERE = CurrentFolder()


def check_targets(cfg: DictConfig, key: str | None = None) -> None:
    """Raise ConfigError if a ``_target_`` is no class of the parts of a GAN, and not in ``trusted_modules``.

    Looks at the whole configuration, or at one ``key`` of it, for what builds that alone; interpolations are resolved
    first, because they may lead to a target too.

    Configurations travel with checkpoints, so a target is code from whoever wrote the file. Functions are not among
    those that are always trusted, because some write files; and the object itself is asked where it was defined:
    ``gantrain.x.os.system`` starts well and ends badly.
    """
    own = tuple(cfg.trusted_modules)
    HERE.admit(own)
    parts = OmegaConf.masked_copy(cfg, [str(name) for name in cfg if name != "hydra"])
    content = OmegaConf.to_container(parts, resolve=True)
    assert isinstance(content, dict)
    for target in targets(content if key is None else content.get(key)):
        check_target(target, own)


@cache  # each builder asks; a target that was found is not looked at again
def check_target(target: str, own: tuple[str, ...]) -> None:
    """Raise ConfigError unless a target lies in, and was defined in, a trusted module; ``own`` are the user's."""
    if not is_in(target, (*TRUSTED, *own)):
        raise ConfigError(f"_target_={target} is not trusted; add its module to trusted_modules=[…] if it is yours")
    try:
        found = get_object(target)
    except Exception as error:  # importing a user's module may raise anything
        reason = first_line(error)
        if (missing := missing_module(error)) and (Path.cwd() / f"{missing}.py").is_file():
            reason += f"; {missing}.py lies in the current folder: name it in trusted_modules too"
        raise ConfigError(f"_target_={target} cannot be found: {reason}") from error
    home = getattr(found, "__module__", None)
    if home is None or not (is_in(home, own) or (isinstance(found, type) and is_in(home, TRUSTED))):
        raise ConfigError(f"_target_={target} leads to {home or 'a module'}, which is not a trusted class or function")


def missing_module(error: BaseException | None) -> str:
    """Return the module that an import did not find, "" if an error has another reason."""
    while error is not None and not isinstance(error, ModuleNotFoundError):
        error = error.__cause__ or error.__context__
    return "" if error is None else (error.name or "").split(".")[0]


def is_in(module: str, roots: Iterable[str]) -> bool:
    """Tell whether a dotted name is one of ``roots`` or lies in one."""
    return any(module == root or module.startswith(f"{root}.") for root in roots)


def targets(node: Any) -> Iterator[str]:
    """Yield every ``_target_`` in nested dicts and lists; raise ConfigError for one that is no text."""
    if isinstance(node, dict):
        if "_target_" in node:
            if not isinstance(node["_target_"], str):
                raise ConfigError(f"_target_={node['_target_']} is no dotted name of a class, such as torch.optim.Adam")
            yield node["_target_"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from targets(item)
