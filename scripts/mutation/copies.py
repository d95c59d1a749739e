"""Copies of the tree, in which faults are planted and tests run."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.mutation.faults import PACKAGES, Fault
from scripts.mutation.plugin import PLAN

HASHED = ("gantrain", "configs", "hydra_plugins", "tests", "scripts", "pyproject.toml")
OWN_TEST = "tests/test_mutants.py"
"""Never run against a fault: it counts the faults in the source, so that it would notice every one."""
UNHASHED = ("scripts/mutants.py", OWN_TEST)
"""A new reason in EQUIVALENT must not repeat the run."""


class StoppedError(Exception):
    """The run ends before a verdict."""


@dataclass
class Outcome:
    """What a pytest process has found."""

    killed: bool = False
    test: str = ""
    """The first that failed, empty if none was running."""
    how: str = ""
    failed: list[str] = field(default_factory=list)


class Copy:
    """A copy of the tree, sound or with one fault.

    Args:
        root: the repository.
        folder: an empty place for the copy, its temporary files and what a run writes.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.tree, self.out, self.temporary = root, folder / "tree", folder / "out", folder / "tmp"
        self.fault: Fault | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.stopped = False
        self.times = itertools.count(1_000_000_000, 2)
        for name in listed(root):
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, self.tree / name)
        if (shared := root.parent / "shared").exists():  # some tests read images that lie beside the repository
            (folder / "shared").symlink_to(shared.resolve())

    def plant(self, fault: Fault | None) -> None:
        """Make the copy sound, then plant the fault if there is one."""
        if self.fault is not None:
            self.write(self.fault.path, (self.root / self.fault.path).read_text())
        if fault is not None:
            self.write(fault.path, fault.planted((self.root / fault.path).read_text()))
        self.fault = fault

    def write(self, path: str, source: str) -> None:
        """Write a file with a time of its own: if time and size were equal, Python would use the old bytecode."""
        (self.tree / path).write_text(source)
        moment = next(self.times)
        os.utime(self.tree / path, (moment, moment))

    def pytest(self, plan: dict[str, Any], *arguments: str, timeout: float | None = None) -> int | None:
        """Run pytest with a plan; return its exit code, or None if it took longer than ``timeout`` seconds.

        Raises:
            StoppedError: if the run is to end.
        """
        for folder in (self.out, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        path = self.out / "plan.json"
        path.write_text(json.dumps(plan | {"out": str(self.out)}))
        others = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and Path(p) != self.root]
        python_path = os.pathsep.join([str(self.tree), *others])
        environment = os.environ | {PLAN: str(path), "PYTHONPATH": python_path, "TMPDIR": str(self.temporary)}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "scripts.mutation.plugin"]
        with (self.out / "output.txt").open("wb") as output:
            self.process = subprocess.Popen(
                [*command, *arguments],
                cwd=self.tree,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            code = self.process.wait(0 if self.stopped else timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            self.end()
        if self.stopped:
            raise StoppedError
        return code

    def end(self) -> None:
        """End pytest and every process that its tests have left."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        mark = f"{PLAN}={self.out / 'plan.json'}\0".encode()
        for environment in Path("/proc").glob("[0-9]*/environ"):  # without /proc they must end by themselves
            try:
                if mark in environment.read_bytes():
                    os.kill(int(environment.parent.name), signal.SIGKILL)
            except OSError:
                continue

    def output(self) -> str:
        """Return what pytest has printed."""
        return (self.out / "output.txt").read_text(errors="replace").strip()

    def judge(self, tests: dict[str, float], fault: Fault | None, stop: bool = True) -> Outcome:
        """Run tests, in their order, with a fault planted.

        Args:
            tests: with the seconds that each took on the sound tree; ten times that and a minute more is a hang.
            fault: or None for the sound tree.
            stop: at the first test that fails.
        """
        self.plant(fault)
        plan = {"task": "judge", "limits": {name: 60 + 10 * seconds for name, seconds in tests.items()}}
        files = dict.fromkeys(name.split("::")[0] for name in tests)
        code = self.pytest(plan, *["-x"] * stop, *files, timeout=300 + 10 * sum(tests.values()))
        hang, current, failures = (self.out / name for name in ("hang", "current", "failures"))
        if code is None or (hang.exists() and hang.stat().st_size):
            return Outcome(True, current.read_text() if current.exists() else "", "hangs")
        if failures.exists():
            found = [json.loads(line) for line in failures.read_text().splitlines()]
            return Outcome(True, found[0]["test"], found[0]["how"], [entry["test"] for entry in found])
        if code in (0, 5):  # 5: the tests are not there any more, because their parameters come from the source
            return Outcome()
        return Outcome(True, "", f"pytest ends with {code}: {self.output().splitlines()[-1][:200]}")


def listed(root: Path) -> list[str]:
    """Return the files that git knows or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted(name for name in set(names) if name and (root / name).is_file())


def digest(root: Path, tests: list[str]) -> str:
    """Return a name for the state of source and tests, and for the tests asked for."""
    total = hashlib.sha256(json.dumps(tests).encode())
    for name in listed(root):
        if name.split("/")[0] in HASHED and name not in UNHASHED:
            total.update(f"{name}\0".encode() + hashlib.sha256((root / name).read_bytes()).digest())
    return total.hexdigest()[:16]


def measured(copy: Copy, tests: list[str], jobs: int) -> dict[str, Any]:
    """Run the tests on the sound tree, and return what they do.

    Returns:
        ``seconds`` of each test, in the order of a run; ``lines``, by file and line, the tests that run it, as indices
        into ``seconds``; ``failed``, the tests that fail, and fail again without coverage.
    """
    import coverage

    include = [str(copy.tree / "gantrain" / package / "*") for package in PACKAGES]
    processes = ["-n", str(jobs), "--dist", "loadgroup"] if jobs > 1 else []
    code = copy.pytest({"task": "measure", "include": include}, *processes, f"--ignore={OWN_TEST}", *tests)
    parts = [json.loads(path.read_text()) for path in sorted(copy.out.glob("*.json")) if path.name != "plan.json"]
    if code not in (0, 1) or not parts:
        raise SystemExit(f"{copy.output()[-3000:]}\nthe tests do not run without a fault")
    took = {name: s for part in parts for name, s in part["seconds"].items()}
    seconds = {name: took[name] for name in parts[0]["order"] if name in took}
    index = {name: k for k, name in enumerate(seconds)}
    lines: dict[str, dict[int, list[int]]] = {}
    for path in sorted(copy.out.glob("*.coverage")):
        data = coverage.CoverageData(str(path))
        data.read()
        for file in data.measured_files():
            of_file = lines.setdefault(Path(file).relative_to(copy.tree).as_posix(), {})
            for line, names in data.contexts_by_lineno(file).items():
                of_file[line] = sorted({*of_file.get(line, []), *(index[name] for name in names if name)})
    suspects = {name: seconds[name] for part in parts for name in part["failed"]}
    again = copy.judge(suspects, None, stop=False) if suspects else Outcome()
    return {"seconds": seconds, "lines": lines, "failed": sorted({*again.failed, *[again.test] * again.killed})}
