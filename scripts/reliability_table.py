"""Run the tests that prove rows of the fault matrix, and write their findings into docs/reliability.md.

    python scripts/reliability_table.py          the rows of make test-all
    python scripts/reliability_table.py --slow   the rows of make test-slow
    python scripts/reliability_table.py --write-only

The findings are kept in docs/reliability.json, each row with its date.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
RESULTS = REPOSITORY / "docs" / "reliability.json"
DOCUMENT = REPOSITORY / "docs" / "reliability.md"
MARKS = ("<!-- table: written by scripts/reliability_table.py -->", "<!-- end of table -->")

FAULTS = {
    "F1": "kill -9 at any moment",
    "F2": "kill -9 within a save",
    "F3": "power cut",
    "F3a": "order of writing",
    "F4": "a damaged checkpoint",
    "F5": "every checkpoint damaged",
    "F6": "disk full while saving",
    "F7": "disk full for records",
    "F8": "run directory not writable",
    "F9": "a signal in training",
    "F10": "a second Ctrl-C",
    "F11": "a signal in any phase",
    "F12": "a reader fails",
    "F13": "a reader hangs",
    "F14": "NaN in a loss",
    "F15": "NaN in gradients or input",
    "F16": "float16 overflow",
    "F17": "broken images",
    "F18": "odd images",
    "F19": "unusable folders",
    "F20": "networks that do not fit the data",
    "F21": "mistakes in the command",
    "F22": "a hostile checkpoint",
    "F23": "pickle anywhere",
    "F24": "an old format",
    "F25": "another format, model or configuration",
    "F26": "two processes, one directory",
    "F27": "the lock after kill -9",
    "F28": "out of memory",
    "F29": "a rank dies or hangs",
    "F30": "a signal to one of several ranks",
    "F31": "the same seed again",
    "F32": "images read another way",
    "F33": "changed circumstances",
    "F34": "a stored part left out",
    "F35": "wrong clocks",
    "F36": "log lines after kill -9",
    "F37": "a torn log line",
    "F38": "retention",
    "F39": "a sweep's job fails or is killed",
    "F40": "fuzzed files",
    "F41": "links and odd files in a run's folder",
    "F42": "foreign code in the current folder",
    "F43": "environment variables in stored configurations",
    "F44": "text from files in terminals and documents",
    "F45": "permissions of what is written",
    "F46": "a folder or lock that is deleted, copied or renamed",
    "F47": "a lost terminal, a limit on CPU time",
    "F48": "circumstances of the start",
    "F49": "debris in the folder for temporary files",
    "F50": "malformed records",
    "F51": "fuzzed records",
    "F52": "files in a cache that are something else",
    "F53": "mistyped command lines",
    "F54": "names of folders",
    "F55": "names and tags of image files",
    "F56": "formats that start programs",
    "F57": "layouts of folders of images",
    "F58": "transparent images",
    "F59": "images and folders that cannot be read",
    "F60": "image files opened again and again",
    "F61": "files that are not MNIST's",
    "F62": "terminals that lack characters, YAML files that hold no settings",
    "F63": "a logger that fails or hangs",
}


def run_tests(slow: bool) -> list[dict[str, Any]]:
    """Run the marked tests; return their reports."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        which = f"row and {'slow' if slow else 'not slow'}"
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", which, "--rows", path], cwd=REPOSITORY, check=False)
        reported: list[dict[str, Any]] = json.loads(path.read_text())
        return reported


def by_row(tests: list[dict[str, Any]], slow: bool) -> dict[str, dict[str, Any]]:
    """Return the tests' findings, by row and tier."""
    rows: dict[str, dict[str, Any]] = {}
    for test in tests:
        properties = test["properties"]
        figures = [value for name, value in properties if name == "figure"]
        for row, injected in (value for name, value in properties if name == "row"):
            entry = rows.setdefault(
                f"{row} {'slow' if slow else 'fast'}", {"injected": [], "figures": [], "outcomes": []}
            )
            entry["injected"] += [injected] if injected not in entry["injected"] else []
            entry["figures"] += figures
            entry["outcomes"].append(test["outcome"])
            entry["date"] = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    return rows


def found(entry: dict[str, Any]) -> str:
    """Return a row's figures, and the numbers of tests that failed or were skipped.

    Figures "case: outcome" with one outcome are one entry, "case, case: outcome".
    """
    outcomes = entry["outcomes"]
    cases: dict[str, list[str]] = {}
    for figure in dict.fromkeys(entry["figures"] or [f"{outcomes.count('passed')}/{len(outcomes)} cases"]):
        case, _, outcome = figure.rpartition(": ")
        cases.setdefault(outcome, []).append(case)
    words = [f"{', '.join(filter(None, named))}: {outcome}".removeprefix(": ") for outcome, named in cases.items()]
    for outcome in ("failed", "skipped"):
        if count := outcomes.count(outcome):
            words.append(f"**{count} {outcome}**")
    return "; ".join(words)


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the Markdown table, rows in the order of the matrix."""
    lines = ["| row | fault | injected how | found | date | command |", "|---|---|---|---|---|---|"]
    for row, fault in FAULTS.items():
        for tier, target in (("fast", "test-all"), ("slow", "test-slow")):
            if (entry := results.get(f"{row} {tier}")) is not None:
                injected = "; ".join(entry["injected"]).replace("|", "\\|")
                command = f'`make {target} ARGS="--row {row}"`'
                lines.append(f"| {row} | {fault} | {injected} | {found(entry)} | {entry['date']} | {command} |")
    return "\n".join(lines)


def write(results: dict[str, dict[str, Any]]) -> None:
    """Put the table between its marks in the document."""
    text = DOCUMENT.read_text()
    pattern = re.compile(f"{re.escape(MARKS[0])}.*{re.escape(MARKS[1])}", re.DOTALL)
    DOCUMENT.write_text(pattern.sub(lambda _: f"{MARKS[0]}\n{table(results)}\n{MARKS[1]}", text))


def main() -> None:
    """Measure unless told not to, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--slow", action="store_true", help="the rows of make test-slow instead of those of make test-all"
    )
    parser.add_argument("--write-only", action="store_true", help="only write the table again")
    parser.add_argument(
        "--rows", type=Path, help="what `make test-all ARGS='--rows FILE'` has found, instead of running it"
    )
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not arguments.write_only:
        tests = json.loads(arguments.rows.read_text()) if arguments.rows else run_tests(arguments.slow)
        results |= by_row(tests, arguments.slow)
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    write(results)


if __name__ == "__main__":
    main()
