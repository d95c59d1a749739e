"""The git commit of a folder, and whether its files differ from that; nothing that the repository configures is run.

The commit is read from the repository's files, as gitrepository-layout(5) describes them. Whether files differ only
``git`` itself can tell: it is asked with every program switched off that a configuration can name.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gantrain.run import files

PATIENCE = 3.0
"""Seconds that ``git`` may take; on a large repository in a far file system it is not waited for."""
MOST = 2**24
"""Bytes of a file of a repository that is read: packed-refs of 100,000 branches has a half of that."""
SHORT = 10
"""Digits of a commit that are shown."""
DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""A commit's name, by SHA-1 or SHA-256."""
HARMLESS = {
    **{"core.fsmonitor": "false", "core.hooksPath": os.devnull, "protocol.allow": "never"},
    **{"diff.renames": "false", "status.renames": "false"},
}
"""Settings under which ``git status`` starts no program, fetches nothing, and compares no contents for renames."""
PROGRAMS = r"^filter\..*\.(clean|process)$"
"""Settings by which a repository has its files changed by a program before they are compared."""


def state(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit of the repository that a folder lies in, and whether files that git tracks differ from it.

    The commit is None outside of a repository and before its first commit. Whether files differ is None where it cannot
    be told: without ``git``, if it takes too long, and in a repository of another user, which git refuses to open.
    """
    try:
        found = commit(folder)
    except (OSError, ValueError):
        return None, None
    return found, None if found is None else differs(folder)


def described(entry: Mapping[str, Any]) -> str:
    """Return an entry of the ``commits`` in status.json in words."""
    if entry["commit"] is None:
        return "no commit"
    return f"commit {entry['commit'][:SHORT]}{' with changes' if entry['dirty'] else ''}"


def commit(folder: Path) -> str | None:
    """Return the commit that is checked out; errors of the disk are raised."""
    if (place := repository(folder)) is None:
        return None
    shared = place
    if common := text(place / "commondir"):  # of a worktree: branches lie with the first one
        shared = place / common
    name = text(place / "HEAD")
    for _ in range(5):  # as often as git itself follows one name to another
        if not name.startswith("ref: "):
            return name if DIGEST.fullmatch(name) else None
        ref = name.removeprefix("ref: ").strip()
        if not ref.startswith("refs/") or ".." in ref:
            return None
        name = text(place / ref) or text(shared / ref) or packed(shared, ref)
    return None


def repository(folder: Path) -> Path | None:
    """Return the folder with a repository's own files, as seen from a folder inside it; None if there is none."""
    for above in (folder, *folder.parents):
        there = above / ".git"
        if there.is_dir():
            return there
        if there.is_file():  # of a worktree or a submodule
            return above / text(there).removeprefix("gitdir: ")
    return None


def text(path: Path) -> str:
    """Return a small file's text without what surrounds it, "" if there is no such file."""
    with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError, files.StrangeFileError):
        return files.whole(path, MOST).decode(errors="replace").strip()
    return ""


def packed(shared: Path, ref: str) -> str:
    """Return the commit of a branch that has no file of its own, "" if there is none."""
    for line in text(shared / "packed-refs").splitlines():
        if line.endswith(f" {ref}"):
            return line.partition(" ")[0]
    return ""


def differs(folder: Path) -> bool | None:
    """Return whether a tracked file differs from the commit, None if git cannot tell.

    A file that passes a filter on its way into git, as those of LFS do, counts as differing once it is touched.
    """
    configured = asked(folder, HARMLESS, "config", "--name-only", "--get-regexp", PROGRAMS)
    if configured is None or configured[0] not in (0, 1):  # 1: there is none
        return None
    filters = {name.rpartition(".")[0] for name in configured[1].splitlines()}
    off = {f"{name}.{end}": value for name in filters for end, value in (("clean", ""), ("process", ""))}
    required = {f"{name}.required": "false" for name in filters}
    options = ("--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
    answer = asked(folder, HARMLESS | off | required, *options)
    return None if answer is None or answer[0] else bool(answer[1].strip())


def asked(folder: Path, settings: dict[str, str], *arguments: str) -> tuple[int, str] | None:
    """Return git's exit code and output, None if it is not there or takes too long; it asks nobody anything."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_COUNT": str(len(settings)), "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
    for k, (key, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{k}": key, f"GIT_CONFIG_VALUE_{k}": value}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.returncode, done.stdout.decode(errors="replace")
