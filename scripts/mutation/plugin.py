"""A pytest plugin for runs in copies of the tree: it measures the tests, or runs some of them against a fault.

The environment variable PLAN names a JSON file with its task; every process that the tests start inherits the variable.
"""

from __future__ import annotations

import faulthandler
import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

PLAN = "GANTRAIN_MUTANTS_PLAN"


def name_of(item: pytest.Item) -> str:
    """Return a test's name without the group that xdist appends."""
    groups = [mark.args[0] if mark.args else mark.kwargs["name"] for mark in item.iter_markers("xdist_group")]
    return item.nodeid.removesuffix(f"@{groups[0]}") if groups else item.nodeid


class Measure:
    """Notes the order of the tests, and for each its time, whether it fails, and the lines that it runs."""

    def __init__(self, plan: dict[str, Any], worker: str) -> None:
        import coverage

        self.out, self.worker = Path(plan["out"]), worker
        self.order, self.seconds, self.failed = list[str](), dict[str, float](), list[str]()
        data = str(self.out / f"{worker}.coverage")
        self.coverage = coverage.Coverage(data_file=data, include=plan["include"], config_file=False)
        self.coverage.start()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note the order."""
        self.order = [name_of(item) for item in items]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note time and lines; a shared fixture belongs to the first test that needs it."""
        name, begin = name_of(item), time.perf_counter()
        self.coverage.switch_context(name)
        try:
            return (yield)
        finally:
            self.coverage.switch_context("")
            self.seconds[name] = round(time.perf_counter() - begin, 4)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note the tests that fail on the sound tree."""
        report = yield
        if report.failed:
            self.failed.append(name_of(item))
        return report

    def pytest_sessionfinish(self) -> None:
        """Write all of it."""
        self.coverage.stop()
        self.coverage.save()
        found = {"order": self.order, "seconds": self.seconds, "failed": self.failed}
        (self.out / f"{self.worker}.json").write_text(json.dumps(found))


class Judge:
    """Runs the tests of the plan in its order, each within its time, and notes which fail."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.out, self.limits = Path(plan["out"]), dict[str, float](plan["limits"])
        self.hang = (self.out / "hang").open("w")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the tests of the plan."""
        found = {name_of(item): item for item in items}
        items[:] = [found[name] for name in self.limits if name in found]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """End the process if a test takes too long, even one that never lets the interpreter go."""
        (self.out / "current").write_text(name_of(item))
        faulthandler.dump_traceback_later(self.limits[name_of(item)], exit=True, file=self.hang)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that fails."""
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a test file that cannot be imported."""
        self.note(report)

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Add what fails, and the line that says why, to the failures."""
        if not report.failed:
            return
        crash = getattr(report.longrepr, "reprcrash", None)
        lines = (crash.message if crash else str(report.longrepr)).strip().splitlines() or [""]
        entry = {"test": report.nodeid, "how": lines[0 if crash else -1][:200]}
        with (self.out / "failures").open("a") as file:
            print(json.dumps(entry), file=file)


def pytest_configure(config: pytest.Config) -> None:
    """Take up the task."""
    plan = json.loads(Path(os.environ[PLAN]).read_text())
    worker = getattr(config, "workerinput", {}).get("workerid")
    if plan["task"] == "judge":
        config.pluginmanager.register(Judge(plan))
    elif worker or not config.getoption("numprocesses", None):  # the process that only distributes tests runs none
        config.pluginmanager.register(Measure(plan, worker or "main"))
