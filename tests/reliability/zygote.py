"""A warmed-up process that forks one child per request, because importing torch takes longer than most of these tests.

Requests and replies are lines of JSON: {"call": function of children.py, "arguments": […], "folder": …, "out": …} is
answered by {"pid": …}, {"wait": pid} by {"code": null while it lives, else as in subprocess}.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

import torch

from tests.reliability import children


def warm_up() -> None:
    """Run the whole command once, so that all its lazy imports are done."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        os.chdir(folder)
        children.train(["data=ring", "total_steps=2", "device=cpu", "batch_size=16"])
        os.chdir(before)


def serve(folder: str, out: str, call: str, arguments: list[object]) -> None:
    """Be the child: call the function, and leave with its exit code."""
    os.setsid()
    os.chdir(folder)
    log = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 0
    try:
        getattr(children, call)(*arguments)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Answer requests until the other end closes."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    torch.set_num_threads(1)
    warm_up()
    print(json.dumps({"ready": True}), file=replies)
    for request in map(json.loads, sys.stdin):
        if "wait" in request:
            pid, status = os.waitpid(request["wait"], os.WNOHANG)
            reply = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        else:
            pid = os.fork()
            if pid == 0:
                serve(**request)
            reply = {"pid": pid}
        print(json.dumps(reply), file=replies)


if __name__ == "__main__":
    main()
