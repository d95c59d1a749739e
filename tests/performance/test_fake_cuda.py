"""Both turns of every game up to their losses on fake CUDA tensors: one device, the formats of a GPU, and no waiting.

Fake tensors carry a device and a dtype, but no numbers: an operation on two devices raises, and so does one that needs
a number on the host. Gradients are not taken: torch's engine asks the driver for its devices. Each game is played in a
process of its own, because what a fake device leaves behind can end the process.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import pytest
import torch
import torch.cuda.amp.common
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gantrain.build import building
from gantrain.training.trainer import Trainer
from tests.conftest import config, only, option_names

GPU = torch.device("cuda:0")


def moved(self: nn.Module, function, recurse: bool = True) -> nn.Module:
    """Stands for Module._apply, which cannot put a fake parameter into a real one's place."""
    for module in self.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(function(parameter.detach()), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else function(buffer)
    return self


@contextmanager
def fake_gpu() -> Iterator[None]:
    patches = {
        # Scores are compared once, while the game is built; fake tensors have none.
        building: {"pick_device": lambda *rest: GPU, "check_each_alone": lambda *rest: None},
        nn.Module: {"_apply": moved},
        torch.cuda: {
            **dict.fromkeys(("set_device", "manual_seed", "manual_seed_all", "set_rng_state"), lambda *a, **k: None),
            "is_bf16_supported": lambda *rest: True,
            "mem_get_info": lambda *rest: (2**40, 2**40),
            "get_rng_state": lambda *rest: torch.zeros(16, dtype=torch.uint8),
        },
        torch.cuda.amp.common: {"amp_definitely_not_available": lambda: False},
    }
    with ExitStack() as stack:
        for owner, names in patches.items():
            for name, value in names.items():
                stack.enter_context(mock.patch.object(owner, name, value))
        yield


def in_a_process(play: Callable[[], None]) -> None:
    """Play in a fork, which ends without cleaning up; raise what it said if it failed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            with fake_gpu():
                play()
            os._exit(0)
        except BaseException:
            os.write(write, traceback.format_exc()[-4000:].encode())
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as said:
        error = said.read()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, error


def costs(*overrides: str) -> Trainer:
    cfg = config("device=cuda", "performance.cuda_graphs=false", *overrides)
    data = building.build_data(cfg)
    data.shares = lambda: None  # fake tensors have no values to count
    with FakeTensorMode(allow_non_fake_inputs=True):
        trainer = building.build(cfg, data).trainer
        real, labels = trainer.data.next()
        costs = [trainer.cost_of_g(real, labels, True)]
        if not trainer.loss.differentiates_twice:
            costs.append(trainer.cost_of_d(real, labels, True))
            trainer.loss.after_d_step(costs[-1].turn)
        for cost in costs:
            trainer.watch.see(trainer.d, cost.total, 1, {})
            assert all(value.device == GPU for value in cost.scalars("d").values())
        trainer.count_images(len(real)), trainer.follow()
    return trainer


LOSSES, ARCHITECTURES = option_names("loss"), ("dcgan", "sngan_resnet", "mlp")
PRECISIONS = ("fp32", "bf16", "fp16")
IN_SHORT = [("vanilla", "dcgan", "bf16"), ("hinge", "sngan_resnet", "bf16"), ("fisher", "mlp", "fp16")]
ALL = [(a, b, c) for a in LOSSES for b in ARCHITECTURES for c in PRECISIONS if a not in ("began", "ebgan")]


@pytest.mark.parametrize(("loss", "architecture", "precision"), only(IN_SHORT, ALL, pytest.mark.slow))
def test_every_game_keeps_to_one_device_and_never_waits(loss: str, architecture: str, precision: str) -> None:
    game = ("data=digits", f"loss={loss}", f"architecture={architecture}", f"precision={precision}", "batch_size=8")
    in_a_process(lambda: costs(*game))


@pytest.mark.parametrize(
    ("way", "latent"), [("projection", "mixture"), ("reacgan", "truncated"), ("acgan", "spherical")]
)
def test_every_part_of_a_conditional_game_is_on_the_device(way: str, latent: str) -> None:
    game = ("data=digits", "loss=hinge", f"conditioning={way}", f"latent={latent}", "precision=bf16", "batch_size=8")
    in_a_process(lambda: costs(*game))


@pytest.mark.parametrize("architecture", only(["biggan"], ["sagan", "biggan", "biggan_deep"], pytest.mark.slow))
def test_every_part_of_a_game_of_large_residual_networks_is_on_the_device(architecture: str) -> None:
    networks = (f"architecture={architecture}", "architecture.generator.attention=8", "conditioning=projection")
    of_z = ("architecture.generator.hierarchical=true", "architecture.generator.shared_dim=8")
    game = ("data=digits", "loss=hinge", "precision=bf16", "batch_size=8", *networks)
    in_a_process(lambda: costs(*game, *(of_z if architecture == "biggan" else ())))


def test_every_part_of_r3gans_game_is_on_the_device() -> None:
    narrow = ("architecture.generator.width=16", "architecture.generator.groups=4")
    scheduled = "+schedule.loss.regularizers.r1.weight={_target_: gantrain.schedules.Cosine, end: 0.1}"
    game = ("data=digits", "loss=r3gan", "architecture=r3gan", *narrow, "conditioning=projection", scheduled)
    in_a_process(lambda: costs(*game, "precision=bf16", "batch_size=8"))


def test_every_part_of_stylegan2s_game_is_on_the_device() -> None:
    small = ("architecture.generator.channel_max=8", "architecture.generator.style_mixing=0.5")
    game = ("data=digits", "loss=vanilla", "architecture=stylegan2", *small, "conditioning=projection")
    in_a_process(lambda: costs(*game, "precision=bf16", "batch_size=8"))


def test_a_tensor_on_the_other_device_and_a_wait_are_found() -> None:
    def mixing() -> None:
        with FakeTensorMode():
            torch.ones(2).to(GPU) + torch.ones(2)

    def waiting() -> None:
        with FakeTensorMode():
            torch.ones(()).to(GPU).item()

    for fault, words in (
        (mixing, "at least two devices"),
        (waiting, "DataDependentOutputException"),
    ):
        with pytest.raises(AssertionError, match=words):
            in_a_process(fault)


@pytest.mark.parametrize("norm", ["batch", "none", "spectral"])
def test_the_residual_stream_stays_in_bfloat16(norm: str) -> None:
    # CUDA's autocast runs nearest upsampling in float32, which would make every sum behind it float32 too.
    def play() -> None:
        networks = ("architecture=sngan_resnet", f"architecture.generator.norm={norm}", "loss=hinge", "precision=bf16")
        cfg = config("device=cuda", "data=digits", "performance.cuda_graphs=false", "batch_size=4", *networks)
        data = building.build_data(cfg)
        data.shares = lambda: None  # fake tensors have no values to count
        seen: list[torch.dtype] = []
        with FakeTensorMode(allow_non_fake_inputs=True):
            trainer = building.build(cfg, data).trainer
            for block in trainer.g.net.blocks:
                block.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
            trainer.generate(4, None)
        assert seen == [torch.bfloat16] * len(trainer.g.net.blocks) and seen

    in_a_process(play)
