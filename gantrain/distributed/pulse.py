"""Pulse: each rank tells the others that it lives, and finds out which of them does not."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store  # torch.distributed has them without types

from gantrain.errors import RankLostError

if TYPE_CHECKING:
    from gantrain.distributed.place import Place

EVERY = 0.5
"""Seconds between two beats, fewer where the time limit is short."""
ALIVE = 3
"""Beats that a rank may miss when another asks after it."""
PATIENCE = 30
"""Seconds without a beat after which nobody waits any longer for what a rank does alone."""
STORE_GONE = "the process that keeps the ranks' store is gone"


class SilentError(RuntimeError):
    """A rank for which others wait does not live any more; the text says which."""


class Pulse(threading.Thread):
    """A thread that counts this rank's beats in the ranks' store, where the others can see them stop.

    A rank that was stopped (SIGSTOP) or whose machine is gone is silent; one that failed has left a sentence. Each rank
    looks after the next one as well: where a device waits for a rank that does not come, no call ever returns.

    Args:
        store: of all ranks; no one else may use this connection, because a call that waits holds it.
        place: of this process.
        seconds: after which a silent rank ends the job.
    """

    def __init__(self, store: Store, place: Place, seconds: float) -> None:
        super().__init__(name="pulse", daemon=True)
        self.store, self.place, self.seconds = PrefixStore(f"pulse/{place.attempt}", store), place, seconds
        self.every = min(EVERY, seconds / 10)
        self.lost, self.steps = False, 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        store.set_timeout(timedelta(seconds=max(10 * self.every, 5)))
        self._beat(0)

    def run(self) -> None:
        """Beat until the process ends, or the store is gone."""
        beat, next_one = 0, (self.place.rank + 1) % self.place.world
        seen, since = "", time.monotonic()
        while not self._over.wait(self.every):
            beat += 1
            try:
                self._beat(beat)
                found = self._get(f"beat/{next_one}") or ""
            except Exception:  # whoever keeps the store is gone
                self.lost = True
                self._store_is_gone()
                return
            if found == seen and found != "over":
                if seen and time.monotonic() - since > self.seconds:
                    self._end(f"rank {next_one} has not answered for {self.seconds:g} s")
            else:
                seen, since = found, time.monotonic()

    def end(self) -> None:
        """Beat no more: this rank has come to its end."""
        self._over.set()
        with suppress(Exception), self._lock:
            self.store.set(f"beat/{self.place.rank}", "over")

    def wait_for(self, rank: int, key: str) -> None:
        """Wait until a rank has set a key, for as long as it lives.

        Raises:
            SilentError: if it does not.
        """
        pause, beat, since = 0.001, "", time.monotonic()
        try:
            while self._get(f"key/{key}") is None:
                time.sleep(pause)
                pause = min(1.5 * pause, 0.2)
                if (found := self._get(f"beat/{rank}") or "") != beat:
                    beat, since = found, time.monotonic()
                if self._get(f"word/{rank}") or time.monotonic() - since > min(self.seconds, PATIENCE):
                    raise SilentError(self.missing())
        except dist.DistError as error:
            raise SilentError(STORE_GONE) from error

    def set(self, key: str) -> None:
        """Set a key for which others wait."""
        with suppress(Exception), self._lock:  # they will see that this rank beats no more
            self.store.set(f"key/{key}", "")

    def leave_word(self, text: str, code: int) -> None:
        """Leave a sentence about why this rank ends, and its exit code."""
        with suppress(Exception), self._lock:
            self.store.set(f"word/{self.place.rank}", f"{code} {text}")

    def word(self) -> tuple[int, str, int] | None:
        """Return which other rank has failed, why, and with which exit code; None if none has said so."""
        for rank in self._others():
            with suppress(Exception):
                if found := self._get(f"word/{rank}"):
                    code, _, text = found.partition(" ")
                    return rank, text, int(code)
        return None

    def says_first(self) -> bool:
        """Tell whether this rank is the one that speaks of a lost rank: the first that asks."""
        try:
            with self._lock:
                mine = str(self.place.rank)
                return bool(self.store.compare_set("speaker", "", mine) == mine.encode())
        except Exception:
            return True

    def missing(self) -> str:
        """Return in words which ranks have ended, are silent, or do not go on."""
        if self.lost:
            return STORE_GONE
        try:
            before = {rank: self._get(f"beat/{rank}") for rank in self._others()}
            self._over.wait(ALIVE * self.every)
            after = {rank: self._get(f"beat/{rank}") for rank in self._others()}
        except Exception:
            return STORE_GONE
        silent = [rank for rank, beat in after.items() if beat in (before[rank], None)]  # that has ended well, too
        if not silent:
            slowest = min(after, key=lambda rank: self._steps(after[rank]))
            return f"rank {slowest} lives, but does not go on from its step"
        if len(silent) == 1:
            return f"rank {silent[0]} has been killed or does not answer"
        return f"ranks {', '.join(map(str, silent))} have been killed or do not answer"

    @staticmethod
    def _steps(beat: str | None) -> float:
        last = (beat or "").split()[-1:]
        return float(last[0]) if last and last[0].isdigit() else math.inf  # it has ended well

    def _others(self) -> list[int]:
        return [rank for rank in range(self.place.world) if rank != self.place.rank]

    def _beat(self, number: int) -> None:
        with self._lock:
            self.store.set(f"beat/{self.place.rank}", f"{number} {self.steps}")

    def _get(self, key: str) -> str | None:
        with self._lock:
            return self.store.get(key).decode() if self.store.check([key]) else None

    def _store_is_gone(self) -> None:
        # Nobody would hear of this process's end. It saves and stops, unless it waits for a rank that is gone as well.
        if self.place.hosted and not self._over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def _end(self, text: str) -> None:
        if self.says_first():
            with suppress(OSError):
                os.write(2, f"\ngantrain: error: {text}, so rank {self.place.rank} ends the job\n".encode())
        self.leave_word(text, RankLostError.exit_code)
        os._exit(RankLostError.exit_code)


def said(store: Store, world: int, attempt: int = 0) -> str:
    """Return why the first rank that failed did so, "" if none has left a word."""
    words = PrefixStore(f"pulse/{attempt}", store)
    found = (words.get(key).decode().partition(" ")[2] for rank in range(world) if words.check([key := f"word/{rank}"]))
    return next(found, "")
