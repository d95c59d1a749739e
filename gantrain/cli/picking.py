"""``tags=[a,b]`` and ``notes=word``: which runs a command that looks at many is to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gantrain.errors import ConfigError

KEYS = ("tags", "notes")


@dataclass(frozen=True)
class Picking:
    """What runs must have to be shown.

    Args:
        tags: all of these.
        notes: this text in their notes, whatever the case of its letters; "" for any notes, and none.
    """

    tags: tuple[str, ...] = ()
    notes: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Picking:
        """Return what the settings ``tags`` and ``notes`` of a command line ask for; brackets may be left out.

        Raises:
            ConfigError: for a list without a word.
        """
        listed = given.get("tags", "").strip()
        inside = listed[1:-1] if listed.startswith("[") and listed.endswith("]") else listed
        tags = tuple(word for part in inside.split(",") if (word := part.strip().strip("\"'")))
        if "tags" in given and not tags:
            raise ConfigError("tags= names no word; write tags=baseline, or tags=[baseline,paper] for runs with both")
        return cls(tags, given.get("notes", ""))

    def takes(self, tags: Sequence[str], notes: str) -> bool:
        """Tell whether a run with these tags and notes is to be shown."""
        return set(self.tags) <= set(tags) and self.notes.casefold() in notes.casefold()

    def refuse_none(self, picked: int, among: int) -> None:
        """Raise ConfigError if nothing is left of a number of runs."""
        if among and not picked:
            raise ConfigError(f"none of {among:,} {'run' if among == 1 else 'runs'} has {self}")

    def __bool__(self) -> bool:
        return bool(self.tags or self.notes)

    def __str__(self) -> str:
        asked = [f"tags=[{','.join(self.tags)}]"] if self.tags else []
        return " and ".join([*asked, *([f"notes={self.notes}"] if self.notes else [])])
