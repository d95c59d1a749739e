"""A generator by itself: weights as safetensors beside a config.json, written by ``gantrain-export``."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gantrain.build import build_generator, pick_device
from gantrain.errors import CheckpointError, ConfigError, first_line
from gantrain.run import files
from gantrain.sampling import latents, samples_of
from gantrain.trained import Trained, as_text
from gantrain.version import VERSION

FORMAT = 1
WEIGHTS, CONFIG = "generator.safetensors", "config.json"


class Generator(nn.Module):
    """A trained generator: z (n, latent_dim) -> samples (n, *shape), images in [-1, 1].

    Args:
        net: the network.
        config: what config.json says of it.
    """

    def __init__(self, net: nn.Module, config: dict[str, Any]) -> None:
        super().__init__()
        self.net, self.config = net, config
        self.latent_dim, self.shape, self.classes = config["latent_dim"], tuple(config["shape"]), config["classes"]

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents to samples."""
        samples: Tensor = self.net(z, labels)
        return samples

    def sample(self, n: int, seed: int = 0, truncation: float | None = None) -> Tensor:
        """Return ``n`` samples (n, *shape) float32 on the CPU, a function of the seed; images are in [-1, 1].

        ``truncation`` bounds each |z_i|: less variety, better samples.
        """
        z = latents(n, self.latent_dim, seed, truncation)
        return torch.cat([batch.cpu() for batch in samples_of(self.net, z)])


def export(trained: Trained, which: str, folder: Path, facts: dict[str, Any]) -> None:
    """Write a run's generator into an empty folder.

    Args:
        trained: the run's checkpoint.
        which: ``ema`` or ``raw``.
        folder: where to.
        facts: more to be said of it.

    Raises:
        OSError: if the disk does not take it.
    """
    shape, classes = trained.samples_are()
    trained.generator(which, torch.device("cpu"))  # that it fits is found out now, not by whoever loads it
    # One copy each: tied weights share memory, which safetensors refuses.
    save_file({name: tensor.clone().contiguous() for name, tensor in trained.weights(which).items()}, folder / WEIGHTS)
    config = {
        "format": FORMAT,
        "gantrain": VERSION,
        "architecture": OmegaConf.to_container(trained.cfg.architecture.generator, resolve=True),
        "shape": list(shape),
        "classes": classes,
        "latent_dim": trained.latent_dim,
        "value_range": [-1, 1] if len(shape) == 3 else None,
        "weights": {"file": WEIGHTS, "sha256": files.sha256(folder / WEIGHTS), "of": which},
        "step": trained.step,
    } | facts
    files.write_durably(folder / CONFIG, json.dumps(config, indent=1) + "\n")


def load(folder: str | Path, device: str = "cpu", trusted_modules: Sequence[str] = ()) -> Generator:
    """Return the generator that ``gantrain-export`` wrote into ``folder``, ready to be called.

        generator = gantrain.load("outputs/digits/dcgan/vanilla/seed0/export")
        images = generator.sample(64, seed=0)  # (64, 1, 8, 8) in [-1, 1]

    Nothing in the folder is run as code: it is JSON, tensors, and the name of a class of gantrain, of torch, or of a
    module that you name.

    Args:
        folder: with generator.safetensors and config.json.
        device: where the generator goes: cpu, cuda, cuda:1, or auto.
        trusted_modules: your own modules that its class may come from.

    Raises:
        ConfigError: if the folder holds no exported generator or a class that is not trusted, or for no such device.
        CheckpointError: if a file is damaged.
    """
    path, place = Path(folder).expanduser(), pick_device(device)
    try:
        config = json.loads((path / CONFIG).read_text())
        if config["format"] != FORMAT:
            raise CheckpointError(f"{path} has format {config['format']}, this gantrain reads format {FORMAT}")
        if files.sha256(path / WEIGHTS) != config["weights"]["sha256"]:
            raise CheckpointError(f"{path} is damaged: {WEIGHTS} differs from its {CONFIG}")
        cfg = {"architecture": {"generator": config["architecture"]}, "trusted_modules": list(trusted_modules)}
        shape, classes = tuple(map(int, config["shape"])), int(config["classes"])
        net = build_generator(OmegaConf.create(as_text(cfg)), shape, classes, place)
        net.load_state_dict(load_file(path / WEIGHTS))
        return Generator(net.requires_grad_(False), config).eval()
    except FileNotFoundError as error:
        raise ConfigError(f"{path} holds no exported generator: {Path(str(error.filename)).name} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        if isinstance(error, ConfigError):
            raise
        raise CheckpointError(f"{path} is damaged: {first_line(error)}") from error


def to_onnx(trained: Trained, which: str, path: Path) -> None:
    """Write the generator as ONNX: ``latents`` (n, latent_dim) -> ``samples`` (n, *shape), any n.

    Raises:
        ConfigError: if the packages for it are not installed, or torch cannot translate the network.
    """
    if missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]:
        raise ConfigError(f"onnx=true needs {' and '.join(missing)}: pip install 'gantrain[onnx]'")
    for chatty in ("onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        torch.onnx.export(
            trained.generator(which, torch.device("cpu")),
            (torch.zeros(2, trained.latent_dim),),
            str(path),
            input_names=["latents"],
            output_names=["samples"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise ConfigError(f"onnx=true: torch cannot translate this generator ({first_line(error)[:160]})") from error
