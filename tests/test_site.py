"""The site: built strictly, with every page, option, key and public name in it, and nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import gantrain
from gantrain.reference import Catalogue
from gantrain.reference.keys import COMMANDS
from tests.conftest import GUARD, REPOSITORY

HAS_MKDOCS = all(importlib.util.find_spec(name) for name in ("mkdocs", "material"))


@cache
def reference() -> ModuleType:
    """scripts/reference.py, as mkdocs loads it."""
    spec = importlib.util.spec_from_file_location("reference", REPOSITORY / "scripts" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def pages() -> dict[str, str]:
    found: dict[str, str] = reference().pages()
    return found


def test_the_reference_has_every_group_and_option() -> None:
    for group, options in Catalogue().groups.items():
        page = pages()[reference().page_of(group)]
        for option in options.values():
            assert f"\n## {option.label} {{#{option.name}}}\n" in page
            assert all(b.option in page for b in option.brings)


def test_the_reference_has_every_key_with_default_meaning_and_source() -> None:
    page, commands = pages()["reference/keys.md"], pages()["reference/commands.md"]
    for key in Catalogue().keys("train").values():
        part = page.partition(f"\n### `{key.name}` {{#{key.name}}}\n")[2].partition("\n### ")[0]
        assert "- default: " in part, key.name
        assert "- source: " in part or "- set in:" in part, key.name
        assert not key.kind or "- type: " in part, key.name
    for command in COMMANDS.keys() - {"train"}:
        for key in Catalogue().tops[command].lines:
            assert reference().code(key) in commands, f"{command}: {key}"


def test_the_reference_has_every_public_name_with_its_docstring() -> None:
    page = pages()["reference/python.md"]
    for name in gantrain.__all__:
        part = page.partition(f"\n## `gantrain.{name}` {{#gantrain.{name.replace('__', '')}}}\n")[2].partition("\n## ")[
            0
        ]
        assert part.strip(), name
        if callable(thing := getattr(gantrain, name)):
            assert "```python" in part and (thing.__doc__ or "").split()[0].strip("`") in part, name


def test_every_exit_code_is_listed() -> None:
    table = pages()["reference/commands.md"].partition("## Exit codes")[2]
    assert {int(n) for n in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} >= {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 75, 130}


def test_text_of_comments_means_nothing_to_markdown_and_html() -> None:
    plain = reference().plain
    assert plain("a*b <data.root>/x | _y_ [k]") == r"a\*b &lt;data.root>/x &#124; \_y\_ \[k]"
    assert plain("see `a*b` and ``c|d``") == "see `a*b` and `c|d`"
    assert plain("Me 2026, arXiv:1704.00028") == "Me 2026, [arXiv:1704.00028](https://arxiv.org/abs/1704.00028)"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not HAS_MKDOCS:
        pytest.skip("mkdocs-material is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = built(folder)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def built(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder), *options]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=GUARD)


@pytest.mark.thorough
def test_the_site_builds_strictly_and_has_every_document(site: Path) -> None:
    for document in (REPOSITORY / "docs").rglob("*.md"):
        assert (site / document.relative_to(REPOSITORY / "docs")).with_suffix(".html").exists(), document
    for page in pages():
        assert (site / page).with_suffix(".html").exists()
    assert '"location":"reference/keys.html#ema.halflife_images"' in (site / "search/search_index.json").read_text()


@pytest.mark.thorough
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not re.findall(r'<(?:script|img|iframe)[^>]* src="(?:https?:)?//', text), page
        assert not re.findall(r'<link[^>]*rel="(?:stylesheet|preconnect|preload)"[^>]*href="(?:https?:)?//', text), page


@pytest.mark.thorough
@pytest.mark.skipif(not HAS_MKDOCS, reason="mkdocs-material is not installed")
def test_links_that_lead_nowhere_fail_the_build(tmp_path: Path) -> None:
    links = ("nowhere.md", "data.md#nowhere", "reference/keys.md#ema.nothing", "images/nothing.png")
    shutil.copytree(REPOSITORY / "docs", tmp_path / "docs")
    with (tmp_path / "docs" / "index.md").open("a") as file:
        file.writelines(f"\n[there]({link})\n" for link in links)
    text = (REPOSITORY / "mkdocs.yml").read_text()
    text = text.replace("[scripts/reference.py]", f"[{REPOSITORY}/scripts/reference.py]", 1)
    (tmp_path / "mkdocs.yml").write_text(re.sub(r"watch: .*\n", "", text))
    done = built(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert done.returncode != 0 and all(link in done.stderr for link in links), done.stderr
