"""The card of an export: what the hub reads, what people read, and nothing that a stranger could slip into it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from gantrain.run.directory import RunDirectory
from tests.commands.conftest import Command


def parts(folder: Path) -> tuple[dict[str, Any], str]:
    """The front matter of a card, as the hub reads it, and the rest."""
    found = re.match(r"---\n(.*?)\n---\n(.*)", (folder / "README.md").read_text(), re.S)
    assert found is not None
    return yaml.safe_load(found[1]), found[2]


def with_status(run: Path, **more: object) -> None:
    choices = {"data": "digits", "architecture": "dcgan", "loss": "vanilla"}
    commits = [{"step": step, "commit": letter * 40, "dirty": letter == "b"} for step, letter in ((0, "a"), (20, "b"))]
    later = {"step": 30, "commit": "c" * 40, "dirty": False}
    facts = {"step": 30, "choices": choices, "commits": [*commits, later], "data": "1,797 images"}
    facts |= more
    RunDirectory(run).write_status("finished", facts, 0)


def test_a_card_says_what_it_is_how_to_load_it_and_how_good(gantrain_export: Command, run: Path) -> None:
    with_status(run)
    assert gantrain_export(f"run={run}", "license=cc-by-4.0").exit_code == 0
    head, text = parts(run / "export")
    told = json.loads((run / "export/config.json").read_text())
    assert (head["library_name"], head["license"], head["tags"]) == (
        "gantrain",
        "cc-by-4.0",
        ["gan", "gantrain", "images"],
    )
    ((result,), protocol) = head["model-index"][0]["results"], told["evaluation"]["protocol"]
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["fid"] == told["evaluation"]["values"]["fid"] and "kid_std" not in values
    assert all(protocol["hash"] in metric["name"] for metric in result["metrics"])
    assert result["task"]["type"] == "unconditional-image-generation" and "1,797 images" in result["dataset"]["name"]
    assert text.startswith("\n# vanilla on digits (dcgan)\n") and "averaged generator of a GAN at step 30" in text
    assert "- licence: cc-by-4.0\n- samples: images of 1×8×8 in [-1, 1]\n" in text
    assert f"- code: commit {'a' * 10}, then commit {'b' * 10} with changes\n" in text
    assert 'gantrain.load("path/to/this/folder")' in text
    assert f"| fid ↓ | {values['fid']:.4g} |" in text and f"classifier {protocol['hash']}: 200 of the averaged" in text
    settings = yaml.safe_load(text.split("```yaml\n")[1].split("\n```")[0])
    assert settings["loss._target_"] == "gantrain.losses.Loss" and settings["batch_size"] == 16
    assert not any(key.startswith(("run.", "evaluation", "device")) for key in settings)


def test_what_is_not_known_is_said_to_be_not_known(gantrain_export: Command, run: Path) -> None:
    (run / "status.json").unlink(missing_ok=True)
    assert gantrain_export(f"run={run}", "generator=raw", "out=raw").exit_code == 0
    head, text = parts(Path("raw"))
    assert "license" not in head and "model-index" not in head and "not recorded" in text
    assert head["pipeline_tag"] == "unconditional-image-generation"
    assert "# Generator of a GAN" in text and "The raw generator" in text and "- licence: not stated" in text
    assert "- code: not recorded" in text and "These weights were not measured at this step." in text


def test_a_licence_that_is_no_short_name_is_refused_before_anything_is_written(
    gantrain_export: Command, run: Path
) -> None:
    for wrong in ("my own", "[a]", "a/b", "x" * 65):
        outcome = gantrain_export(f"run={run}", f"license={wrong}")
        assert outcome.exit_code == 2 and len(outcome.err.splitlines()) == 1, wrong
    assert "license must be a short name" in outcome.err and not (run / "export").exists()


def test_names_of_a_stranger_s_run_are_only_text_and_folders_lose_their_place(
    gantrain_export: Command, run: Path
) -> None:
    evil = "x\n---\n# ![a](http://evil) <script>```"
    with_status(run, choices={"data": evil, "architecture": "dcgan", "loss": "\x1b[2J"})
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["data"]["root"], settings["notes"] = "/home/me/secret/photos", "private"
    settings["loss"]["label"] = evil
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    assert gantrain_export(f"run={run}", "out=card").exit_code == 0
    head, text = parts(Path("card"))
    assert head["library_name"] == "gantrain" and text.count("\n# ") == 1 and "\x1b" not in text
    title, rest = text.split("\n\n", 1)
    assert "\\<script>" in title and "](http" not in title
    block = rest.split("## Configuration\n\n")[1]
    fence = block.split("yaml")[0]
    assert fence == "````" and block.count(fence) == 2 and block.rstrip().endswith(fence)
    assert "data.root: photos" in text and "/home/me" not in text and "private" not in text
