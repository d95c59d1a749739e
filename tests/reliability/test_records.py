"""Records that are damaged or a stranger's: one bad run, one bad file of a cache, must not hide the others."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
import torch
from safetensors.torch import save_file

import gantrain as package
from gantrain.checkpoint.format import own_digest
from gantrain.cli import report as report_command
from gantrain.cli import status as status_command
from gantrain.cli.export import numbers
from gantrain.cli.picking import Picking
from gantrain.cli.resume import is_finished
from gantrain.cli.session import earlier_bests, refuse_other_run
from gantrain.errors import ConfigError, GantrainError
from gantrain.evaluation.cache import Cache
from gantrain.evaluation.classifier import Classifier
from gantrain.evaluation.reference import reference
from gantrain.reports import runs as report_runs
from gantrain.run import files
from gantrain.run.directory import RunDirectory
from gantrain.trained import Trained, best_step
from tests.commands.conftest import gantrain_eval, gantrain_export, gantrain_sample  # noqa: F401  (fixtures)
from tests.conftest import Outcome, command, config
from tests.data.messy import save
from tests.data.test_image_folder import WAYS
from tests.data.test_image_folder import read as read_folder
from tests.evaluation.test_prepare import digits  # noqa: F401  (a fixture)

pytestmark = pytest.mark.thorough

Command = Callable[..., Outcome]
Figure = Callable[[str], None]
Harm = Callable[[Path], object]
CPU = torch.device("cpu")
RING = (
    *("data=ring", "total_steps=4", "batch_size=16", "device=cpu", "log.every=2", "samples.every=2"),
    *("checkpoint.every=2", "architecture.generator.width=8", "architecture.discriminator.width=8"),
    *("evaluation=points", "evaluation.n_fake=100", "evaluation.n_real=100", "evaluation.every=2"),
)
NAMES = ("status.json", "metrics.jsonl", "evaluation.json", "config.yaml")


class HungError(AssertionError):
    """A reader waited, or took too long."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail if the block takes longer, also if it waits for the other end of a pipe."""

    def late(number: int, frame: FrameType | None) -> None:
        raise HungError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on points with evaluation, by the command, made once."""
    run = tmp_path_factory.mktemp("trained") / "run"
    train = "from gantrain.cli.train import main; main()"
    subprocess.run([sys.executable, "-c", train, *RING, f"run.dir={run}"], check=True, capture_output=True)
    return run


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A folder of two runs, ``good`` and ``bad``; bad is good as yet."""
    for name in ("good", "bad"):
        shutil.copytree(trained, tmp_path / "runs" / name)
    return tmp_path / "runs"


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    yield from command(status_command.main, "gantrain-status", tmp_path, monkeypatch, capsys)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    yield from command(report_command.main, "gantrain-report", tmp_path, monkeypatch, capsys)


# ---- ways to be malformed ---------------------------------------------------------------------------------------


def says(name: str, **entries: object) -> Harm:
    """Let a JSON record say something else; the name of an inner entry is dotted, with __."""

    def harm(run: Path) -> None:
        path = run / name
        found = json.loads(path.read_text())
        for key, value in entries.items():
            *outer, last = key.split("__")
            node = found
            for part in outer:
                node = node[part]
            node.pop(last, None)
            if value is not ...:
                node[last] = value
        path.write_text(json.dumps(found))

    return harm


def signed(**entries: object) -> Harm:
    """Let the newest checkpoint's manifest say something else, with a digest that fits."""

    def harm(run: Path) -> None:
        path = max(run.glob("checkpoints/step-*")) / "manifest.json"
        manifest = json.loads(path.read_text()) | entries
        path.write_text(json.dumps(manifest | {"sha256": own_digest(manifest)}))

    return harm


def line(text: str) -> Harm:
    """Add a line to metrics.jsonl."""
    return lambda run: (run / "metrics.jsonl").write_text((run / "metrics.jsonl").read_text() + text + "\n")


def put(name: str, kind: str) -> Harm:
    """Put a pipe, a folder, a dangling link, a device or too many bytes in a file's place."""

    def harm(run: Path) -> None:
        path = run / name
        path.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to("nowhere")
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.touch()
            os.truncate(path, 2**31)  # it has holes, and takes no place on the disk

    return harm


def nested(depth: int) -> Harm:
    return lambda run: (run / "status.json").write_text('{"reason": ' + "[" * depth + "]" * depth + "}")


def large_picture(run: Path) -> None:
    """A PNG of 12,000 × 12,000 pixels, all black."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = zlib.compress(bytes((12_000 * 3 + 1) * 12_000), 1)
    head = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    picture = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (run / "samples" / "step-000000004.png").write_bytes(picture)


def many_keys(run: Path) -> None:
    (run / "config.yaml").write_text("".join(f"k{i}: {i}\n" for i in range(400_000)))


MALFORMED: dict[str, Harm] = {
    "a curve value is null": line('{"step":61,"d/loss":null}'),
    "a curve value is a text": line('{"step":61,"d/loss":"low"}'),
    "a curve value is infinite": line('{"step":61,"d/loss":1e999,"g/loss":NaN,"eval_x":Infinity}'),
    "a step is huge": line('{"step":' + "9" * 4000 + ',"d/loss":1}'),
    "an evaluation without a name": line('{"step":61,"eval_":1}'),
    "lines without an end": line("{" * 2**21),
    "total_steps is a text": says("status.json", total_steps="many"),
    "total_steps is huge": says("status.json", total_steps=10**4000),
    "step is a list": says("status.json", step=[4]),
    "state is a list": says("status.json", state=["finished"]),
    "reason is an object": says("status.json", reason={"a": 1}),
    "counters are a text": says("status.json", counters="none"),
    "a counter is a text": says("status.json", counters={"failed_saves": "two"}),
    "departures are a text": says("status.json", departures="none"),
    "a departure is a text": says("status.json", departures=["once"]),
    "choices without loss": says("status.json", choices__loss=...),
    "choices are a list": says("status.json", choices=["vanilla"]),
    "a choice is a list": says("status.json", choices__loss=["vanilla"]),
    "overrides are a text": says("status.json", overrides="none"),
    "overrides hold lists": says("status.json", overrides=[["a=1"]]),
    "the budget is a list": says("status.json", budget=[1]),
    "the budget is huge": says("status.json", budget__amount=10**400),
    "the seed is a text": says("status.json", seed="zero"),
    "costs are texts": says("status.json", cost={"training_seconds": "long"}),
    "a cost is infinite": says("status.json", cost__training_seconds=float("inf")),
    "a cost is huge": says("status.json", cost__flops=10**4000),
    "players are texts": says("status.json", players={"G": "Adam", "D": "Adam"}),
    "betas are a number": says("status.json", players__G__betas=0.5),
    "a rate is a text": says("status.json", players__G__learning_rate="high"),
    "the environment is a list": says("status.json", environment=["cpu"]),
    "nested deep": nested(500),
    "nested very deep": nested(200_000),
    "a list for the status": lambda run: (run / "status.json").write_text("[]"),
    "no UTF-8": lambda run: (run / "status.json").write_bytes(b'{"state": "\xff\xfe"}'),
    "a best without a step": says("evaluation.json", best__step=...),
    "a best whose step is a text": says("evaluation.json", best__step="last"),
    "a best that is a list": says("evaluation.json", best=[4]),
    "a final value that is a text": says("evaluation.json", final__w2="low"),
    "a final value that is infinite": says("evaluation.json", final__w2=float("inf")),
    "a final value that is huge": says("evaluation.json", final__w2=10**400),
    "two final values near the largest": says("evaluation.json", final__w2=1.7e308),
    "a protocol without a hash": says("evaluation.json", protocol__hash=...),
    "a protocol of lists": says("evaluation.json", protocol__n_fake=[100]),
    "directions that are lists": says("evaluation.json", better={"w2": ["lowest"]}),
    "a direction that there is not": says("evaluation.json", better__w2="sideways"),
    "no direction is a good one": says("evaluation.json", better=dict.fromkeys(("w2", "modes", "mode_kl"), "as_real")),
    "chosen by a value without a good side": says("evaluation.json", best_by="modes_of_data"),
    "earlier without best": says("evaluation.json", earlier={"eval_x": {"best_by": "fid"}}),
    "earlier as a list": says("evaluation.json", earlier=[1]),
    "a cost of a manifest is a text": signed(cost={"training_seconds": "long"}),
    "a cost of a manifest is null": signed(cost={"peak_memory_bytes": None}),
    "costs of a manifest are a list": signed(cost=[1]),
    "departures of a manifest are texts": signed(departures=["once"]),
    "departures of a manifest are a number": signed(departures=1),
    "metrics of a manifest are texts": signed(metrics={"d/loss": "low"}),
    "metrics of a manifest are a list": signed(metrics=[1]),
    "the facts of a manifest are a list": signed(generator=[2]),
    "400,000 settings": many_keys,
    "settings nested deep": lambda run: (run / "config.yaml").write_text("[" * 200_000),
    "settings of dates and bytes": lambda run: (run / "config.yaml").write_text("a: 2020-01-01\nb: !!binary aGk=\n"),
    "settings that are a list": lambda run: (run / "config.yaml").write_text("- 1\n"),
    "settings whose groups are lists": lambda run: (run / "config.yaml").write_text(
        "data: [1]\nprecision: [1]\nbudget: [1]\ntotal_steps: [4]\narchitecture: [1]\nevaluation: [1]\n"
    ),
    "a large picture": large_picture,
    "a picture that is a dangling link": put("samples/step-000000004.png", "link"),
    "a picture that is a pipe": put("samples/step-000000004.png", "pipe"),
    "real.png is a pipe": put("samples/real.png", "pipe"),
    "run.lock is a pipe": put("run.lock", "pipe"),
    **{f"{name} is a {kind}": put(name, kind) for name in NAMES for kind in ("pipe", "folder", "link", "device")},
    **{f"{name} has gigabytes": put(name, "gigabytes") for name in NAMES},
}


def one_line(outcome: Outcome) -> bool:
    """Whether a command ended well, or with one line that says why not; warnings are lines too."""
    said = [text for text in outcome.err.splitlines() if text.startswith("gantrain: error: ")]
    usual = ("gantrain: error: ", "gantrain: warning: ", "step ")
    other = [text for text in outcome.err.splitlines() if not text.startswith(usual)]
    told = len(said) == 1 if outcome.exit_code in (2, 3, 5, 6, 7) else not said
    return told and "Traceback" not in outcome.err and "internal error" not in outcome.err and not other


# ---- rows -------------------------------------------------------------------------------------------------------


@pytest.mark.row("F50", "a run malformed in each of many ways beside a good one; gantrain-status and gantrain-report")
def test_a_run_that_cannot_be_read_does_not_hide_the_others(
    status: Command, report: Command, runs: Path, tmp_path: Path, figure: Figure
) -> None:
    for name, harm in MALFORMED.items():
        shutil.copytree(runs / "bad", tmp_path / "kept")
        harm(runs / "bad")
        with within(20):
            outcome = status("runs")
        assert outcome.err == "" and outcome.exit_code in (0, 1), (name, outcome)
        assert "runs/good" in outcome.out and "runs/bad" in outcome.out, (name, outcome.out)
        with within(20):
            assert len([json.loads(text) for text in status("runs", "--json").out.splitlines()]) == 2
        with within(20):
            outcome = report("runs", "out=r.html")
        assert outcome.exit_code == 0 and outcome.err == "", (name, outcome)
        found, unreadable = report_runs.find(["runs"])
        assert len(found) + len(unreadable) == 2 and "good" in {run.path.name for run in found}, (name, unreadable)
        shutil.rmtree(runs / "bad")
        shutil.move(tmp_path / "kept", runs / "bad")
    figure(f"{len(MALFORMED)}/{len(MALFORMED)}: a line for the bad run, the other shown, no traceback, no wait")


SOME = (
    *("a curve value is null", "a best without a step", "a cost of a manifest is null", "a large picture"),
    *("departures of a manifest are texts", "settings whose groups are lists", "evaluation.json is a pipe"),
)
"""Ways that the slower commands meet in every run of the tests; the others in the full matrix."""


@pytest.mark.parametrize(
    "names", [SOME, pytest.param(tuple(MALFORMED), marks=pytest.mark.thorough)], ids=["some", "all"]
)
@pytest.mark.row("F50", "the same runs measured, sampled, exported and gone on with")
def test_the_other_commands_say_in_one_line_what_is_wrong_with_a_run(
    gantrain: Command,
    gantrain_eval: Command,  # noqa: F811
    gantrain_sample: Command,  # noqa: F811
    gantrain_export: Command,  # noqa: F811
    runs: Path,
    tmp_path: Path,
    figure: Figure,
    names: tuple[str, ...],
) -> None:
    for name in names:
        shutil.copytree(runs / "bad", tmp_path / "kept")
        MALFORMED[name](runs / "bad")
        calls = {
            "sample": lambda: gantrain_sample("run=runs/bad", "n=4", "save=[npz,progress]"),
            "export": lambda: gantrain_export("run=runs/bad", "step=best"),
            "train": lambda: gantrain(*RING, "total_steps=6", "run.dir=runs/bad"),
        }
        for which, call in calls.items():
            with within(60):
                outcome = call()
            assert one_line(outcome), (name, which, outcome)
        shutil.rmtree(runs / "bad")
        shutil.move(tmp_path / "kept", runs / "bad")
    for name in ("400,000 settings", "config.yaml is a pipe"):
        shutil.copytree(runs / "bad", tmp_path / "kept")
        MALFORMED[name](runs / "bad")
        with within(60):
            outcome = gantrain_eval("run=runs", "json=true", "device=cpu")
        assert one_line(outcome) and json.loads(outcome.out.splitlines()[-1])["run"] == "runs/good", (name, outcome)
        shutil.rmtree(runs / "bad")
        shutil.move(tmp_path / "kept", runs / "bad")
    figure(f"3 commands on {len(names)} runs: each ended well or with one line")


def test_a_line_of_a_sweep_may_be_anything(report: Command, runs: Path) -> None:
    (runs / "sweep.jsonl").mkdir()
    assert report("runs", "out=r.html").exit_code == 0
    (runs / "sweep.jsonl").rmdir()
    odd = ("[]", '{"overrides": "a", "state": "refused"}', '{"overrides": [1], "state": "refused"}', "[" * 99_999, "{")
    good = '{"overrides": ["loss=none"], "state": "refused", "reason": "no such loss"}'
    (runs / "sweep.jsonl").write_text("\n".join([*odd, good]) + "\n")
    assert report("runs", "out=r.html").exit_code == 0
    text = (runs.parent / "r.md").read_text()
    assert "loss=none: no such loss" in text and text.count("no such loss") == 1
    (runs / "sweep.jsonl").unlink()
    os.mkfifo(runs / "sweep.jsonl")
    with within(20):
        assert report("runs", "out=r.html").exit_code == 0
    assert "sweep.jsonl is a pipe" in (runs.parent / "r.md").read_text()


def test_status_and_report_never_import_torch(runs: Path) -> None:
    code = (
        "import sys; sys.argv = ['x', {0!r}, *{1!r}]; import gantrain.cli.{2} as c; c.answered(c.{3});"
        "assert 'torch' not in sys.modules and 'PIL' not in sys.modules"
    )
    MALFORMED["costs are texts"](runs / "bad")
    for which, function, more in (("status", "status", ()), ("report", "compare", (f"out={runs}/r.html",))):
        subprocess.run([sys.executable, "-c", code.format(str(runs), more, which, function)], check=True)


# ---- fuzz -------------------------------------------------------------------------------------------------------

ODD = (
    *(None, True, -1, 0, 2**70, 10**400, 1e308, -1e308, 1e-320, float("nan"), float("inf"), 0.5, "", "x", "a/b"),
    *("\x1b[2J", "\ud800", "x" * 99_999, "nan", [], {}, [[]], [1], ["a"], {"a": 1}, {"": {}}, {"step": 1}),
)


def deep(depth: int) -> list:
    node: list = []
    for _ in range(depth):
        node = [node]
    return node


def changed(value: object, rng: random.Random) -> object:
    """A copy of plain JSON with a random place changed."""
    value = copy.deepcopy(value)
    node = value
    while True:
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.25:
            break
        node = node[key]
    fate = rng.random()
    if fate < 0.2:
        del node[key]
    elif fate < 0.25:
        node[key] = deep(rng.choice((10, 100, 900)))
    elif fate < 0.3 and isinstance(node, dict):
        node[rng.choice(("x", "step", "eval_", "\x07", "state"))] = node.pop(key)
    else:
        node[key] = rng.choice(ODD)
    return value


def bytes_changed(content: bytes, rng: random.Random) -> bytes:
    """Content with a few bytes changed, cut off, or repeated."""
    found = bytearray(content)
    fate = rng.random()
    if fate < 0.2:
        return bytes(found[: rng.randrange(len(found))])
    if fate < 0.3:
        return bytes(found) + bytes(found[rng.randrange(len(found)) :])
    for _ in range(rng.randint(1, 4)):
        found[rng.randrange(len(found))] = rng.choice(b"\x00\xff:-[]{}&*!|>%@`'\"\n\t 09eE.,aZ$")
    return bytes(found)


def mutate(run: Path, rng: random.Random) -> str:
    """Harm one record of a run, and return which."""
    name = rng.choice((*NAMES, "status.json", "evaluation.json", "manifest.json", "sweep.jsonl"))
    folder = max(run.glob("checkpoints/step-*")) if name == "manifest.json" else run
    path = folder / name
    if rng.random() < 0.03:
        put(str(path.relative_to(run)), rng.choice(("pipe", "folder", "link", "device", "gigabytes")))(run)
    elif rng.random() < 0.3 or name == "config.yaml":
        path.write_bytes(bytes_changed(path.read_bytes(), rng))
    elif name.endswith(".jsonl"):
        lines = path.read_text().splitlines()
        k = rng.randrange(len(lines))
        lines[k] = json.dumps(changed(json.loads(lines[k]), rng))
        path.write_text("\n".join(lines) + "\n")
    else:
        found = changed(json.loads(path.read_text()), rng)
        if name == "manifest.json" and isinstance(found, dict):
            found["sha256"] = own_digest(found)
        path.write_text(json.dumps(found))
    return name


def readers(folder: Path, cfg: object) -> dict[str, Callable[[], object]]:
    """What reads the records of the two runs in a folder; each may raise what is one line for the user."""
    bad, name = RunDirectory(folder / "bad"), str(folder)
    request = report_command.Request((name,), folder.parent / "r.html", None, "final", "Runs")
    return {
        "status": lambda: status_command.show([name], as_json=False, picking=Picking.of({})),
        "report": lambda: report_command.report(request),
        "best": lambda: best_step(bad),
        "export": lambda: numbers(Trained.open(bad.path), "ema"),
        "resume": lambda: refuse_other_run(cfg, bad),
        "finished": lambda: is_finished(cfg, bad),
        "earlier": lambda: earlier_bests(bad),
    }


def fuzzed(folder: Path, times: int, seed: int, capsys: pytest.CaptureFixture[str]) -> tuple[int, int]:
    """Harm the run ``bad`` again and again, and read it; return how often it was read whole, and refused by a reader.

    A traceback, a wait, and a run that is not named raise.
    """
    rng = random.Random(seed)
    cfg = config(*RING, "total_steps=6", f"run.dir={folder / 'bad'}")
    line = {"sweep": "s", "job": 0, "overrides": ["loss=none"], "run": None, "state": "refused", "reason": "no"}
    (folder / "bad" / "sweep.jsonl").write_text(json.dumps(line) + "\n")
    shutil.move(folder / "bad", folder.parent / "sound")
    whole = refused = 0
    for k in range(times):
        shutil.copytree(folder.parent / "sound", folder / "bad", copy_function=os.link)
        for path in [path for path in (folder / "bad").rglob("*") if path.suffix in (".json", ".jsonl", ".yaml")]:
            own = Path(shutil.copy(path, f"{path}.own"))  # it must not be the sound run's file that is harmed
            own.replace(path)
        name = mutate(folder / "bad", rng)
        wrong = 0
        for which, reader in readers(folder, cfg).items():
            try:
                with within(30):
                    reader()
            except GantrainError as error:
                assert len(str(error).splitlines()) == 1 and which not in ("status", "report"), (k, name, which, error)
                wrong += 1
            except BaseException as error:
                raise AssertionError(f"{k} {name} {which}: {type(error).__name__} {error}") from error
        out = capsys.readouterr().out
        assert "runs/good" in out and "runs/bad" in out, (k, name, out)
        found, unreadable = report_runs.find([str(folder)])
        assert len(found) + len(unreadable) == 2 and "good" in {run.path.name for run in found}, (k, name)
        whole, refused = whole + (not wrong and not unreadable), refused + bool(wrong)
        shutil.rmtree(folder / "bad")
    return whole, refused


def test_fuzzed_records_hide_no_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, refused = fuzzed(runs, 150, 1, capsys)
    assert whole > 10 and refused > 10


@pytest.mark.thorough
@pytest.mark.row("F51", "10,000 random mutations of a run's records, read by status, report, export and resume")
@pytest.mark.parametrize("seed", [2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (3, 4, 5))])
def test_10000_fuzzed_records_hide_no_run(
    runs: Path, capsys: pytest.CaptureFixture[str], figure: Figure, seed: int
) -> None:
    whole, refused = fuzzed(runs, 2500, seed, capsys)
    figure(f"2,500: {whole} read whole, {refused} refused by a reader in one line; 0 tracebacks, waits, hidden runs")
    assert whole > 100 and refused > 100


# ---- caches and exports -----------------------------------------------------------------------------------------


def others(path: Path) -> dict[str, Callable[[], object]]:
    """Ways in which something else may stand where a cache's file belongs."""
    return {
        "other tensors": lambda: save_file({"x": torch.zeros(2)}, path),
        "no tensors": lambda: save_file({}, path),
        "text": lambda: path.write_text("notes"),
        "a pipe": lambda: os.mkfifo(path),
        "a folder": lambda: (path / "inner").mkdir(parents=True),
        "a dangling link": lambda: path.symlink_to("nowhere"),
    }


@pytest.mark.row(
    "F52", "other tensors, a text, a pipe, a folder and a link in place of a cached classifier, statistics"
)
def test_something_else_in_the_evaluation_s_cache_is_set_aside_and_made_again(
    digits: object,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    figure: Figure,
) -> None:
    monkeypatch.setattr("gantrain.evaluation.classifier.MOST_STEPS", 100)
    cache, count = Cache(str(tmp_path)), 0
    uses = {
        "classifier": lambda: Classifier(digits, None, cache, CPU).digest,
        "reference": lambda: reference(digits, 200, None, "none", 8, 100, 0, cache).projections.sum().item(),
    }
    for kind, use in uses.items():
        first = use()
        (path,) = tmp_path.glob(f"{kind}-*.safetensors")
        for name, plant in others(path).items():
            path.unlink()
            plant()
            capsys.readouterr()
            with within(120):
                assert use() == first, (kind, name)
            said = capsys.readouterr().err
            assert said.count("gantrain: warning") == 1 and f"kept as {path.name}.set-aside" in said, (name, said)
            aside = path.with_name(f"{path.name}.set-aside")
            assert os.path.lexists(aside) and path.is_file()
            shutil.rmtree(aside) if aside.is_dir() and not aside.is_symlink() else aside.unlink()
            count += 1
    figure(f"{count}/{count} set aside by name and made again, the same values")


@pytest.mark.row("F52", "no HOME, and a user who has no entry in the system's list")
def test_without_a_home_folder_the_evaluation_goes_on_without_a_cache(
    digits: object,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    figure: Figure,
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 123_456)
    with pytest.raises(RuntimeError):
        Path("~").expanduser()
    cache = Cache("~/.cache/gantrain")
    found = reference(digits, 200, None, "none", 8, 100, 0, cache)
    assert found.all_features().shape == (200, 0)
    reference(digits, 200, None, "none", 8, 100, 1, cache)
    for name in ("~/x", "~nobody-of-this-name/x"):
        with pytest.raises(ConfigError, match="the home folder is not known; write it out"):
            files.at_home(name)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "the home folder is not known" in said, said
    figure("one line, and it goes on")


@pytest.mark.row("F52", "a pipe, a gigabyte, a text and lies in place of the facts beside decoded images")
def test_something_else_beside_a_decoded_copy_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], figure: Figure
) -> None:
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    for k in range(3):
        save(tmp_path / "images" / f"good{k}.png", seed=k)
    whole = read_folder(tmp_path / "images", **WAYS["copy"]).at(range(3))
    (facts,) = (tmp_path / "cache").glob("*.json")
    sound, count = json.loads(facts.read_text()), 0

    def lies(**entries: object) -> Callable[[], object]:
        return lambda: facts.write_text(json.dumps(sound | entries))

    ways = {
        **{name: others(facts)[name] for name in ("text", "a pipe", "a folder", "a dangling link")},
        "gigabytes": lambda: (facts.touch(), os.truncate(facts, 2**31)),
        "nested": lambda: facts.write_text("[" * 200_000),
        "infinite": lies(count=float("inf")),
        "skipped elsewhere": lies(skipped=[[99, "gone"]], count=2),
        "channels": lies(channels=7),
    }
    for name, plant in ways.items():
        facts.unlink()
        plant()
        with within(60):
            assert torch.equal(read_folder(tmp_path / "images", **WAYS["copy"]).at(range(3)), whole), name
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "set-aside" in said, (name, said)
        for aside in (tmp_path / "cache").glob("*.set-aside"):
            shutil.rmtree(aside) if aside.is_dir() and not aside.is_symlink() else aside.unlink()
        count += 1
    figure(f"{count}/{count} made again, nothing waited")


@pytest.mark.row("F52", "gantrain.load of pipes, gigabytes and linked files")
def test_an_export_may_be_linked_but_is_read_only_where_it_is_files(
    gantrain_export: Command,  # noqa: F811
    runs: Path,
    tmp_path: Path,
    figure: Figure,
) -> None:
    assert gantrain_export("run=runs/good", "out=whole").exit_code == 0
    wanted = package.load("whole").sample(4)
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("config.json", "generator.safetensors"):
        (linked / name).symlink_to(tmp_path / "whole" / name)
    (tmp_path / "link").symlink_to(linked)
    assert torch.equal(package.load("link").sample(4), wanted)
    count = 0
    for name in ("config.json", "generator.safetensors"):
        for kind in ("pipe", "folder", "link", "device", "gigabytes"):
            shutil.copytree("whole", "harmed")
            put(name, kind)(tmp_path / "harmed")
            with within(30), pytest.raises(GantrainError) as error:
                package.load("harmed")
            assert len(str(error.value).splitlines()) == 1
            shutil.rmtree("harmed")
            count += 1
    figure(f"linked files are loaded; {count}/{count} others refused in one line")


def test_a_large_picture_is_left_out_of_report_and_progress(runs: Path, tmp_path: Path) -> None:
    from gantrain.reports.page import embedded
    from gantrain.run.pictures import progress

    large_picture(runs / "bad")
    path = runs / "bad" / "samples" / "step-000000004.png"
    assert embedded(path) == "data:,"
    assert embedded(path.with_name("step-000000002.png")).startswith("data:image/png;base64,iVBOR")
    with within(20):
        progress([path, path.with_name("step-000000002.png")], tmp_path / "progress.gif")
    assert (tmp_path / "progress.gif").stat().st_size < 2**20
    assert embedded(tmp_path / "nothing.png") == "data:,"


def test_a_state_of_half_a_character_is_shown_as_text(report: Command, runs: Path) -> None:
    says("status.json", state="\ud800\x1b[2J")(runs / "bad")
    says("evaluation.json", tag="\ud800")(runs / "bad")
    outcome = report("runs", "out=r.html")
    assert outcome.exit_code == 0 and "\\ud800" in (runs.parent / "r.csv").read_text()


@pytest.mark.parametrize("name", ["changes.jsonl", "metrics.jsonl", "config.yaml"])
def test_a_record_that_is_too_large_is_refused_with_what_to_do_and_that_works(
    gantrain: Command, runs: Path, tmp_path: Path, name: str
) -> None:
    put(name, "gigabytes")(runs / "bad")
    more = (*RING, "total_steps=6", "run.dir=runs/bad")
    outcome = gantrain(*more)
    said = outcome.err.replace("\n", " ")
    assert outcome.exit_code == 2 and f"runs/bad/{name} has more than" in said, outcome
    assert "bytes; move it out of the folder to go on without it" in said
    told = json.loads((runs / "bad" / "status.json").read_text())
    assert told["state"] == "finished" or told["reason"].endswith("to go on without it")
    (runs / "bad" / name).rename(tmp_path / name)
    assert gantrain(*more).exit_code == 0


@pytest.mark.parametrize("harm", ["config.yaml has gigabytes", "settings that are a list", "config.yaml is a link"])
def test_what_to_do_about_damaged_settings_fits_the_command(
    gantrain: Command,
    gantrain_eval: Command,  # noqa: F811
    gantrain_sample: Command,  # noqa: F811
    gantrain_export: Command,  # noqa: F811
    runs: Path,
    harm: str,
) -> None:
    MALFORMED[harm](runs / "bad")
    for reader in (gantrain_eval, gantrain_sample, gantrain_export):
        said = reader("run=runs/bad").err.replace("\n", " ")
        assert "put back the one that the run wrote, or name another run" in said and "go on" not in said, said
    trains = gantrain(*RING, "total_steps=6", "run.dir=runs/bad")
    said = trains.err.replace("\n", " ")
    assert trains.exit_code == 2 and ("to go on without it" in said or "so remove it" in said), said


def test_an_export_leaves_out_the_values_of_records_that_cannot_be_read(
    gantrain_export: Command,  # noqa: F811
    runs: Path,
) -> None:
    put("metrics.jsonl", "gigabytes")(runs / "bad")
    outcome = gantrain_export("run=runs/bad", "out=whole")
    assert outcome.exit_code == 0 and "the values in it are left out" in outcome.err.replace("\n", " "), outcome
