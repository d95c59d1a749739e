"""Whether the Ray cluster that does a sweep's jobs is still there: Ray may wait for ever for one that has died."""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress

SECONDS = 2.0  # between two looks
LOOKS = 3  # that must find nobody


class Watch:
    """Asks this machine's part of the cluster (its raylet), which ends when the cluster's head has died.

    Ray is not asked, because its own functions abort the process when the head was started again meanwhile.
    """

    def __init__(self) -> None:
        self.next, self.failed = 0.0, 0

    def is_lost(self) -> bool:
        """Tell whether a cluster that this process is connected to no longer answers; asked again and again."""
        if time.monotonic() < self.next:
            return False
        self.next = time.monotonic() + SECONDS
        self.failed = self.failed + 1 if (path := raylet()) is not None and not answers(path) else 0
        return self.failed >= LOOKS


def raylet() -> str | None:
    """Return the socket of the raylet that this process is connected to, None if there is none."""
    worker = sys.modules.get("ray._private.worker")
    with suppress(AttributeError):
        return str(worker._global_node.raylet_socket_name)  # type: ignore[union-attr]
    return None


def answers(path: str) -> bool:
    """Tell whether a process listens at a Unix socket."""
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(SECONDS)
            end.connect(path)
    except OSError:
        return False
    return True
