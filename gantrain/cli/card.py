"""The card of an exported generator: README.md, with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import yaml

from gantrain.errors import ConfigError
from gantrain.reports.text import begun, escaped
from gantrain.run import git, read
from gantrain.run.directions import arrow, shown
from gantrain.run.identity import CARRYING_OUT, flat
from gantrain.run.places import PLACES
from gantrain.terminal import visible, visible_lines
from gantrain.version import VERSION

if TYPE_CHECKING:
    from gantrain.trained import Trained

NAME = "README.md"
LICENSE = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}")
"""Short names of licences, as SPDX and the hub have them."""
TASK = "unconditional-image-generation"
"""What the hub calls it, of images without classes."""
LISTED = 20
"""Classes that are named."""


def check_license(name: str | None) -> None:
    """Raise ConfigError for a licence that is no short name."""
    if name is not None and LICENSE.fullmatch(name) is None:
        raise ConfigError(
            f"license must be a short name, as license=apache-2.0 or license=cc-by-4.0; got {name[:80]!r}"
        )


def card(trained: Trained, which: str, license_: str | None, measured: Mapping[str, Any]) -> str:
    """Return the card of a run's generator.

    The settings of a run may be a stranger's: all that comes from them is escaped, or stands where it is only text.

    Args:
        trained: the run's checkpoint.
        which: ``ema`` or ``raw``.
        license_: short name of the licence; None: not stated.
        measured: ``protocol`` and ``values`` of the evaluation of these weights, or nothing.
    """
    status, _ = read.status(trained.run.path)
    better = read.evaluation(trained.run.path).better
    title = name_of(status.get("choices", {}))
    data = str(trained.manifest.get("data") or status.get("data", "not recorded"))
    parts = [
        front_matter(trained, title, license_, measured, better, data),
        f"# {escaped(title)}",
        f"The {'averaged' if which == 'ema' else 'raw'} generator of a GAN at step {trained.step:,} of its training, "
        f"exported by gantrain {VERSION}.",
        facts(trained, license_, status.get("commits", []), data),
        LOADING,
        numbers(measured, better),
        configuration(trained.settings),
    ]
    return "\n\n".join(parts) + "\n"


LOADING = """## How to load it

```python
import gantrain

generator = gantrain.load("path/to/this/folder")
samples = generator.sample(64, seed=0)
```

Nothing in the folder is run as code: `config.json` names classes of gantrain or torch, `generator.safetensors` holds
tensors."""


def name_of(choices: Mapping[str, str]) -> str:
    """Return what the generator is called, from the choices of its run."""
    if not {"loss", "data", "architecture"} <= choices.keys():
        return "Generator of a GAN"
    return f"{choices['loss']} on {choices['data']} ({choices['architecture']})"


def front_matter(
    trained: Trained,
    title: str,
    license_: str | None,
    measured: Mapping[str, Any],
    better: Mapping[str, str],
    data: str,
) -> str:
    """Return the YAML at the top of the card; a licence that is not stated has no entry."""
    conditioning = (trained.settings.get("conditioning") or {}).get("generator", "none")
    task = TASK if trained.kind.name == "images" and conditioning == "none" else None
    content: dict[str, Any] = {"library_name": "gantrain", "tags": ["gan", "gantrain", trained.kind.name]}
    content |= {"license": license_} if license_ is not None else {}
    content |= {"pipeline_tag": task} if task else {}
    values = {name: value for name, value in measured.get("values", {}).items() if name in shown(better)}
    if values:
        of = visible(measured["protocol"]["hash"])
        metrics = [{"type": name, "value": value, "name": f"{name} ({of})"} for name, value in values.items()]
        dataset = {"type": "other", "name": visible(data)}
        result = {"task": {"type": task or "other"}, "dataset": dataset, "metrics": metrics}
        content["model-index"] = [{"name": visible(title), "results": [result]}]
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---"


def facts(trained: Trained, license_: str | None, commits: Sequence[Mapping[str, Any]], data: str) -> str:
    """Return what the generator takes and gives, and where it comes from, as a list."""
    shape, classes = trained.samples_are()
    values, names = trained.kind.value_range, trained.class_names() or []
    made = [entry for entry in commits if entry["step"] < trained.step] or commits[:1]
    code = ", then ".join(git.described(entry) for entry in made if entry["commit"] is not None)
    within = "" if values is None else f" in [{values[0]:g}, {values[1]:g}]"
    has_names = names and list(names) != [str(k) for k in range(classes)]
    named = f" ({', '.join(names[:LISTED])}{', …' if len(names) > LISTED else ''})" if has_names else ""
    lines = {
        "licence": license_ or "not stated",
        "samples": f"{trained.kind.name} of {'×'.join(map(str, shape))}{within}",
        "latents": f"{trained.latent_dim} numbers",
        "classes of the data": f"{classes}{named}" if classes else "none",
        "data": data,
        "code": code or "not recorded",
    }
    return "\n".join(f"- {name}: {escaped(text)}" for name, text in lines.items())


def numbers(measured: Mapping[str, Any], better: Mapping[str, str]) -> str:
    """Return the values of the evaluation under its protocol."""
    head = "## Evaluation"
    if not measured:
        return f"{head}\n\nThese weights were not measured at this step."
    values = {name: value for name, value in measured["values"].items() if name in shown(better)}
    rows = [f"| {escaped(arrow(better, name))} | {value:.4g} |" for name, value in values.items()]
    said = begun(read.described(measured["protocol"]))
    return "\n".join([f"{head}\n\n{said}\n", "| value | |", "|---|---:|", *rows])


def configuration(settings: Mapping[str, Any]) -> str:
    """Return the settings of the training, without those of where and how it was carried out.

    Of the name of a folder only the last part is kept: the others speak of a machine.
    """
    kept = {key: value for key, value in flat(settings) if not key.startswith(CARRYING_OUT)}
    kept = {key: PurePath(str(v)).name if key in PLACES and v is not None else v for key, v in kept.items()}
    text = visible_lines(
        yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None).rstrip("\n")
    )
    fence = "`" * max(3, 1 + max((len(found) for found in re.findall("`+", text)), default=0))
    return f"## Configuration\n\n{fence}yaml\n{text}\n{fence}"
