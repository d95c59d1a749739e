"""``gantrain-recipe``: recipes listed, printed, copied, checked and compared, as users meet them."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_object

from gantrain.cli import recipe, targets
from gantrain.cli.recipe_checks import with_targets
from tests.conftest import CONFIGS, Outcome, command, option_names

Command = Callable[..., Outcome]
HEAD = "# @package _global_\n# Mine.\n"


@pytest.fixture
def gantrain_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    monkeypatch.delenv("GANTRAIN_CONFIGS", raising=False)
    yield from command(recipe.main, "gantrain-recipe", tmp_path, monkeypatch, capsys)


def written(name: str, text: str, head: str = HEAD) -> str:
    path = Path("own/experiment") / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + text)
    return str(path)


def test_ls_names_every_recipe_with_its_data_loss_cost_and_first_line(gantrain_recipe: Command) -> None:
    written("mine", "defaults:\n  - override /data@_global_.data: ring\ntotal_steps: 3000\n")
    outcome = gantrain_recipe("ls", "--config-dir", "own")
    rows = {line.split()[0]: line for line in outcome.out.splitlines()[1:]}
    assert outcome.exit_code == 0 and list(rows) == [*option_names("experiment"), "mine"]
    assert rows["mine"].split() == ["mine", "ring", "any", "3,000", "steps", "Mine."]
    assert rows["sngan_proj_cifar10"].split()[1:7] == [
        "cifar10",
        "sngan",
        "50,000",
        "steps",
        "of",
        "64",
    ]  # its parent's
    assert "50 minutes on two quiet cores" in rows["cifar10_cpu"]
    assert rows["compare_losses"].split()[1:3] == ["any", "any"] and "One optimizer" in rows["compare_losses"]


def test_folders_of_the_environment_are_looked_into(gantrain_recipe: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    written("mine", "total_steps: 3\n")
    monkeypatch.setenv("GANTRAIN_CONFIGS", "own")
    assert "mine" in gantrain_recipe("ls").out and gantrain_recipe("validate", "mine").exit_code == 0
    assert gantrain_recipe("diff", "mine", "mine").out == "no setting differs\n"
    monkeypatch.setenv("GANTRAIN_CONFIGS", "nowhere")
    outcome = gantrain_recipe("ls")
    assert outcome.exit_code == 2 and "nowhere is not a folder" in outcome.err


def test_a_copy_is_printed_used_as_it_says_and_never_replaced(gantrain_recipe: Command, gantrain: Command) -> None:
    text = (CONFIGS / "experiment" / "ring_modes.yaml").read_text()
    assert gantrain_recipe("cat", "ring_modes").out == text
    outcome = gantrain_recipe("cp", "ring_modes", "own/experiment/mine.yaml")
    assert outcome.exit_code == 0 and Path("own/experiment/mine.yaml").read_text() == text
    (use,) = [line for line in outcome.out.splitlines() if line.startswith("use it")]
    assert use.split()[2:] == ["gantrain", "--config-dir", "own", "experiment=mine"]
    quick = ("total_steps=2", "batch_size=8", "run.dir=run", "evaluation=none", "samples.count=4")
    assert gantrain(*use.split()[3:], *quick).exit_code == 0 and Path("run/config.yaml").exists()
    Path("own/experiment/mine.yaml").write_text("changed")
    outcome = gantrain_recipe("cp", "ring_modes", "own/experiment/mine.yaml")
    assert outcome.exit_code == 2 and "is there already" in outcome.err
    assert Path("own/experiment/mine.yaml").read_text() == "changed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cp", "ring_modes", "mine.yaml"), "would not be found: recipes lie in a folder called experiment; write exp"),
        (("cp", "ring_modes", "own/experiment/waves.yaml"), "experiment=waves is gantrain's own"),
        (("cp", "ring_modes", "own/experiment/my one.yaml"), "must be called NAME.yaml"),
        (("cp", "ring_modes", "own/experiment/mine"), "must be called NAME.yaml"),
        (("cat", "biggan"), "there is no recipe biggan; did you mean biggan_cifar10?"),
        (("cat", "ring_mode"), "did you mean ring_modes?"),
        (("validate", "own/mine.yaml"), "own/mine.yaml: is not a file"),
        (("diff", "ring_modes", "zzz"), "there is no recipe zzz; gantrain-recipe ls lists all"),
        (("ls", "--config-dir", "gone"), "--config-dir=gone is not a folder"),
    ],
)
def test_what_cannot_be_done_gets_one_line(gantrain_recipe: Command, arguments: tuple[str, ...], words: str) -> None:
    outcome = gantrain_recipe(*arguments)
    assert outcome.exit_code == 2 and words in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err
    assert not Path("own").exists() and not outcome.out


FAULTS = {
    "total_stepz: 5": "total_stepz is not a setting; did you mean total_steps?",
    "total_steps: 0": "total_steps must be 1 or more, got 0",
    "batch_size: many": "batch_size must be a whole number, like 64; got many",
    "evaluation: {n_fake: 3}": "evaluation.n_fake must be 100 or more, got 3",
    "optimizer: {g: {lr: fast}}": "optimizer.g.lr must be a number, like 0.0002; got fast",
    "optimizer: {g: {lrr: 1}}": "optimizer.g.lrr is not a setting of torch.optim.Adam; did you mean optimizer.g.lr?",
    "data: {sise: 8}\ndefaults: [override /data@_global_.data: image_folder]": (
        "data.sise is not a setting of gantrain.data.ImageFolder; did you mean data.size?"
    ),
    "loss: {objective: {_target_: gantrain.losses.Hingee}}": "gantrain.losses has no Hingee",
    "augment: {_target_: os.system}": "augment: _target_=os.system is not trusted",
    "augment: {_target_: gone.A}\ntrusted_modules: [gone]": "there is no module gone here",
    "schedule: {ema.halflife: {_target_: gantrain.schedules.Cosine, end: 1}}": "moves nothing: ema.halflife is not a",
    "defaults: [override /loss@_global_.loss: hing]": "loss=hing does not exist; did you mean loss=hinge?",
    "log: {every: '${nowhere}'}": "Interpolation key 'nowhere' not found",
    "total_steps: [1": "is no YAML",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_fault_of_a_recipe_is_one_line_that_says_what_to_do(gantrain_recipe: Command, text: str) -> None:
    outcome = gantrain_recipe("validate", written("mine", text))
    (line,) = outcome.err.splitlines()
    assert outcome.exit_code == 2 and not outcome.out
    assert line.startswith("gantrain: error: own/experiment/mine.yaml: ") and FAULTS[text] in line


def test_every_fault_has_its_line_and_what_the_user_must_give_is_none(gantrain_recipe: Command) -> None:
    first, good = written("first", "total_stepz: 5\nloggg: {every: 2}\n"), "table"
    outcome = gantrain_recipe("validate", first, good, written("second", "", head="# no package\nseed: 1\n"))
    assert outcome.exit_code == 2 and len(outcome.err.splitlines()) == 3
    assert outcome.err.splitlines()[2].endswith("all of it is a setting called experiment")
    assert outcome.out == "table can be used; give data.root=… to the command\n"


def test_no_code_of_a_recipe_is_run(gantrain_recipe: Command) -> None:
    Path("mine.py").write_text("raise SystemExit(9)\nclass Loss:\n    def __init__(self, scale: float) -> None: ...\n")
    text = "trusted_modules: [mine]\nloss: {objective: {_target_: mine.Loss, scale: 1.0}}\n"
    targets.module_named.cache_clear()
    assert gantrain_recipe("validate", written("good", text)).exit_code == 0
    outcome = gantrain_recipe("validate", written("bad", text.replace("scale", "scael")))
    assert "loss.objective.scael is not a setting of mine.Loss; did you mean loss.objective.scale?" in outcome.err


def test_a_file_anywhere_can_be_checked_and_one_that_would_not_be_used_is_refused(gantrain_recipe: Command) -> None:
    Path("mine.yaml").write_text("# @package _global_\ndefaults: [parent]\nbatch_size: 7\n")
    Path("parent.yaml").write_text("# @package _global_\ntotal_steps: 5\n")
    assert gantrain_recipe("validate", "mine.yaml").exit_code == 0
    assert gantrain_recipe("diff", "parent.yaml", "mine.yaml").out == "batch_size: 64 → 7\n"
    Path("waves.yaml").write_text("# @package _global_\nseed: 1\n")
    outcome = gantrain_recipe("validate", "waves.yaml")
    assert outcome.exit_code == 2 and "experiment=waves is gantrain's own; rename it" in outcome.err


def test_every_recipe_of_gantrain_s_own_is_good(gantrain_recipe: Command) -> None:
    outcome = gantrain_recipe("validate", "r3gan_cifar10", "stylegan2_ada_cifar10", "table")
    assert outcome.exit_code == 0, outcome.err


@pytest.mark.thorough
@pytest.mark.parametrize("name", option_names("experiment"))
def test_each_recipe_of_gantrain_s_own_is_good(gantrain_recipe: Command, name: str) -> None:
    outcome = gantrain_recipe("validate", name)
    assert outcome.exit_code == 0, outcome.err


def test_diff_lists_dotted_keys_of_recipes_and_of_runs(gantrain_recipe: Command, gantrain: Command) -> None:
    lines = gantrain_recipe("diff", "sngan_cifar10", "sngan_proj_cifar10").out.splitlines()
    assert "conditioning.discriminator: none → projection" in lines
    assert "architecture.generator.conditioning: (not there) → auto" in lines
    assert all(line.split(".")[0] in ("architecture", "conditioning") for line in lines)
    run = ("experiment=ring_modes", "total_steps=2", "batch_size=8", "run.dir=run", "samples.count=4", "seed=3")
    assert gantrain(*run, "evaluation=none").exit_code == 0
    lines = gantrain_recipe("diff", "ring_modes", "run").out.splitlines()
    assert {"batch_size: 256 → 8", "seed: 0 → 3", "total_steps: 10000 → 2"} <= set(lines)
    assert not any(line.startswith(("run.", "checkpoint.", "samples.")) for line in lines)


def each_target() -> set[str]:
    """Every target that gantrain's own files of settings name."""
    files = [yaml.safe_load(path.read_text()) for path in CONFIGS.rglob("*.yaml") if "hydra" not in path.parts]
    found = {node["_target_"] for content in files for _, node in with_targets(content)}
    return {target for target in found if targets.is_in(target, targets.TRUSTED)}


def test_the_arguments_read_from_the_source_are_those_that_python_tells() -> None:
    known = each_target()
    assert len(known) > 60
    told = {target: targets.taken(target) for target in known}
    assert not {target: said for target in known if (said := targets.fault(target, ()))}
    assert sum(names is None for names in told.values()) <= 1, [t for t, names in told.items() if names is None]
    for target, names in told.items():
        signature = inspect.signature(get_object(target)).parameters.values()
        if names is not None and not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature):
            assert names == {p.name for p in signature}, target
    assert (
        told["gantrain.data.ImageFolder"] is not None and {"root", "size", "limit"} <= told["gantrain.data.ImageFolder"]
    )


def test_a_target_is_looked_up_through_imports_conditions_and_bases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    targets.module_named.cache_clear()
    Path("pack").mkdir()
    Path("pack/__init__.py").write_text("from .one import Given as Taken\nfrom pack.two import *\nNAME = 1\n")
    Path("pack/one.py").write_text(
        "from dataclasses import dataclass\n"
        "class Above:\n    def __init__(self, a, *, b=1): ...\n"
        "try:\n    class Given(Above):\n        pass\nexcept ImportError:\n    Given = None\n"
        "class Any:\n    def __init__(self, **more): ...\n"
        "@dataclass\nclass Data:\n    x: int = 1\n"
        "def make(c): ...\n"
    )
    assert targets.taken("pack.Taken") == targets.taken("pack.one.Given") == {"a", "b"}
    assert targets.taken("pack.one.make") == {"c"}
    assert targets.taken("pack.one.Any") is targets.taken("pack.one.Data") is targets.taken("pack.NAME") is None
    assert targets.fault("pack.Taken", ["pack"]) == targets.fault("pack.Unknown", ["pack"]) == ""  # of the star
    assert "pack.one has no Gone" in targets.fault("pack.one.Gone", ["pack"])
    assert "is a module" in targets.fault("pack.one", ["pack"])
    assert "is no dotted name" in targets.fault(5, ["pack"])
    Path("pack/one.py").write_text("class (")
    targets.module_named.cache_clear()
    assert targets.taken("pack.one.Given") is None


def test_the_command_imports_neither_torch_nor_what_reads_images() -> None:
    code = (
        "import sys; from gantrain.cli import recipe; sys.argv = ['gantrain-recipe', 'validate', 'ring_modes'];"
        "code = recipe.work(); assert not {'torch', 'PIL', 'numpy', 'scipy'} & sys.modules.keys(); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0 and done.stdout == "ring_modes can be used\n", done.stderr
