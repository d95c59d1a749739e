"""What was found as lines of at most 80 columns."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gantrain.inspection.text_of_files import of_files, plural, share
from gantrain.terminal import fold, visible

WIDTH, LABEL = 80, 14
"""Columns of a line, and of the label before its text."""
MOST_CLASSES = 60
"""That are listed one by one; of more, only the largest and the smallest."""
FEW = 6
"""Classes of many, groups of copies, and coordinates, that are listed."""


def lines(found: dict[str, Any]) -> str:
    """Return everything as text; names from files show every character."""
    rows: list[tuple[str, Iterable[str]]] = [
        ("data", [f"{found['data']}: {found['described']}"]),
        ("samples", samples(found)),
        ("classes", classes(found)),
    ]
    if found["files"]:
        rows += of_files(found["files"], found["samples"])
    rows += [
        ("unreadable", unreadable(found)),
        ("passed over", found["passed_over"]),
        ("values", values(found)),
        ("exact copies", exact_copies(found)),
        ("near copies", near_copies(found)),
        ("suggested", suggested(found)),
        ("train with", in_lines(found["command"]) if found["suggestions"] else []),
        ("picture", [found["out"]] if found["out"] else []),
    ]
    return "\n".join(line for label, texts in rows for line in row(label, texts))


def row(label: str, texts: Iterable[str]) -> Iterator[str]:
    """Yield the lines of one subject, its label before the first of them."""
    for k, text in enumerate(texts):
        yield fold(f"{'' if k else label:<{LABEL}}{visible(text)}", WIDTH)


def samples(found: dict[str, Any]) -> Iterator[str]:
    """Yield how many there are, and of which shape."""
    of = f" {tuple(found['shape'])}" if found["shape"] else ""
    if found["samples"] is None:
        yield f"{found['kind']}{of}, drawn fresh without end; {found['looked_at']:,} were looked at"
    elif found["looked_at"] < found["samples"]:
        yield f"{found['samples']:,} {found['kind']}{of}; {found['looked_at']:,} were looked at"
    else:
        yield f"{found['samples']:,} {found['kind']}{of}"


def classes(found: dict[str, Any]) -> Iterator[str]:
    """Yield the number of samples of each class, in columns, and the balance."""
    listed = found["classes"]
    if listed is None:
        yield "none"
        return
    ordered = sorted(listed, key=lambda one: -one["samples"])
    balance = "no sample of some" if found["balance"] is None else f"{found['balance']:.3g} : 1"
    low, high = ordered[-1], ordered[0]
    same = low["samples"] == high["samples"]
    ends = "all equally large" if same else f"largest : smallest {balance} ({high['name']} : {low['name']})"
    drawn = " among those drawn" if found["samples"] is None else ""
    yield f"{len(listed):,}{drawn}, {ends}"
    if len(listed) <= MOST_CLASSES:
        yield from columns(listed)
        return
    yield f"the {FEW} largest and the {FEW} smallest:"
    yield from columns([*ordered[:FEW], *ordered[-FEW:]])


def columns(listed: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield names and numbers side by side, as many as there is room for, read row by row."""
    names, numbers = [visible(one["name"]) for one in listed], [f"{one['samples']:,}" for one in listed]
    left, right = max(map(len, names)), max(map(len, numbers))
    cells = [f"{name:<{left}} {number:>{right}}" for name, number in zip(names, numbers, strict=True)]
    width = left + right + 4
    across = max(1, (WIDTH - LABEL + 3) // width)
    for start in range(0, len(cells), across):
        yield "".join(f"{cell:<{width}}" for cell in cells[start : start + across]).rstrip()


def unreadable(found: dict[str, Any]) -> Iterator[str]:
    """Yield every file that cannot be read, with the reason."""
    bad, of = found["unreadable"], found["files"]
    total = len(bad) + (found["samples"] or 0)
    if bad:
        yield f"{len(bad):,} of {total:,}" + "; data.on_bad=skip leaves out a share of data.skip_limit at most" * bool(
            of
        )
        yield from bad


def values(found: dict[str, Any]) -> Iterator[str]:
    """Yield the range of each channel or coordinate."""
    of = found["values"]
    if not found["looked_at"]:
        return
    pictures = found["kind"] == "images"
    digits = "{:.0f}" if pictures else "{:.4g}"
    texts = {
        name: ["–" if number is None else digits.format(number) for number in of[name]]
        for name in ("low", "high", "mean", "sd")
    }
    if pictures:
        ends = f"{min(of['low']):.0f} to {max(of['high']):.0f}"
        means, deviations = (" ".join(texts[name][:FEW]) for name in ("mean", "sd"))
        yield f"{ends}, mean {means}, standard deviation {deviations}"
    else:
        for k, (low, high, mean, sd) in enumerate(zip(*texts.values(), strict=True)):
            if k == FEW < len(of["low"]):
                yield f"and {len(of['low']) - FEW:,} more"
                break
            number = f"{k}: " if len(of["low"]) > 1 else ""
            yield f"{number}{low} to {high}, mean {mean}, standard deviation {sd}"
    if of["not_finite"]:
        yield f"{plural(of['not_finite'], 'number is', 'numbers are')} not finite"


def exact_copies(found: dict[str, Any]) -> Iterator[str]:
    """Yield what is there more than once."""
    if found["duplicates"]:
        yield from copies(found["duplicates"]["exact"], found["samples"])


def near_copies(found: dict[str, Any]) -> Iterator[str]:
    """Yield what nearly is there more than once, and what that means."""
    near = found["duplicates"] and found["duplicates"]["near"]
    if near:
        yield from copies(near, found["samples"])
        side = "×".join(map(str, near["thumbnail"]))
        yield (
            f"near: gray thumbnails {side} of even contrast differ by {near['difference']:g} of 255 at most (root mean "
            f"square), mean colours by {near['colour']:g}"
        )


def copies(of: dict[str, Any], n: int) -> Iterator[str]:
    """Yield how many copies there are, and the first groups of them."""
    if not of["groups"]:
        yield "none"
        return
    across = f"; {plural(of['across_classes'], 'group is', 'groups are')} in several classes" * bool(
        of["across_classes"]
    )
    extra = of["superfluous"]
    yield f"{extra:,} ({share(extra, n)}) in {plural(of['groups'], 'group')}, beside the first of each{across}"
    for group in of["members"][:FEW]:
        yield "  = ".join(group[:FEW]) + (f"  … {len(group) - FEW:,} more" if len(group) > FEW else "")
    if of["groups"] > FEW:
        yield f"and {plural(of['groups'] - FEW, 'more group')}; json=true lists all"


def suggested(found: dict[str, Any]) -> Iterator[str]:
    """Yield settings, and why."""
    of, settings = found["files"], found["suggestions"]
    why = {"batch_size": "as usual" if found["samples"] is None else f"for {plural(found['samples'], 'sample')}"}
    if of:
        transparent = "; 4 learns transparency too" * bool(of["loader"]["on_background"])
        why["data.size"] = f"the power of two up to the median side, {of['sizes']['median_side'] or 0:g}"
        why["data.channels"] = ("every image is gray" if settings.get("data.channels") == 1 else "colour") + transparent
    for key, value in settings.items():
        yield f"{f'{key}={value}':<22}{why.get(key, '')}".rstrip()


def in_lines(command: list[str]) -> Iterator[str]:
    """Yield a command in lines that a shell joins."""
    words = [shlex.quote(word) for word in command]
    line = words[0]
    for word in words[1:]:
        if LABEL + len(line) + len(word) + 3 > WIDTH:
            yield f"{line} \\"
            line = f"  {word}"
        else:
            line += f" {word}"
    yield line
