"""The site's reference, written from the code and the YAML files while mkdocs builds: nothing of it is kept in files.

mkdocs calls ``on_config`` and ``on_files`` (``hooks`` in mkdocs.yml). ``pages()`` is everything they add, by path:
every group and option, every key with default, type, range, meaning and source, every command, and every name of
``gantrain.__all__`` with its signature and docstring.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # the gantrain beside this file, whichever is installed

import gantrain  # noqa: E402
from gantrain import errors  # noqa: E402
from gantrain.cli import help, report  # noqa: E402
from gantrain.reference import Catalogue, Key, Option, targets  # noqa: E402
from gantrain.reference.keys import COMMANDS, in_words  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

CODES = {0: "finished", 1: "a bug of gantrain's, with its traceback", 130: "forced, by a second Ctrl-C"}
"""Exit codes that no error class has, or that have one of several reasons."""
PRINTED = {"report": report.USAGE, "help": help.USAGE}
"""Commands whose settings stand in their usage alone."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the reference to the navigation."""
    for section in config.nav or []:
        ((name, entries),) = section.items()
        if name == "Reference":
            entries += [*navigation()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference's pages."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leave the text of a link that leads out of docs/, into the code: the site does not hold that."""
    depth = page.file.src_uri.count("/")
    return re.sub(rf"\[([^\]]+)\]\((?:\.\./){{{depth + 1},}}[^)]*\)", r"\1", markdown)


def navigation() -> Iterator[dict[str, Any]]:
    """Yield the reference's entries."""
    yield {"All keys": "reference/keys.md"}
    yield {"Commands": "reference/commands.md"}
    yield {"Python": "reference/python.md"}
    yield {"Groups and options": [{group: page_of(group)} for group in groups(Catalogue())]}


def groups(catalogue: Catalogue) -> list[str]:
    """Return every group, in the order in which the commands list them."""
    return list(dict.fromkeys(group for command in COMMANDS for group in catalogue.choices(command)))


def page_of(group: str) -> str:
    """Return the path of a group's page."""
    return f"reference/{group.replace('/', '_')}.md"


def pages() -> dict[str, str]:
    """Return the Markdown of every page of the reference by its path in the site."""
    catalogue = Catalogue()
    found = {page_of(group): group_page(group, catalogue) for group in groups(catalogue)}
    found["reference/keys.md"] = keys_page(catalogue)
    found["reference/commands.md"] = commands_page(catalogue)
    found["reference/python.md"] = python_page(gantrain.__all__)
    return found


def plain(text: str) -> str:
    """Return a text in which Markdown and HTML mean nothing, but for `code` and links to arXiv."""
    parts = re.split(r"(`+[^`]+`+)", text)
    for k in range(0, len(parts), 2):
        safe = parts[k].replace("&", "&amp;").replace("<", "&lt;").replace("*", "\\*").replace("|", "&#124;")
        safe = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", safe).replace("[", "\\[")
        parts[k] = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", safe)
    for k in range(1, len(parts), 2):
        parts[k] = parts[k].replace("``", "`")
    return "".join(parts)


def code(text: str) -> str:
    """Return a text as code, also in a table, where a narrow screen may break it behind a dot or a comma."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("*", "&#42;")
    return "<code>" + re.sub(r"([.,/])(?=[^ 0-9])", r"\1<wbr>", safe) + "</code>"


def group_page(group: str, catalogue: Catalogue) -> str:
    """Return the page of a group: what it is for, and every option."""
    said = catalogue.meaning_of(group)
    assert said is not None
    default = {"null": "none", "": "none"}.get(said.option, said.option)
    lines = [f"# {group}", "", f"{plain(capital(said.comment))}. Default: {code(default)}.", ""]
    known: set[str] = set()
    for option in catalogue.groups[group].values():
        lines += option_part(option, catalogue, known)
    return "\n".join(lines) + "\n"


def option_part(option: Option, catalogue: Catalogue, described: set[str]) -> Iterator[str]:
    """Yield what there is to say of an option: its source, what it brings, its classes, and what it sets.

    Args:
        option: whose.
        catalogue: where its keys are known.
        described: classes that the page has described already; those of this option are added.
    """
    yield f"## {option.label} {{#{option.name}}}"
    yield ""
    yield from heading(option)
    for brought in option.brings:
        name = (
            f"[{brought.group}={brought.option}]({page_of(brought.group).removeprefix('reference/')}#{brought.option})"
        )
        yield f"- brings {name}" + (f": {plain(brought.comment)}" if brought.comment else "")
    yield ""
    for target in dict.fromkeys(catalogue.targets_of(option).values()):
        found = targets.described(target)
        if found is not None and target not in described:
            described.add(target)
            yield from (f"**{plain(target)}**", "")
            yield from docstring(found.doc, "Args:")
    whole = catalogue.whole(option)
    if whole:
        yield "| key | value | meaning |"
        yield "|---|---|---|"
    known = catalogue.keys("train") | catalogue.keys("theory")
    for key, setter in whole.items():
        name = f"[{code(key)}](keys.md#{key})" if key in known else code(key)
        meaning = setter.line.comment or (known[key].meaning if key in known else "")
        yield f"| {name} | {code(in_words(setter.line.value, key))} | {plain(meaning)} |"
    yield ""


def heading(option: Option) -> Iterator[str]:
    """Yield the comment at the top of a file as paragraphs; its indented lines are commands."""
    for line in option.heading:
        if line.startswith(" "):
            yield from ("", f"    {line.strip()}", "")
        else:
            yield plain(line)
    yield ""


def capital(text: str) -> str:
    """Return a text that begins with a capital letter."""
    return text[:1].upper() + text[1:]


def keys_page(catalogue: Catalogue) -> str:
    """Return the page of all keys of ``gantrain`` and ``gantrain-theory``, by their first word."""
    keys = catalogue.keys("train") | {k: v for k, v in catalogue.keys("theory").items() if k.startswith("generated.")}
    lines = ["# All keys", "", "Every setting, written `key=value` on the command line. In a terminal,"
             " `gantrain help KEY` says the same.", ""]  # fmt: skip
    parts: dict[str, list[Key]] = {"the run": []}
    for name, key in sorted(keys.items()):
        parts.setdefault(name.split(".")[0] if "." in name else "the run", []).append(key)
    for part, members in parts.items():
        lines += [f"## {part}", ""]
        said = catalogue.tops["train"].sections.get(part)
        lines += [f"{plain(capital(said))}.", ""] if said else []
        for key in members:
            lines += key_part(key)
    return "\n".join(lines) + "\n"


def key_part(key: Key) -> Iterator[str]:
    """Yield default, type, range, meaning and source of a key, and where it is set."""
    yield f"### `{key.name}` {{#{key.name}}}"
    yield ""
    if key.meaning:
        yield f"{plain(capital(key.meaning))}."
        yield ""
    default = code(key.default) if key.default is not None else "none: only the options below have it"
    yield f"- default: {default}"
    if kind := ", ".join(part for part in (key.kind, key.range) if part):
        yield f"- type: {plain(kind)}"
    if key.source and key.source.group:
        yield f"- source: {plain(key.source.label)}: {plain(' '.join(key.source.heading))}"
    elif key.source:
        yield f"- source: {plain(key.source.label)}"
    places = [f"{plain(names)}: {plain(told)}" for names, told in help.set_in(key)]
    if key.default is None or len(key.setters) > 1:
        yield "- set in:"
        yield from (f"    - {place}" for place in places)
    yield ""


def commands_page(catalogue: Catalogue) -> str:
    """Return the page of all commands with their own settings, and of the exit codes."""
    lines = ["# Commands", "", "Every command prints its own help with `--help`, and its version with `--version`.", ""]
    for name, (command, _) in COMMANDS.items():
        if name == "train":
            lines += [
                "## gantrain",
                "",
                "Train a GAN, or with `-m` a sweep of them. Its settings: [All keys](keys.md).",
                "",
            ]
            continue
        lines += [f"## {command}", "", *heading(catalogue.tops[name])]
        lines += ["| key | default | type | meaning |", "|---|---|---|---|"]
        for key in catalogue.keys(name).values():
            if key.name in catalogue.tops[name].lines:
                kind = ", ".join(part for part in (key.kind, key.range) if part)
                cells = [code(key.name), code(key.default or "none"), plain(kind), plain(key.meaning)]
                lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    for name, usage in PRINTED.items():
        title = "gantrain help" if name == "help" else f"gantrain-{name}"
        lines += [f"## {title}", "", "```text", usage, "```", ""]
    lines += ["## gantrain-status", "", "`gantrain-status RUN… [--json]` shows each run's state, step, time left, last"
              " metrics and size. Its exit code is that of the first run that did not finish well.", ""]  # fmt: skip
    return "\n".join([*lines, *exit_codes()]) + "\n"


def exit_codes() -> Iterator[str]:
    """Yield a table of the exit codes, from the classes of errors."""
    found = dict(CODES)
    for name, one in vars(errors).items():
        if inspect.isclass(one) and issubclass(one, errors.GantrainError) and (number := vars(one).get("exit_code")):
            found.setdefault(number, f"{(inspect.getdoc(one) or name).splitlines()[0].rstrip('.')}")
    yield from ("## Exit codes", "", "| code | meaning |", "|---|---|")
    yield from (f"| {number} | {plain(meaning)} |" for number, meaning in sorted(found.items()))


def python_page(names: Iterable[str]) -> str:
    """Return the page of the public names of the package, with signatures and docstrings."""
    lines = ["# Python", "", "The names that `import gantrain` gives. All else may change.", ""]
    for name in sorted(names, key=str.lower):
        lines += object_part(f"gantrain.{name}", getattr(gantrain, name), "##")
    return "\n".join(lines) + "\n"


def object_part(name: str, thing: Any, level: str) -> Iterator[str]:
    """Yield the signature and the docstring of a class, a function or a value, of a class its public methods too."""
    yield f"{level} `{name}` {{#{name.replace('__', '')}}}"
    yield ""
    if not callable(thing):
        yield f"{code(repr(thing))}" if isinstance(thing, str | int | float) else ""
        yield ""
        return
    yield from ("```python", f"{name.rpartition('.')[2]}{signature(thing)}", "```", "")
    yield from docstring(own_doc(thing))
    if inspect.isclass(thing):
        for method, function in vars(thing).items():
            if not method.startswith("_") and inspect.isfunction(inspect.unwrap(function)):
                yield from object_part(f"{name}.{method}", function, "###")


def signature(thing: Any) -> str:
    """Return the signature of a function or constructor, an argument a line if it is long; "(…)" of one without."""
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return "(…)"
    given = [parameter for name, parameter in found.parameters.items() if name != "self"]
    short = str(found.replace(parameters=given)).replace("'", "")
    if len(short) <= 70:
        return short
    returned = short.rpartition(") -> ")[2] if ") -> " in short else ""
    return "".join(["(\n", *(f"    {p},\n".replace("'", "") for p in given), ")", f" -> {returned}" * bool(returned)])


def own_doc(thing: Any) -> str:
    """Return a docstring that is the object's own, not one that it inherits from a class of torch's or Python's."""
    return inspect.cleandoc(vars(thing).get("__doc__") or "") if inspect.isclass(thing) else inspect.getdoc(thing) or ""


def docstring(text: str, until: str = "") -> Iterator[str]:
    """Yield a docstring as Markdown: sections become lists; what follows the section ``until`` is left out."""
    inside = False
    for line in text.split("\n"):
        if until and line.strip() == until:
            break
        if re.fullmatch(r"(Args|Raises|Returns|Yields):", line):
            inside = True
            yield from ("", f"**{line}**", "")
        elif inside and (found := re.match(r"    (\w[\w.]*): (.*)", line)):
            yield f"- `{found[1]}`: {plain(found[2])}"
        elif inside and line.startswith(" "):
            yield f"    {plain(line.strip())}"
        elif line.startswith(">>> "):
            yield f"    {line.removeprefix('>>> ')}"
        else:
            inside = inside and not line.strip()
            yield plain(line)
    yield ""
