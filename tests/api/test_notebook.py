"""A notebook, run as a reader would."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.conftest import GUARD, until

nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

TRAINS = """
import gantrain

class Counts:
    steps = 0
    def on_step(self, moment):
        self.steps += 1

counts = Counts()
run = gantrain.train(
    "evaluation=none", data="digits", batch_size=8, total_steps=6, log={"every": 2}, samples={"every": 3},
    callbacks=[counts],
)
print(run.state, run.step, counts.steps)
import os
print("kernel", os.getpid())
"""
LONG = """
run = gantrain.train("evaluation=none", data="ring", batch_size=8, total_steps=10**7, log={"every": 10},
                     samples={"every": 0}, checkpoint={"every": 0})
print("interrupted:", run.state, run.step > 0)
"""
GOES_ON = """
at = run.step
run = run.resume(callbacks=[type("Soon", (), {"on_step": lambda self, m: m.stop() if m.step > at + 2 else None})()])
print("resumed:", run.step - at)
run
"""


def outputs(cell: dict, kind: str) -> str:
    """All that a cell has given of one kind: text, or HTML."""
    found = []
    for output in cell["outputs"]:
        assert output["output_type"] != "error", "\n".join(output["traceback"])
        found.append(output.get("text", "") if kind == "text" else output.get("data", {}).get("text/html", ""))
    return "\n".join(found)


def test_a_notebook_trains_shows_pictures_is_interrupted_and_goes_on(tmp_path: Path) -> None:
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in (TRAINS, LONG, GOES_ON)]
    book = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(book, timeout=GUARD, resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel():
        client.execute_cell(cells[0], 0)
        kernel = int(outputs(cells[0], "text").split("kernel ")[1].split()[0])
        threading.Thread(target=press, args=(kernel, tmp_path), daemon=True).start()
        client.execute_cell(cells[1], 1)
        client.execute_cell(cells[2], 2)
    assert "finished 6 6" in outputs(cells[0], "text")
    shown = outputs(cells[0], "html")
    assert "data:image/png;base64" in shown and "<polyline" in shown and "step 6 of 6" in shown
    assert "6/6" in outputs(cells[0], "text") and "step 6 of 6, " not in outputs(cells[0], "text"), "no bar, but lines"
    assert "interrupted: stopped True" in outputs(cells[1], "text")
    assert "resumed: 3" in outputs(cells[2], "text") and "stopped at step" in outputs(cells[2], "html")


def press(kernel: int, folder: Path) -> None:
    """Press the stop button, which sends SIGINT to the kernel, once the long training has a line in its records."""
    until(lambda: any(path.stat().st_size for path in folder.glob("outputs/ring/**/metrics.jsonl")))
    os.kill(kernel, signal.SIGINT)
