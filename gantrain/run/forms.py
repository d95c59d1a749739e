"""Forms of records: what an entry of a run's file may be, because a file may be damaged, or a stranger's.

A form takes a value as JSON gives it, and returns it, or raises ``Misfit``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gantrain.run.directions import DIRECTIONS

LONGEST = 2**16
"""Characters of a text."""
LONGEST_NAME = 256
"""Characters of the name of an entry."""
LARGEST = 1e100
"""Size of a number: the squares and the sums of such numbers are finite too."""

Form = Callable[[Any], Any]


class Misfit(ValueError):  # noqa: N818  (no error by itself: whoever reads the record says which file it is)
    """Says which entry has the wrong form, and what would have been right."""

    def __init__(self, said: str, where: str = "") -> None:
        self.said, self.where = said, where
        super().__init__(f"{where or 'it'} {said}")

    @classmethod
    def of(cls, value: Any, wanted: str) -> Misfit:
        """Return what to say of a value."""
        return cls(f"is {shown(value)}, not {wanted}")

    def within(self, name: object) -> Misfit:
        """Return the same about the entry of an outer record."""
        return Misfit(self.said, f"{name}.{self.where}" if self.where else str(name))


def shown(value: Any) -> str:
    """Return a value in a few words."""
    if isinstance(value, dict | list | tuple):
        return "a list" if not isinstance(value, dict) else "an object"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def anything(value: Any) -> Any:
    """Take whatever there is."""
    return value


def text(value: Any) -> str:
    """Take a text of moderate length."""
    if not isinstance(value, str) or len(value) > LONGEST:
        raise Misfit.of(value, "a text" if not isinstance(value, str) else f"a text of at most {LONGEST:,} characters")
    return value


def whole(value: Any) -> int:
    """Take a whole number of 0 or more that 63 bits hold, as a seed may have."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise Misfit.of(value, "a whole number")
    return value


def number(value: Any) -> float:
    """Take a finite number that can be reckoned with; whole ones stay whole."""
    if type(value) not in (int, float) or not abs(value) <= LARGEST:
        raise Misfit.of(value, "a finite number")
    return value  # type: ignore[no-any-return]  # its type has been looked at


def reading(value: Any) -> float:
    """Take a number as a training may log it, which may be infinite or NaN."""
    if type(value) not in (int, float):
        raise Misfit.of(value, "a number")
    return value  # type: ignore[no-any-return]


def scalar(value: Any) -> Any:
    """Take a text, a number, a truth value or null."""
    if isinstance(value, dict | list):
        raise Misfit.of(value, "a text or a number")
    return text(value) if isinstance(value, str) else value


def truth(value: Any) -> bool:
    """Take a truth value."""
    if not isinstance(value, bool):
        raise Misfit.of(value, "true or false")
    return value


def direction(value: Any) -> str:
    """Take the name of the side of a value that is the good one."""
    if value not in DIRECTIONS:
        raise Misfit.of(value, f"one of {', '.join(DIRECTIONS)}")
    return str(value)


def maybe(form: Form) -> Form:
    """Return a form that takes null too."""
    return lambda value: None if value is None else form(value)


def list_of(form: Form) -> Form:
    """Return the form of a list."""

    def take(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Misfit.of(value, "a list")
        return [under(k, form, entry) for k, entry in enumerate(value)]

    return take


def by_name(form: Form) -> Form:
    """Return the form of an object whose entries, by whatever names, have one form."""

    def take(value: Any) -> dict[str, Any]:
        if any(len(name) > LONGEST_NAME for name in mapping(value)):
            raise Misfit(f"has a name of more than {LONGEST_NAME} characters")
        return {name: under(name, form, entry) for name, entry in value.items()}

    return take


def record(*needed: str, **forms: Form) -> Form:
    """Return the form of an object with certain entries; ``needed`` may not be missing, others are left out."""

    def take(value: Any) -> dict[str, Any]:
        found = mapping(value)
        if missing := [name for name in needed if name not in found]:
            raise Misfit("is missing", missing[0])
        return {name: under(name, form, found[name]) for name, form in forms.items() if name in found}

    return take


def mapping(value: Any) -> dict[Any, Any]:
    """Take an object."""
    if not isinstance(value, dict):
        raise Misfit.of(value, "an object")
    return value


def under(name: object, form: Form, value: Any) -> Any:
    """Take an entry of a record, and say of a misfit where it is."""
    try:
        return form(value)
    except Misfit as error:
        raise error.within(name) from None


def fitted(found: Mapping[str, Any], forms: Mapping[str, Form]) -> tuple[dict[str, Any], str]:
    """Return the entries of a record that have their forms, and in words the first that has not, "" if all have."""
    values: dict[str, Any] = {}
    wrong = ""
    for name, form in forms.items():
        if name in found:
            try:
                values[name] = under(name, form, found[name])
            except Misfit as error:
                wrong = wrong or str(error)
    return values, wrong


def check_depth(value: Any, most: int) -> None:
    """Raise Misfit if lists and objects lie in each other more than ``most`` deep: what reads them recurses."""
    level = [value]
    for _ in range(most):
        if not (level := [inner for node in level for inner in inside(node)]):
            return
    raise Misfit.of(value, f"at most {most} deep")


def inside(node: Any) -> list[Any]:
    """Return the lists and objects that lie in a list or an object."""
    entries = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [entry for entry in entries if isinstance(entry, dict | list)]


COUNTS = by_name(whole)
COST = record(
    **dict.fromkeys(("training_seconds", "other_seconds"), number),
    **{"flops_per_step": maybe(number), "flops": maybe(number), "peak_memory_bytes": whole},
)
"""The operations are null while a step is still being counted."""
DEPARTURES = list_of(record("step", "changed", step=whole, changed=text))
COMMITS = list_of(record("step", "commit", "dirty", step=whole, commit=maybe(text), dirty=maybe(truth)))
"""From which steps on a run was made by which commit of the code in its working folder; null: of none, not known."""
PLAYER = record(parameters=whole, optimizer=text, learning_rate=number, betas=list_of(number))
BUDGET = record("of", "amount", of=text, amount=maybe(number))
"""A budget's amount is null in the settings, before it is known."""

STATUS: dict[str, Form] = {
    **{"state": text, "reason": text, "exit_code": anything, "step": whole, "total_steps": maybe(whole)},
    **{"counters": COUNTS, "departures": DEPARTURES, "choices": by_name(text), "overrides": list_of(text)},
    **{
        "command": text,
        "folder": text,
        "players": by_name(PLAYER),
        "ratio": text,
        "seed": whole,
        "variant": text,
        "budget": BUDGET,
    },
    **{"per_step": COUNTS, "data": text, "search": maybe(by_name(scalar)), "environment": by_name(scalar)},
    **{"commits": COMMITS, "host": text, "notes": text, "tags": list_of(text)},
    "cost": COST,
}
"""Of status.json. What the exit code may be, is for who reads it to say: one that cannot be stands for a failure."""

SETTINGS: dict[str, Form] = {
    **{"total_steps": whole, "precision": record(forward=text), "budget": record(of=text, amount=maybe(number))},
}
"""Of what is looked up in a stored config.yaml before it is compared as a whole."""

SWEEP: dict[str, Form] = {
    **{"sweep": text, "overrides": list_of(text), "run": maybe(text), "state": text, "step": maybe(whole)},
    **{"exit_code": maybe(whole), "reason": text, "seconds": maybe(number), "values": by_name(number)},
}
"""Of a line of sweep.jsonl, as far as it is shown."""

CHANGE: dict[str, Form] = {"step": whole, "changed": text, "settings": text}
"""Of a line of changes.jsonl."""

UNITS = record(
    *("offset", "scale"),
    **{"offset": list_of(reading), "scale": list_of(reading), "names": list_of(text)},
    **{"label": maybe(text), "rate": maybe(whole)},
)
"""What the numbers of a sample stand for."""

MANIFEST: dict[str, Form] = {
    **{"step": whole, "settings": text, "departures": DEPARTURES, "cost": COST, "metrics": by_name(reading)},
    "generator": maybe(
        record(
            *("shape", "classes"),
            **{"shape": list_of(whole), "classes": whole},
            **{"class_names": maybe(list_of(text)), "shares": maybe(list_of(number)), "units": maybe(UNITS)},
        )
    ),
}
"""Of a checkpoint's manifest, as far as something is made of it. A metric may be infinite: it is what was logged."""

SHOWN = record(
    *("hash", "features", "n_fake", "n_real", "generator"),
    **{"hash": text, "features": text, "generator": text, "n_fake": whole, "n_real": whole, "resizer": text},
    **{"truncation": maybe(number), "split": maybe(text)},
)


def protocol(value: Any) -> dict[str, Any]:
    """Take the record of a protocol, of which everything is kept; what is shown of it must be there."""
    found: dict[str, Any] = by_name(scalar)(value)
    return found | SHOWN(found) if found else found


def best(value: Any) -> dict[str, Any]:
    """Take the record of a best checkpoint by an earlier protocol."""
    found: dict[str, Any] = record("best", best_by=maybe(text), best=maybe(by_name(reading)))(value)
    return found


EVALUATION: dict[str, Form] = {
    **{"protocol": protocol, "tag": maybe(text), "better": by_name(direction), "best_by": maybe(text)},
    **dict.fromkeys(("best", "final", "median_of_last_5"), maybe(by_name(reading))),
    "earlier": by_name(best),
}
"""Of evaluation.json. A value that a metric could not give is NaN there."""
