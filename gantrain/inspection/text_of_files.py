"""What was found about image files, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def plural(n: int, noun: str, more: str = "") -> str:
    """Return a number with its noun."""
    return f"{n:,} {noun if n == 1 else more or noun + 's'}"


def share(part: float, of: float) -> str:
    """Return a share of a number in per cent, with as many digits as it takes to see that it is not zero."""
    per_cent = 100 * part / of if of else 0.0
    return f"{per_cent:.0f}%" if per_cent >= 10 or not per_cent else f"{per_cent:.2g}%"


def of_files(files: dict[str, Any], readable: int) -> list[tuple[str, Iterable[str]]]:
    """Return the rows about the files themselves."""
    return [
        ("files", [f"{files['files']:,} images, {files['bytes'] / 2**20:,.1f} MiB: {counts(files['formats'])}"]),
        ("sizes", sizes(files["sizes"])),
        ("modes", [counts(files["modes"])] if files["modes"] else []),
        ("loaded as", loader(files["loader"], readable) if readable else []),
        ("kept", [kept(files["kept"])]),
    ]


def counts(of: dict[str, int]) -> str:
    """Return names with their counts."""
    return ", ".join(f"{name} {n:,}" for name, n in of.items()) or "none that can be read"


def sizes(found: dict[str, Any]) -> Iterator[str]:
    """Yield the most common sizes, and the smallest and the largest."""
    if not found["different"]:
        return
    common = ", ".join(f"{width}×{height}: {n:,}" for width, height, n in found["common"])
    if found["different"] == 1:
        yield common
        return
    others = found["different"] - len(found["common"])
    yield common + (f", and {plural(others, 'other size')}" if others else "")
    low, high = ("×".join(map(str, found[end])) for end in ("smallest", "largest"))
    yield f"smallest {low}, largest {high}, median side {found['median_side']:g}"


FITTED = {
    "crop": ("cropped to a square", "{share} is cut off"),
    "pad": ("padded to a square", "{share} of the square is black"),
    "stretch": ("stretched to a square", "by {share} of the longer side"),
}
"""What is done to images that are not square, and how much of it on average."""


def loader(found: dict[str, Any], n: int) -> Iterator[str]:
    """Yield what becomes of the files' images: what is done, and to how many."""
    yield f"{found['channels']} × {found['size']} × {found['size']}, data.fit={found['fit']}"
    fitted, how_much = FITTED[found["fit"]]
    done = {
        "oblong": fitted,
        "shrunk": "made smaller",
        "enlarged": "made larger, so blurred",
        "gray_to_colour": "gray to three channels",
        "colour_to_gray": "colours lost",
        "on_background": "on rgb({},{},{})".format(*found["background"]),
        "turned": "turned upright (Exif)",
        "jpeg_at_a_part": "JPEG at ½, ¼ or ⅛",
    }
    for key, text in done.items():
        if found[key]:
            rest = f", {how_much.format(share=share(found['share'], 1))} on average" if key == "oblong" else ""
            yield f"{text:<24}{'all' if found[key] == n else f'{found[key]:,}'}{rest}"
    if not any(found[key] for key in done):
        yield "all as they are"


def kept(found: dict[str, Any]) -> str:
    """Return where training would keep the decoded images."""
    where = {
        "memory": "in memory",
        "copy": "decoded, in a file of the cache",
        "files": "nowhere: each batch is read from the files",
    }
    return f"{where[found['where']]}; decoded they take {found['bytes'] / 2**20:,.1f} MiB"
