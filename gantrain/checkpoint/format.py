"""One checkpoint on disk: format 1.

    step-000012000/  state.safetensors  state.json  manifest.json

The first file holds the tensors, the second everything else, the third the size and digest of both. Reading can run no
code: it takes JSON and safetensors only, and refuses any other content in one sentence.
"""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gantrain.checkpoint import tree
from gantrain.errors import CheckpointError, DamagedError, DivergedError, UnreadableError, first_line
from gantrain.run import files, forms
from gantrain.run.read import parsed
from gantrain.version import VERSION

FORMAT = 1
TENSORS, STATE, MANIFEST = "state.safetensors", "state.json", "manifest.json"
LARGEST = {MANIFEST: 2**20, STATE: 2**26}  # bytes, because JSON is read as a whole; real ones have 1 kB and some 10 kB
BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)  # from damaged content


def write(folder: Path, step: int, state: dict[str, Any], extra: dict[str, Any]) -> None:
    """Write one checkpoint's three files into ``folder`` and force them to disk.

    Raises:
        DivergedError: if a tensor is not finite; nothing is written then.
        OSError: if the disk is full or fails.
    """
    twin, tensors = tree.flatten(state)
    if (path := tree.first_nonfinite(tensors)) is not None:
        raise DivergedError(f"step {step}: {path} is not finite; the last good checkpoint is kept")
    files.own_folder(folder.parent)
    files.require_space(folder.parent, int(1.5 * sum(tensor.nbytes for tensor in tensors.values())))
    folder.mkdir()
    try:
        with files.with_usual_mode(folder / TENSORS):
            save_file(tensors, folder / TENSORS)
    except SafetensorError as error:  # the tensors are sound, so the disk is at fault
        raise OSError(first_line(error)) from error
    files.write_new(folder / STATE, json.dumps(twin))
    stated = {name: describe(folder / name) for name in (TENSORS, STATE)}
    versions = {"gantrain": VERSION, "python": platform.python_version()}
    manifest = {"format": FORMAT, "step": step, "files": stated} | versions | extra
    files.write_new(folder / MANIFEST, json.dumps(manifest | {"sha256": own_digest(manifest)}, indent=1))
    for name in (TENSORS, STATE, MANIFEST):
        files.sync(folder / name)
    files.sync(folder)


def describe(path: Path) -> dict[str, Any]:
    """Return a file's size and digest, as the manifest states them."""
    return {"bytes": path.stat().st_size, "sha256": files.sha256(path)}


def own_digest(manifest: dict[str, Any]) -> str:
    """Return the digest of a manifest's content, its own digest left out."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (manifest, state) of a checkpoint of which every byte has been verified.

    Raises:
        DamagedError: if it is incomplete or has changed since it was written.
        UnreadableError: if the disk cannot read it.
        CheckpointError: if it is of another format.
    """
    manifest = read_manifest(folder)
    if not files.is_text(folder):
        raise UnreadableError(f"{folder} cannot be read: its name is not UTF-8; give the folder another")
    try:
        for name in (TENSORS, STATE):
            stated = manifest["files"][name]
            check_plain(folder / name, LARGEST.get(name))
            if (folder / name).stat().st_size != stated["bytes"] or files.sha256(folder / name) != stated["sha256"]:
                raise DamagedError(f"{folder} is damaged: {name} differs from its manifest")
        state = tree.unflatten(json.loads((folder / STATE).read_text()), load_file(folder / TENSORS))
        if not isinstance(state, dict):
            raise DamagedError(f"{folder} is damaged: its state is a {type(state).__name__}")
    except BROKEN as error:
        raise DamagedError(f"{folder} is damaged: {type(error).__name__} {first_line(error)}") from error
    except OSError as error:
        raise UnreadableError(f"{folder} cannot be read: {first_line(error)}") from error
    return manifest, state


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a checkpoint's manifest, without reading the files that it describes.

    Raises:
        DamagedError, UnreadableError, CheckpointError: as ``read`` does.
    """
    path = folder / MANIFEST
    try:
        if not path.exists():
            raise DamagedError(f"{folder} is no checkpoint: it has no {MANIFEST}")
        check_plain(path, LARGEST[MANIFEST])
        manifest = parsed(files.whole(path, LARGEST[MANIFEST]))
        if manifest["sha256"] != own_digest(manifest):
            raise DamagedError(f"{folder} is damaged: its manifest has changed")
        if manifest["format"] != FORMAT:
            raise CheckpointError(
                f"{folder} has format {manifest['format']}, this gantrain {VERSION} reads format {FORMAT}"
            )
        if not isinstance(manifest["step"], int) or files.step_of(folder) not in (manifest["step"], -1):
            raise DamagedError(f"{folder} is damaged: its manifest is of step {manifest['step']}")
        if wrong := forms.fitted(manifest, forms.MANIFEST)[1]:
            raise DamagedError(f"{folder} is damaged: in its manifest {wrong}")
    except BROKEN as error:
        raise DamagedError(f"{folder} is damaged: {type(error).__name__} {first_line(error)}") from error
    except OSError as error:
        raise UnreadableError(f"{folder} cannot be read: {first_line(error)}") from error
    return manifest


def check_plain(path: Path, largest: int | None) -> None:
    """Raise DamagedError unless ``path`` is a file: reading a pipe would never end, a link leads somewhere else."""
    if path.is_symlink() or not path.is_file():
        raise DamagedError(f"{path.parent} is damaged: {path.name} is {'not a file' if path.exists() else 'missing'}")
    if largest is not None and path.stat().st_size > largest:
        raise DamagedError(f"{path.parent} is damaged: {path.name} has {path.stat().st_size:,} bytes")
