"""Checkpoints that were damaged, planted by a stranger, or written by another version."""

from __future__ import annotations

import copy
import json
import os
import pickle
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gantrain.checkpoint import Checkpoints, Retention, format, read
from gantrain.errors import CheckpointError, GantrainError
from gantrain.run.directory import RunDirectory
from gantrain.run.identity import check_same_run
from gantrain.run.records import Records
from gantrain.training.trainer import Trainer
from tests.conftest import REPOSITORY, built, config
from tests.reliability.conftest import Start, error_of, same_state, status
from tests.reliability.test_kill import GAMES, SMALL

Figure = Callable[[str], None]
FILES = ("state.safetensors", "state.json", "manifest.json")
RING = (*GAMES["solver"], *SMALL)


def tiny() -> Trainer:
    return built("data=ring", "architecture.generator.width=4", "architecture.discriminator.width=4").trainer


def damage(path: Path, how: str, rng: random.Random) -> None:
    content = path.read_bytes()
    if how == "flip":
        at = rng.randrange(len(content) * 8)
        flipped = bytearray(content)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
    elif how == "delete":
        path.unlink()
    else:
        ends = {"truncate": content[: rng.randrange(len(content))], "empty": b"", "append": content + rng.randbytes(9)}
        path.write_bytes(ends[how])


@pytest.mark.row("F4", "one bit flipped, file truncated, emptied, prolonged or deleted; each file, 200 times at random")
def test_any_damage_is_found_and_the_checkpoint_before_is_used(tmp_path: Path, figure: Figure) -> None:
    rng, caught, trainer = random.Random(4), 0, tiny()
    for step in (1, 2):
        Checkpoints(tmp_path / "sound").save(step, trainer.state_dict() | {"step": step})
    for k in range(200):
        folder, warnings = tmp_path / str(k), []
        shutil.copytree(tmp_path / "sound", folder)
        checkpoints = Checkpoints(folder, warn=warnings.append)
        how = rng.choice(["flip", "flip", "flip", "truncate", "empty", "append", "delete"])
        damage(checkpoints.path(2) / FILES[k % 3], how, rng)
        _, state = checkpoints.latest()
        aside = (folder / "damaged" / "step-000000002").is_dir()
        caught += state["step"] == 1 and aside and len(warnings) == 1 and str(checkpoints.path(2)) in warnings[0]
    figure(f"{caught}/200 caught: the older one used, the damaged one named and set aside")
    assert caught == 200


@pytest.mark.thorough
@pytest.mark.row("F5", "every checkpoint damaged; the command twice; then resume=never")
def test_if_every_checkpoint_is_damaged_it_never_starts_again_silently(
    start: Start, tmp_path: Path, figure: Figure
) -> None:
    assert start(*RING, "run.dir=run").wait() == 0
    for folder in (tmp_path / "run" / "checkpoints").glob("step-*"):
        damage(folder / "state.json", "truncate", random.Random(5))
    for _ in range(2):  # also on the next try, when all have been set aside
        child = start(*RING, "run.dir=run", "total_steps=130")
        assert child.wait() == 5 and "start again with resume=never" in error_of(child)
    child = start(*RING, "run.dir=run", "resume=never")
    assert child.wait() == 0 and status(tmp_path / "run")["step"] == 120
    assert len(list((tmp_path / "run" / "checkpoints" / "damaged").iterdir())) == 3
    figure("exit 5 twice, nothing deleted; resume=never starts anew")


# ---- strangers --------------------------------------------------------------------------------------------------


class Bomb:
    """Unpickling it runs code."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple:
        return (eval, (self.code,))


def header(content: dict, size: int | None = None) -> bytes:
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text


def hostile_files(marker: Path) -> dict[str, dict[str, bytes]]:
    """Contents that a stranger may put in place of the two state files, by the attack that each one tries."""
    code = f"open({str(marker)!r}, 'w').close()"
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    torch.save({"x": Bomb(code)}, marker.with_name("bomb.pt"))
    torch.save({"x": Bomb(code)}, marker.with_name("old.pt"), _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(marker.with_name("plain.zip"), "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(code)))
    tensors = {
        "a pickle that runs code": pickle.dumps(Bomb(code)),
        "a pickle that runs a shell": pickle.dumps(Bomb(f"__import__('os').system('touch {marker}')")),
        "torch.save with a bomb": marker.with_name("bomb.pt").read_bytes(),
        "torch.save, old format": marker.with_name("old.pt").read_bytes(),
        "a zip": marker.with_name("plain.zip").read_bytes(),
        "a tensor of 100 GB": header({"x": tensor | {"shape": [25 * 10**9], "data_offsets": [0, 10**11]}}),
        "a header of 100 GB": header({"x": tensor}, 10**11) + bytes(8),
        "a size that lies": header({"x": tensor | {"shape": [2**40]}}) + bytes(8),
        "offsets outside": header({"x": tensor | {"data_offsets": [-8, 2**62]}}) + bytes(8),
        "tensors that overlap": header({"x": tensor, "y": tensor}) + bytes(8),
        "an unknown dtype": header({"x": tensor | {"dtype": "EVIL"}}) + bytes(8),
        "noise": random.Random(0).randbytes(5000),
        "nothing": b"",
    }
    states = {
        "JSON nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
        "JSON with a number of 10,000 digits": b"1" * 10_000,
        "a pickle as JSON": pickle.dumps(Bomb(code)),
        "JSON that is no state": b'{"dict": [["step", {"tensor": ["x"]}]]}',
        "a state that names no tensor": b'{"dict": [["step", {"tensor": "../../etc/passwd"}]]}',
        "a state that is a list": b'{"list": []}',
        "a huge state": b" " * (2**26 + 1) + b"{}",
    }
    return {name: {"state.safetensors": content} for name, content in tensors.items()} | {
        name: {"state.json": content} for name, content in states.items()
    }


def sign(folder: Path, **changes: object) -> None:
    """Make the manifest fit its changed files, as an attacker would."""
    files = {name: format.describe(folder / name) for name in FILES[:2] if (folder / name).is_file()}
    manifest = json.loads((folder / "manifest.json").read_text())
    if isinstance(manifest.get("files"), dict):
        manifest["files"] |= files
    manifest |= changes
    (folder / "manifest.json").write_text(json.dumps(manifest | {"sha256": format.own_digest(manifest)}))


def hostile_paths(folder: Path, kind: str) -> None:
    file, manifest = folder / "state.safetensors", folder / "manifest.json"
    if kind == "a pipe":
        file.unlink()
        os.mkfifo(file)
    elif kind == "a link to another file":
        file.rename(folder.parent / "elsewhere")
        file.symlink_to(folder.parent / "elsewhere")
    elif kind == "a folder":
        file.unlink()
        file.mkdir()
    elif kind == "a manifest of another place":
        sign(folder, files={f"../{folder.name}/{name}": format.describe(folder / name) for name in FILES[:2]})
    elif kind == "a manifest that is a list":
        manifest.write_text("[1, 2]")
    elif kind == "a manifest of 100 MB":
        with manifest.open("ab") as grown:
            grown.truncate(10**8)
    elif kind == "a manifest that is a pipe":
        manifest.unlink()
        os.mkfifo(manifest)
    else:
        manifest.write_bytes(pickle.dumps(Bomb("1/0")))


PATHS = ("a pipe", "a link to another file", "a folder", "a manifest of another place", "a manifest that is a list",
         "a manifest of 100 MB", "a manifest that is a pipe", "a manifest that is a pickle")  # fmt: skip


def peak_memory() -> int:
    """The largest resident size since the last call, in bytes."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(line.split()[1]) * 1024


@pytest.mark.row("F22", "bombs, lies and odd files in place of a checkpoint's, with a manifest that fits them")
def test_a_strangers_checkpoint_is_refused_in_one_sentence_and_runs_nothing(tmp_path: Path, figure: Figure) -> None:
    marker = tmp_path / "marker"
    Checkpoints(tmp_path / "sound").save(1, tiny().state_dict())
    cases = hostile_files(marker)
    refused, most = 0, 0
    peak_memory()
    before = peak_memory()
    for name in [*cases, *PATHS]:
        folder = tmp_path / "case" / "step-000000001"
        shutil.copytree(tmp_path / "sound" / "step-000000001", folder)
        for file, content in cases.get(name, {}).items():
            (folder / file).write_bytes(content)
        if name in cases:
            sign(folder)
        else:
            hostile_paths(folder, name)
        peak_memory()
        with pytest.raises(CheckpointError) as caught:
            read(folder)
        refused += len(str(caught.value).splitlines()) == 1 and str(folder) in str(caught.value)
        most = max(most, peak_memory() - before)
        shutil.rmtree(tmp_path / "case")
    assert not marker.exists()
    pickle.loads(pickle.dumps(Bomb(f"open({str(marker)!r}, 'w').close()")))
    assert marker.exists()  # the bomb is a real one
    total = len(cases) + len(PATHS)
    figure(f"{refused}/{total} refused, 0 executions, memory rose by at most {max(most, 0) / 2**20:.0f} MiB")
    assert refused == total and most < 200 * 2**20


def test_a_file_of_another_program_is_no_checkpoint(start: Start, tmp_path: Path) -> None:
    torch.save({"x": 1}, tmp_path / "model.pt")
    child = start(*RING, "resume=model.pt")
    assert child.wait() == 5 and "model.pt is no checkpoint" in error_of(child)


@pytest.mark.thorough
@pytest.mark.row("F23", "pickle.load, loads, Unpickler and torch.load raise; an audit hook counts pickle.find_class")
def test_a_run_and_its_resume_never_unpickle(start: Start, tmp_path: Path, figure: Figure) -> None:
    for total in ("120", "130"):
        child = start(*RING, "run.dir=run", f"total_steps={total}", faults=(("no_pickle", "found"),))
        assert child.wait() == 0, child.text()
    assert "resumed" in child.text() and not (tmp_path / "found").exists()
    assert start(faults=(("no_pickle", "found"), ("unpickle",))).wait() == 1 and (tmp_path / "found").exists()
    figure("0 calls while training and resuming")


# ---- other versions and configurations --------------------------------------------------------------------------

FIXTURES = REPOSITORY / "tests" / "fixtures"


@pytest.mark.row("F24", "a run of every format ever released, kept in tests/fixtures")
@pytest.mark.parametrize("version", sorted(p.name for p in FIXTURES.glob("*-format*")))
def test_old_formats_still_load_and_go_on(start: Start, tmp_path: Path, version: str, figure: Figure) -> None:
    shutil.copytree(FIXTURES / version, tmp_path / "run")
    assert sum(p.stat().st_size for p in (tmp_path / "run").rglob("*") if p.is_file()) < 100_000
    child = start(*RING, *FIXTURE_WIDTHS, "run.dir=run", "total_steps=30")
    assert child.wait() == 0 and "resumed       from step 20" in child.text(), child.text()
    assert status(tmp_path / "run")["step"] == 30
    figure(f"{version}: goes on")


FIXTURE_WIDTHS = ("architecture.generator.width=2", "architecture.discriminator.width=2")


@pytest.mark.thorough
@pytest.mark.row("F25", "a newer format, another model, other settings; and the settings that may change")
def test_what_does_not_fit_is_refused_with_the_differences(start: Start, tmp_path: Path, figure: Figure) -> None:
    assert start(*RING, "run.dir=run").wait() == 0
    changed = {
        "architecture.generator.width=16": "architecture.generator.width: 8 → 16",
        "loss=lsgan": "loss.objective._target_: gantrain.losses.RelativisticAverage → gantrain.losses.LeastSquares",
        "optimizer.g.lr=0.1": "optimizer.g.lr: 0.0001 → 0.1",
        "batch_size=32": "batch_size: 16 → 32",
        "data=grid": "data._target_: gantrain.data.Ring → gantrain.data.Grid",
    }
    refused = 0
    for override, difference in changed.items():
        child = start(*[x for x in RING if x.split("=")[0] != override.split("=")[0]], override, "run.dir=run")
        assert child.wait() == 2 and difference in error_of(child), child.text()
        refused += 1
    allowed = start(*RING, "run.dir=run", "total_steps=130", "log.every=1", "checkpoint.keep_last=2", "samples.every=7")
    assert allowed.wait() == 0
    sign(max((tmp_path / "run" / "checkpoints").glob("step-*")), format=2)
    child = start(*RING, "run.dir=run", "total_steps=140")
    refused += child.wait() == 5 and "has format 2, this gantrain" in error_of(child)
    assert status(tmp_path / "run")["state"] == "finished"
    figure(f"{refused}/6 refused with their differences; total_steps, log, samples, checkpoint may change")
    assert refused == 6


@pytest.mark.row("F35", "random file times, and a clock that jumps back a day")
@pytest.mark.parametrize("times", [2, pytest.param(5, marks=pytest.mark.thorough)])
def test_the_newest_is_by_step_whatever_the_clock_says(
    start: Start, tmp_path: Path, times: int, figure: Figure
) -> None:
    assert start(*RING, "run.dir=whole").wait() == 0
    equal = 0
    for k in range(times):
        half = start(*RING, f"run.dir={k}", "total_steps=60", faults=(("clock_jumps_back",),))
        assert half.wait() == 0, half.text()
        for path in (tmp_path / str(k)).rglob("*"):
            os.utime(path, (random.Random(k).uniform(1e9, 2e9),) * 2)
        child = start(*RING, f"run.dir={k}", faults=(("clock_jumps_back",),))
        assert child.wait() == 0 and "resumed       from step 60" in child.text()
        equal += same_state(tmp_path / "whole", tmp_path / str(k))
    figure(f"{equal}/{times} went on from the last step and ended bit-identical")
    assert equal == times


@pytest.mark.row("F37", "metrics.jsonl cut anywhere in its last line, 20 times at random")
def test_a_torn_last_line_is_passed_over_and_cut_off(tmp_path: Path, figure: Figure) -> None:
    rng, whole = random.Random(6), 0
    for k in range(20):
        run = RunDirectory(tmp_path / str(k))
        with Records(run, 0) as written:
            for step in range(1, 6):
                written.scalars(step, {"d/loss": step / 3})
        content = run.metrics_file.read_bytes()
        start_of_last = content.rindex(b"\n", 0, -1) + 1
        run.metrics_file.write_bytes(
            content[: rng.choice([len(content) - 1, rng.randrange(start_of_last + 1, len(content))])]
        )
        read_back = [line["step"] for line in run.metrics()]
        with Records(run, 4) as written:
            written.scalars(5, {"d/loss": 5 / 3})
        whole += read_back == [1, 2, 3, 4] and run.metrics_file.read_bytes() == content
    figure(f"{whole}/20 read without it and continued to the same file")
    assert whole == 20


@pytest.mark.row("F38", "1,000 random histories of 40 saves, with random keep_last, keep_every, keep_best")
def test_retention_keeps_exactly_what_it_promises(tmp_path: Path, figure: Figure) -> None:
    rng, right = random.Random(9), 0
    for _ in range(1000):
        keep = Retention(rng.randint(2, 5), rng.choice([0, 0, 20, 50]), rng.choice([None, "x"]), rng.random() < 0.5)
        values: dict[int, float] = {}
        there: set[int] = set()
        history: list[int] = []
        for step in sorted(rng.sample(range(10, 2000, 10), 40)):
            history.append(step)
            if keep.best is not None and rng.random() < 0.9:
                values[step] = rng.choice([0.5, rng.random()])
            there = keep.kept(there | {step}, values)
            expected = set(history[-keep.last :])
            expected |= {s for s in history if keep.every and s % keep.every == 0}
            if values:
                best = (max if keep.highest else min)(values.values())
                expected.add(max(s for s in values if values[s] == best))
            right += there == expected
    figure(f"{right:,} of 40,000 saves kept exactly the promised set")
    assert right == 40_000
    checkpoints = Checkpoints(tmp_path, Retention(2, 10, "x"))
    for step, value in enumerate([5.0, 1.0, 3.0, 4.0, 2.0, 6.0, 7.0], start=7):
        checkpoints.save(step, {"step": step}, {"x": value})
    assert checkpoints.steps() == [8, 10, 12, 13]


# ---- fuzz -------------------------------------------------------------------------------------------------------


def mutated_json(value: object, rng: random.Random) -> object:
    """A copy of plain JSON with one random place changed."""
    value = copy.deepcopy(value)
    odd = [
        None,
        True,
        -1,
        0,
        2**70,
        1e308,
        float("nan"),
        "",
        "x" * 50,
        [],
        {},
        [[]],
        {"tensor": "rng.torch"},
        {"dict": []},
    ]
    node = value
    while True:  # down a random path, so that long lists do not draw all the fire
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.15:
            break
        node = node[key]
    if rng.random() < 0.3:
        del node[key]
    else:
        node[key] = rng.choice(odd)
    return value


def fuzz(folder: Path, times: int, seed: int) -> tuple[int, int, int]:
    """Mutate the files of a checkpoint and a run; return how many were refused, were harmless, or went wrong."""
    rng, trainer = random.Random(seed), tiny()
    trainer.d_turn(*trainer.data.next())
    trainer.g_turn(*trainer.data.next())
    Checkpoints(folder / "sound").save(1, trainer.state_dict())
    sound = folder / "sound" / "step-000000001"
    run = RunDirectory(folder)
    cfg = config("data=ring")
    from omegaconf import OmegaConf

    text = OmegaConf.to_yaml(cfg)
    refused = harmless = wrong = 0
    for k in range(times):
        kind = ("bytes", "content", "config")[k % 3]
        case = folder / "case" / "step-000000001"
        shutil.copytree(sound, case)
        try:
            if kind == "config":
                content = bytearray(text.encode())
                for _ in range(rng.randint(1, 5)):
                    content[rng.randrange(len(content))] = rng.choice(b"\x00\xff:-[]{}&*!|>%@`'\"\n\t 0aZ$")
                (folder / "config.yaml").write_bytes(content)
                check_same_run(cfg, run)
                harmless += 1  # a comment, or white space
            else:
                path = case / rng.choice(FILES[1:])
                if kind == "bytes":
                    damage(path, rng.choice(["flip", "truncate", "append"]), rng)
                else:
                    path.write_text(json.dumps(mutated_json(json.loads(path.read_text()), rng)))
                    if rng.random() < 0.9:
                        sign(case)
                _, state = read(case)
                assert kind == "content"
                trainer = tiny()  # as in a new process
                trainer.load_state_dict(state)
                trainer.d_turn(*trainer.data.next(), True)
                trainer.g_turn(*trainer.data.next(), True)
                harmless += 1
        except GantrainError as error:
            refused += len(str(error).splitlines()) == 1
        except Exception as error:
            print(kind, type(error), error)
            wrong += 1
        finally:
            shutil.rmtree(folder / "case")
    return refused, harmless, wrong


@pytest.mark.thorough
def test_fuzzed_readers_refuse_in_one_line(tmp_path: Path) -> None:
    refused, harmless, wrong = fuzz(tmp_path, 150, 1)
    assert wrong == 0 and refused + harmless == 150 and refused > 100


@pytest.mark.slow
@pytest.mark.row("F40", "2,000 random mutations of manifest.json, state.json (signed again or not) and config.yaml")
def test_2000_fuzzed_readers_refuse_in_one_line(tmp_path: Path, figure: Figure) -> None:
    refused, harmless, wrong = fuzz(tmp_path, 2000, 2)
    figure(f"{refused} refused in one line, {harmless} harmless (a value of the same kind), {wrong} went wrong")
    assert wrong == 0 and refused + harmless == 2000
