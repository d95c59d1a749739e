"""Checkpoints: directories of plain data that are complete and verified, or do not count.

    checkpoints/step-000012000/  state.safetensors  state.json  manifest.json

A save writes a hidden folder, forces it to disk, and renames it; only then may older ones go. A load verifies every
byte against the manifest's sha256. A damaged checkpoint is set aside in ``damaged/`` and the one before it is used.
"""

from __future__ import annotations

import hashlib
import json
import platform
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import gantrain
from gantrain import storage, tree
from gantrain.errors import CheckpointError, ConfigError, DamagedError, DivergedError, first_line

FORMAT = 1
TENSORS, STATE, MANIFEST = "state.safetensors", "state.json", "manifest.json"


class Rng:
    """The global random number generators of Python, numpy, and torch on the CPU and on one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def seed(self, seed: int) -> None:
        """Seed them all."""
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return every generator's state."""
        name, key, *rest = np.random.get_state(legacy=True)
        return {
            "python": random.getstate(),
            "numpy": (name, torch.from_numpy(np.asarray(key).astype(np.int64)), *rest),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore every generator; a state saved on another kind of device leaves the device's own generator alone."""
        random.setstate(state["python"])
        name, key, *rest = state["numpy"]
        np.random.set_state((name, key.numpy().astype(np.uint32), *rest))
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda"], self.device)


def environment(device: torch.device) -> dict[str, Any]:
    """Return what bit-exact repetition depends on beside the configuration."""
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": str(device)}


def write(folder: Path, step: int, state: dict[str, Any], extra: dict[str, Any]) -> None:
    """Write one checkpoint's three files into ``folder`` and force them to disk.

    Raises:
        DivergedError: if a tensor is not finite; nothing is written then.
    """
    twin, tensors = tree.flatten(state)
    if (path := tree.first_nonfinite(tensors)) is not None:
        raise DivergedError(f"step {step}: {path} is not finite; the last good checkpoint is kept")
    folder.mkdir()
    save_file(tensors, folder / TENSORS)
    (folder / STATE).write_text(json.dumps(twin))
    files = {name: describe(folder / name) for name in (TENSORS, STATE)}
    versions = {"gantrain": gantrain.__version__, "python": platform.python_version()}
    manifest = {"format": FORMAT, "step": step, "files": files} | versions | extra
    (folder / MANIFEST).write_text(json.dumps(manifest | {"sha256": own_digest(manifest)}, indent=1))
    for name in (TENSORS, STATE, MANIFEST):
        storage.sync(folder / name)
    storage.sync(folder)


def describe(path: Path) -> dict[str, Any]:
    """Return a file's size and digest, as the manifest states them."""
    return {"bytes": path.stat().st_size, "sha256": storage.sha256(path)}


def own_digest(manifest: dict[str, Any]) -> str:
    """Return the digest of a manifest's content, its own digest left out."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (manifest, state) of a checkpoint of which every byte has been verified.

    Raises:
        DamagedError: if it is incomplete or has changed since it was written.
        CheckpointError: if it is of another format, or the disk cannot read it.
    """
    if not (folder / MANIFEST).is_file():
        raise DamagedError(f"{folder} is no checkpoint: it has no {MANIFEST}")
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["sha256"] != own_digest(manifest):
            raise DamagedError(f"{folder} is damaged: its manifest has changed")
        if manifest["format"] != FORMAT:
            raise CheckpointError(
                f"{folder} has format {manifest['format']}, this gantrain {gantrain.__version__} reads format {FORMAT}"
            )
        for name in (TENSORS, STATE):
            if describe(folder / name) != manifest["files"][name]:
                raise DamagedError(f"{folder} is damaged: {name} differs from its manifest")
        state = tree.unflatten(json.loads((folder / STATE).read_text()), load_file(folder / TENSORS))
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise DamagedError(f"{folder} is damaged: {type(error).__name__} {first_line(error)}") from error
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {first_line(error)}") from error
    return manifest, state


def step_of(folder: Path) -> int:
    """Return the step in a checkpoint folder's name, -1 if it is no checkpoint."""
    match = re.fullmatch(r"step-(\d{9,})", folder.name)
    return int(match[1]) if match else -1


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they lie; made at the first save.
        keep_last: how many to keep, at least 2, so that one damaged checkpoint is never the only one.
        extra: facts for the manifest (configuration digest, environment).
    """

    def __init__(self, folder: Path, keep_last: int, extra: dict[str, Any]) -> None:
        self.folder, self.keep_last, self.extra = folder, keep_last, extra

    def steps(self) -> list[int]:
        """Return the steps saved, oldest first."""
        return sorted(step for entry in self._entries() if (step := step_of(entry)) >= 0)

    def path(self, step: int) -> Path:
        """Return the folder of a step's checkpoint."""
        return self.folder / f"step-{step:09d}"

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Save durably, then remove what ``keep_last`` no longer covers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".tmp-step-{step:09d}"
        shutil.rmtree(temporary, ignore_errors=True)
        write(temporary, step, state, self.extra)
        temporary.rename(self.path(step))
        storage.sync(self.folder)
        for old in self.steps()[: -self.keep_last]:
            doomed = self.folder / f".del-step-{old:09d}"
            self.path(old).rename(doomed)  # a kill while removing must not leave half a checkpoint under its name
            shutil.rmtree(doomed)

    def latest(self, warn: Callable[[str], None]) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return (manifest, state) of the newest checkpoint that verifies, None if there is none at all.

        Damaged ones are moved to ``damaged/``, and ``warn`` is told.

        Raises:
            CheckpointError: if there were checkpoints but none is usable.
        """
        self._sweep()
        found = self.steps()
        for step in reversed(found):
            try:
                return read(self.path(step))
            except DamagedError as error:
                self._set_aside(self.path(step))
                warn(f"{error}; moved to {self.folder / 'damaged'}")
        if found or any((self.folder / "damaged").glob("*")):
            raise CheckpointError(
                f"no usable checkpoint is left in {self.folder}; to start again, remove {self.folder.parent}"
            )
        return None

    def refuse_beyond(self, step: int) -> None:
        """Raise ConfigError if there are checkpoints after ``step`` (-1: any): another course would mix with them."""
        if (steps := self.steps()) and steps[-1] > step:
            raise ConfigError(
                f"{self.folder} already holds checkpoints up to step {steps[-1]}; "
                "use resume=auto, remove them, or choose another run.dir"
            )

    def _entries(self) -> list[Path]:
        return list(self.folder.iterdir()) if self.folder.is_dir() else []

    def _sweep(self) -> None:
        for entry in self._entries():
            if entry.name.startswith((".tmp-", ".del-")):
                shutil.rmtree(entry)

    def _set_aside(self, checkpoint: Path) -> None:
        damaged = self.folder / "damaged"
        damaged.mkdir(exist_ok=True)
        shutil.rmtree(damaged / checkpoint.name, ignore_errors=True)
        checkpoint.rename(damaged / checkpoint.name)
