"""Training from Python: the same run as the command's, objects of one's own, signals."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from torch import nn

import gantrain
from gantrain import terminal
from gantrain.checkpoint import read
from gantrain.errors import CallbackError, ConfigError, RunInUseError
from gantrain.training.callbacks import Moment
from tests.api.conftest import SHORT, LeastSquares, Small, points


def last(run: gantrain.Run) -> dict:
    """The state in a run's newest checkpoint."""
    return read(max(run.path.glob("checkpoints/step-*")))[1]


def same(a: object, b: object) -> bool:
    """Whether two nested states hold the same bits."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_call_and_the_command_are_one_run_and_either_goes_on_with_the_others(tmp_path: Path) -> None:
    run = gantrain.train("loss=hinge", *SHORT, data="ring", seed=3, total_steps=4)
    assert (run.state, run.step) == ("finished", 4)
    command = [sys.executable, "-m", "gantrain", "loss=hinge", *SHORT, "data=ring", "seed=3", "total_steps=4"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "is finished" in done.stdout, done.stderr
    on = subprocess.run([*command[:-1], "total_steps=6", f"run.dir={run.path}"], capture_output=True, text=True)
    assert on.returncode == 0 and "from step 4" in on.stdout, on.stderr
    straight = gantrain.train("loss=hinge", *SHORT, data="ring", seed=3, total_steps=6)
    assert straight.path != run.path and same(last(straight), last(run))


def test_own_objects_train_by_their_names_and_resume_bit_for_bit_with_them_alone() -> None:
    torch.manual_seed(0)
    own = {"data": points(), "generator": Small(4, 2), "discriminator": Small(2, 1), "loss": LeastSquares()}
    before = own["generator"].layer.weight.clone()
    settings = ("architecture.latent_dim=4", *SHORT)
    run = gantrain.train(*settings, total_steps=4, **own)
    assert torch.equal(own["generator"].layer.weight, before), "the caller's network was trained"
    assert run.path.relative_to(Path.cwd() / "outputs").parts[:3] == ("Rows", "Small-Small", "LeastSquares")
    assert run.samples(3).shape == (3, 2) and run.status["choices"]["loss"] == "LeastSquares"
    with pytest.raises(ConfigError, match=r"generator is an object of Python's, .*Small.*gantrain.Run"):
        gantrain.Run(run.path).samples(1)
    done = subprocess.run([sys.executable, "-m", "gantrain.cli.sample", str(run.path)], capture_output=True, text=True)
    again = gantrain.Run(run.path, **own)
    assert torch.equal(again.samples(3), run.samples(3))
    straight = gantrain.train(*settings, total_steps=7, **own)
    assert same(last(again.resume(total_steps=7)), last(straight)) and again.step == 7
    assert "Traceback" not in done.stderr


def test_another_object_is_another_run() -> None:
    one = gantrain.train(*SHORT, data="ring", total_steps=2, loss=LeastSquares(1.0))
    other = gantrain.train(*SHORT, data="ring", total_steps=2, loss=LeastSquares(2.0))
    assert one.path != other.path
    with pytest.raises(ConfigError, match=r"loss.objective.digest"):
        gantrain.Run(one.path, loss=LeastSquares(2.0)).resume(total_steps=3)


def test_images_with_labels_are_taken_as_they_are() -> None:
    images = torch.randint(0, 256, (24, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = np.arange(24) % 3
    run = gantrain.train(*SHORT, data=(images.numpy(), labels), conditioning="concat", total_steps=2)
    assert run.samples(6, classes=[2]).shape == (6, 1, 8, 8)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss": "hing"}, "did you mean loss=hinge"),
        ({"data": 3}, "neither gantrain's Data nor a map-style data set"),
        ({"generator": nn.Linear}, "generator must be a torch.nn.Module, got type"),
        ({"loss": nn.Linear(2, 2)}, "loss must be a gantrain.losses.Objective"),
        ({"seed": "x"}, "seed must be a whole number"),
        ({"seed": object()}, "a setting is text, a number"),
        ({"nosuch": 3}, "gantrain.compose.. has all"),
        ({"data": "ring,digits"}, "use gantrain.sweep"),
        ({"data": "ring", "ranks": 2}, "torchrun"),
        ({"data": "ring", "profile": True}, "give it to the command"),
        ({"data": "ring", "callbacks": 3}, "callbacks must be a list"),
        ({"data": "ring", "callbacks": [3]}, "int has none of the methods on_step"),
        ({"data": (torch.zeros(3, 2), torch.zeros(2))}, "3 samples, and labels of shape"),
        ({"data": None}, "leave it out"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence_and_nothing_is_written(settings: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        gantrain.train(**settings)
    assert not Path("outputs").exists()


class Interrupts:
    """Sends this process a signal at a step."""

    def __init__(self, number: signal.Signals, step: int = 3) -> None:
        self.number, self.step = number, step

    def on_step(self, moment: Moment) -> None:
        if moment.step == self.step:
            os.kill(os.getpid(), self.number)


def test_ctrl_c_saves_and_returns_the_run_which_goes_on_bit_for_bit() -> None:
    handler = signal.getsignal(signal.SIGINT)
    run = gantrain.train(*SHORT, data="ring", total_steps=6, callbacks=[Interrupts(signal.SIGINT)])
    assert (run.state, run.step) == ("stopped", 3) and signal.getsignal(signal.SIGINT) is handler
    on = run.resume(callbacks=[])
    straight = gantrain.train(*SHORT, data="ring", total_steps=6, run={"dir": "straight"})
    assert (on.path, on.state) == (run.path, "finished") and same(last(on), last(straight))


def test_a_signal_that_ends_programs_saves_and_then_ends_this_one(tmp_path: Path) -> None:
    program = (
        "import gantrain, signal\n"
        "from tests.api.test_training import Interrupts, SHORT\n"
        "gantrain.train(*SHORT, data='ring', total_steps=6, callbacks=[Interrupts(signal.SIGTERM)])\n"
        "print('went on')\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGTERM and "went on" not in done.stdout, done.stderr
    (path,) = {p.parent for p in tmp_path.glob("outputs/**/config.yaml")}
    assert (gantrain.Run(path).state, gantrain.Run(path).step) == ("stopped", 3)


def test_a_second_ctrl_c_leaves_as_python_does() -> None:
    class Twice:
        def on_step(self, moment: Moment) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        gantrain.train(*SHORT, data="ring", total_steps=6, callbacks=[Twice()])


def test_a_callback_that_fails_is_named_and_its_error_is_the_cause() -> None:
    class Fails:
        def on_log(self, moment: Moment) -> None:
            raise ValueError("boom")

    with pytest.raises(CallbackError, match="callback Fails failed in on_log at step 2: ValueError: boom") as caught:
        gantrain.train(*SHORT, data="ring", total_steps=4, callbacks=[Fails()])
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_program_that_uses_hydra_itself_finds_its_own_configuration_again() -> None:
    from hydra import compose, initialize_config_module
    from hydra.core.hydra_config import HydraConfig

    with initialize_config_module("gantrain.configs", version_base="1.3"):
        own = compose("train", ["seed=7"], return_hydra_config=True)
        HydraConfig.instance().set_config(own)
        gantrain.train(*SHORT, data="ring", total_steps=2)
        assert "seed=7" in HydraConfig.get().overrides.task and GlobalHydra.instance().is_initialized()
        assert compose("train", ["seed=8"]).seed == 8


def test_the_caller_s_random_numbers_and_switches_stay() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    torch.use_deterministic_algorithms(True)
    try:
        gantrain.train(*SHORT, data="ring", total_steps=2)
        assert torch.equal(torch.rand(2), expected) and torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_settings_are_written_as_hydra_reads_them() -> None:
    cfg = gantrain.compose(
        "loss=wgan_gp", data="ring", ema={"rampup": None}, seed=np.int64(3), regularizer=["r1"], total_steps=1e3
    )
    assert (cfg.seed, cfg.ema.rampup, cfg.total_steps) == (3, None, 1000)
    assert cfg.loss.regularizers.gp.weight == 10 and "r1" in cfg.loss.regularizers


def test_the_caller_s_other_random_numbers_and_switches_stay_and_do_not_reach_the_training() -> None:
    plain = gantrain.train(*SHORT, data="ring", total_steps=2, run={"dir": "plain"})

    def standing() -> tuple:
        flushes = not (torch.tensor([1e-40]) * 1).any()
        return random.getstate(), tuple(np.random.get_state()[1]), torch.backends.cudnn.allow_tf32, flushes

    torch.backends.cudnn.allow_tf32 = True
    torch.set_flush_denormal(False)
    torch.set_default_dtype(torch.float64)
    before = standing()
    try:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            run = gantrain.train(*SHORT, data="ring", total_steps=2, run={"dir": "within"})
        expected = torch.get_rng_state()
        run.samples(2)
        assert standing() == before and torch.equal(torch.get_rng_state(), expected)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert same(last(run), last(plain))


def test_a_second_thread_is_refused_since_both_would_draw_from_the_same_random_numbers() -> None:
    said: list[str] = []

    class Beside:
        def on_step(self, moment: Moment) -> None:
            def beside() -> None:
                with pytest.raises(RunInUseError) as caught:
                    gantrain.train(*SHORT, data="ring", total_steps=2, seed=1)
                said.append(str(caught.value))

            thread = threading.Thread(target=beside)
            thread.start()
            thread.join()

    gantrain.train(*SHORT, data="ring", total_steps=1, callbacks=[Beside()])
    assert len(said) == 1 and "another thread of this process trains" in said[0]


def test_a_training_leaves_no_trainer_in_memory() -> None:
    seen: list[weakref.ref] = []

    class Sees:
        def on_step(self, moment: Moment) -> None:
            seen.append(weakref.ref(moment.generator))

    gantrain.train(*SHORT, data="ring", total_steps=1, callbacks=[Sees()])
    assert seen[0]() is None


def test_a_rank_that_was_silent_in_a_training_speaks_again(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.speaking_after():
        terminal.be_silent()
        print("inside")
    print("after")
    terminal.say("so does gantrain")
    out, err = capsys.readouterr()
    assert "inside" not in out and "after" in out and "so does gantrain" in out + err
