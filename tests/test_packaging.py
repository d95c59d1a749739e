"""What is installed: the wheel holds every module and every YAML, and runs from an empty folder."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import CONFIGS, GUARD, REPOSITORY


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build/ folder of an earlier build can lend it files."""
    import shutil

    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("gantrain", "configs", "hydra_plugins"):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=GUARD)
    (built,) = out.glob("gantrain-*.whl")
    return built


def test_the_wheel_holds_every_module_and_every_yaml(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for path in (REPOSITORY / "gantrain").rglob("*.py"):
        assert str(path.relative_to(REPOSITORY)) in inside
    for path in CONFIGS.rglob("*.yaml"):
        assert f"gantrain/configs/{path.relative_to(CONFIGS)}" in inside
    assert {"gantrain/py.typed", "hydra_plugins/gantrain_search/__init__.py"} <= inside
    assert {f"gantrain/reports/page.{kind}" for kind in ("html", "css", "js")} <= inside
    assert not any(name.startswith(("tests", "configs", "scripts")) for name in inside)


@pytest.mark.thorough
def test_the_installed_wheel_trains_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    # Unpacked in front of sys.path: what pip would do, without a second copy of torch.
    site, empty = tmp_path / "site", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(site)
    empty.mkdir()
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder)]\n"
        f"import gantrain; assert gantrain.__file__.startswith({str(site)!r}), gantrain.__file__\n"
        "from gantrain.cli.train import main; main()"
    )
    arguments = ["total_steps=2", "batch_size=16", "device=cpu", "loss=wgan_gp", "data=ring"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=empty, capture_output=True, text=True, timeout=GUARD
    )
    assert done.returncode == 0, done.stderr
    assert list(empty.glob("outputs/ring/mlp/wgan_gp/seed0-*/checkpoints/step-000000002/manifest.json"))


def test_the_documents_name_only_files_and_options_that_exist() -> None:
    import re

    for document in [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").rglob("*.md")]:
        # The table of faults names options that do not exist: they are what was injected.
        text = re.sub(r"(?m)^\| F\d.*$", "", document.read_text())
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            made = link.startswith("reference/")  # when the site is built, where tests/test_site.py finds a dead link
            assert made or (document.parent / link).exists(), f"{document.name}: {link}"
        for group, option in re.findall(
            r"\b(data|architecture|loss|generated|optimizer|ratio|precision|experiment)=(\w+)", text
        ):
            assert (CONFIGS / group / f"{option}.yaml").exists() or option.startswith("my_"), (
                f"{document.name}: {group}={option}"
            )
        assert not re.search(r"\b[A-Z]{3,}_[A-Z]{3,}\b(?!`|=)", text.replace("GANTRAIN_CONFIGS", "")), document.name
