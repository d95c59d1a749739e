"""Plant one-line faults in the source, one at a time, and print those that no test of `make test` notices.

    python scripts/mutants.py                  60 faults; a run that was stopped goes on where it was
    python scripts/mutants.py --quick          for each fault only the tests that run its line
    python scripts/mutants.py --list           the faults, without running anything
    python scripts/mutants.py --only gantrain/losses/classic.py:36 --tests tests/losses
                                               the fault in this line again, with some of the tests only

A fault is an operator, a sign or a constant changed, or a statement dropped. The faults are drawn evenly from packages
and kinds. The same seed draws the same faults from the same source, and an edit in one file moves no fault in another.

First the tests run once under coverage, which tells for every line the tests that run it, and for every test its time.
Then each fault is planted in a copy of the tree. The tests that run its line come first, the fastest in front, until
one fails. If none does, all other tests follow, because coverage sees neither subprocesses nor results that tests
share. A test that hangs has noticed the fault too. Either counts only if the test then passes without the fault.

A fault that nobody could observe gets a reason in EQUIVALENT. The exit code is 1 if a fault survives without a reason.
Results are kept in .mutants/, one folder for each state of the source and the tests.
"""

from __future__ import annotations

import argparse
import json
import queue
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripts.mutation.copies import Copy, digest, measured
from scripts.mutation.faults import Fault, all_faults, drawn

REPOSITORY = Path(__file__).parent.parent

EQUIVALENT: dict[str, str] = {
    "gantrain/metrics/fidelity.py: ELEMENTS = 2**19  # of vectors in float64 at a time"
    " → ELEMENTS = -(2**19)  # of vectors in float64 at a time": (
        "at least one vector is taken at a time, and how many changes time and memory only"
    ),
    "gantrain/regularizers/scores.py: columns = (torch.arange(width, device=x.device) + right).clamp(0, width - 1)"
    " → columns = (torch.arange(width, device=x.device) - right).clamp(0, width - 1)": (
        "the shift is as likely to the left as to the right, so the distribution is the same"
    ),
    "gantrain/training/clock.py: self._lap = (0.0, 0) → self._lap = (0.0, 1)": (
        "start() sets it before anything can read it; here it only has a type"
    ),
}
"""'path: line before → line after', both without indentation -> the reason why no test can notice the fault."""


def mapped(copy: Copy, store: Path, tests: list[str], jobs: int) -> dict[str, Any]:
    """Return what ``measured`` gives, from the store if it is there."""
    path = store / "map.json"
    if not path.exists():
        print("the tests run once under coverage …", flush=True)
        begin = time.monotonic()
        found = measured(copy, tests, jobs)
        path.write_text(json.dumps(found))
        print(f"{len(found['seconds'])} tests in {time.monotonic() - begin:.0f} s", flush=True)
    found = json.loads(path.read_text())
    for name in found["failed"]:
        print(f"not used, fails without a fault: {name}")
    return dict(found)


def stages(fault: Fault, found: dict[str, Any]) -> tuple[int, dict[str, dict[str, float]]]:
    """Return how many tests run a fault's line, and two stages of tests with their seconds.

    The first stage has those that run the line, the fastest in front; if the line runs at import, or no test is seen to
    run it, also those of the package. The second has all others, file by file: the package's own, then the fastest.
    """
    names, by_line = list(found["seconds"]), found["lines"].get(fault.path, {})
    seconds = {name: s for name, s in found["seconds"].items() if name not in found["failed"]}
    own = f"tests/{fault.path.split('/')[1]}/"
    covering = {names[k] for line in range(fault.first, fault.last + 1) for k in by_line.get(str(line), [])}
    first = covering & seconds.keys()
    if fault.at_import or not covering:
        first |= {name for name in seconds if name.startswith(own)}
    of_file: dict[str, float] = {}
    for name, s in seconds.items():
        of_file[name.split("::")[0]] = of_file.get(name.split("::")[0], 0) + s

    def place(name: str) -> tuple[bool, float, str]:
        file = name.split("::")[0]
        return not name.startswith(own), of_file[file], file

    return len(covering), {
        "first": {name: seconds[name] for name in sorted(first, key=lambda n: (seconds[n], n))},
        "rest": {name: seconds[name] for name in sorted((n for n in seconds if n not in first), key=place)},
    }


class Results:
    """The verdicts so far, a line of JSON per finished stage."""

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.Lock()
        lines = path.read_text().splitlines() if path.exists() else []
        self.found: dict[str, dict[str, Any]] = {entry["key"]: entry for entry in map(json.loads, lines)}

    def keep(self, fault: Fault, verdict: str, passed: list[str], **facts: Any) -> dict[str, Any]:
        """Store that a fault was ``killed``, or ``survived`` the stages that it has ``passed``."""
        entry = {"key": fault.key, "verdict": verdict, "passed": passed} | asdict(fault) | facts
        with self.lock, self.path.open("a") as file:
            print(json.dumps(entry), file=file, flush=True)
            self.found[fault.key] = entry
        return entry


def tried(copy: Copy, fault: Fault, found: dict[str, Any], results: Results, quick: bool) -> dict[str, Any]:
    """Run the stages that a fault has not passed yet, and return its entry.

    A failure counts if the test then passes on the sound copy. Otherwise it was chance, and the next tests follow.
    """
    begin = time.monotonic()
    entry = results.found.get(fault.key, {"verdict": "survived", "passed": []})
    passed = list(entry["passed"])
    covering, todo = stages(fault, found)
    facts: dict[str, Any] = {"covering": covering}
    for stage, tests in todo.items():
        if entry["verdict"] == "killed" or stage in passed or (stage == "rest" and quick):
            continue
        while tests:
            outcome = copy.judge(tests, fault)
            if not outcome.killed:
                break
            known = outcome.test in tests  # or else the tests could not even be imported
            if not known or not copy.judge({outcome.test: tests[outcome.test]}, None).killed:
                facts |= {"test": outcome.test, "how": outcome.how, "seconds": round(time.monotonic() - begin)}
                return results.keep(fault, "killed", passed, **facts)
            later = list(tests).index(outcome.test) + 1
            tests = dict(list(tests.items())[later:])
        passed.append(stage)
        entry = results.keep(fault, "survived", list(passed), **facts, seconds=round(time.monotonic() - begin))
    return entry


def run(faults: list[Fault], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Try the faults, ``jobs`` at a time, and return their entries."""
    tests = arguments.tests or []
    store = REPOSITORY / ".mutants" / digest(REPOSITORY, tests)
    store.mkdir(parents=True, exist_ok=True)
    results = Results(store / "results.jsonl")
    for fault in faults if arguments.only else []:
        results.found.pop(fault.key, None)
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        copies = [Copy(REPOSITORY, Path(folder) / str(k)) for k in range(arguments.jobs)]
        free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for copy in copies:
            free.put(copy)

        def one(fault: Fault, found: dict[str, Any]) -> dict[str, Any]:
            copy = free.get()
            try:
                return tried(copy, fault, found, results, arguments.quick or fault.name in EQUIVALENT)
            finally:
                free.put(copy)

        pool = ThreadPoolExecutor(arguments.jobs)
        try:
            found = mapped(copies[0], store, tests, arguments.jobs)
            pending = [pool.submit(one, fault, found) for fault in faults]
            for k, future in enumerate(as_completed(pending)):
                print(f"[{k + 1}/{len(faults)}] {told(future.result())}", flush=True)
        finally:
            for copy in copies:
                copy.stopped = True
                copy.end()
            pool.shutdown(cancel_futures=True)
    return [results.found[fault.key] for fault in faults]


def told(entry: dict[str, Any]) -> str:
    """Return an entry as two lines."""
    fault = f"{entry['path']}:{entry['line']}  {entry['before']}  →  {entry['after']}"
    if entry["verdict"] == "killed":
        return f"killed    {fault}\n          in {entry['seconds']} s by {entry['test'] or 'import'}: {entry['how']}"
    others = "the others do not notice it either" if "rest" in entry["passed"] else "the others were not tried"
    return f"survived  {fault}\n          tests that are seen to run the line: {entry['covering']}; {others}"


def summary(entries: list[dict[str, Any]]) -> tuple[list[str], int]:
    """Return the lines that end a run, and the exit code."""
    lines: list[str] = []
    counts = {"killed": 0, "equivalent": 0, "survived": 0}
    for entry in sorted(entries, key=lambda e: (e["path"], e["line"])):
        reason = EQUIVALENT.get(f"{entry['path']}: {entry['before']} → {entry['after']}")
        verdict = "equivalent" if reason and entry["verdict"] == "survived" else entry["verdict"]
        counts[verdict] += 1
        if verdict == "killed" and reason:
            lines.append(f"{told(entry)}\n          the reason in EQUIVALENT is wrong: {reason}")
        elif verdict != "killed":
            lines.append(told(entry) + (f"\n          equivalent: {reason}" if reason else ""))
    lines.append(
        f"{len(entries)} planted, {counts['killed']} killed, {counts['equivalent']} equivalent (reasons above), "
        f"{counts['survived']} survived"
    )
    return lines, int(counts["survived"] > 0)


def selected(arguments: argparse.Namespace) -> list[Fault]:
    """Return the faults that the arguments ask for."""
    every = all_faults(REPOSITORY)
    faults = drawn(every, arguments.seed, arguments.count)
    if arguments.only:
        wanted = set(arguments.only)
        faults = [f for f in faults if f"{f.path}:{f.line}" in wanted]
        undrawn = wanted - {f"{f.path}:{f.line}" for f in faults}
        faults += [f for f in every if f"{f.path}:{f.line}" in undrawn]
        if missing := undrawn - {f"{f.path}:{f.line}" for f in faults}:
            raise SystemExit(f"there is no fault for {', '.join(sorted(missing))}; --list shows those that are drawn")
    return faults


def main() -> None:
    """Plant faults and tell which survive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other faults")
    parser.add_argument("--count", type=int, default=60, help="how many faults are drawn")
    parser.add_argument("--jobs", type=int, default=2, help="how many faults are tried at a time")
    parser.add_argument("--only", nargs="+", metavar="FILE:LINE", help="the faults in these lines, once more")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="only the tests in these files and folders")
    parser.add_argument("--quick", action="store_true", help="leave out the tests that do not run the fault's line")
    parser.add_argument("--list", action="store_true", help="print the faults and stop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    arguments = parser.parse_args()
    faults = selected(arguments)
    if arguments.list:
        for f in faults:
            print(f"{f.path}:{f.line}  {f.kind}  {f.before}  →  {f.after}")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the copies are removed
    entries = run(faults, arguments)
    lines, code = summary(entries)
    if arguments.json:
        found = [entry | {"reason": EQUIVALENT.get(fault.name)} for entry, fault in zip(entries, faults, strict=True)]
        facts = {"seed": arguments.seed, "tests": arguments.tests, "summary": lines[-1], "faults": found}
        arguments.json.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    print("", *lines, sep="\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
