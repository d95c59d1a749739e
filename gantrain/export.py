"""A generator by itself: weights as safetensors beside a config.json, written by ``gantrain-export``."""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gantrain.build import build_generator, build_inputs, pick_device
from gantrain.errors import CheckpointError, ConfigError, first_line
from gantrain.inputs import Inputs, class_numbers, is_conditional
from gantrain.kinds import Units
from gantrain.run import files
from gantrain.run.read import parsed
from gantrain.sampling import samples_of, truncating
from gantrain.schema import as_text
from gantrain.trained import Trained
from gantrain.version import VERSION

FORMAT = 1
WEIGHTS, CONFIG = "generator.safetensors", "config.json"
LARGEST = 2**24
"""Bytes of config.json, which names every class."""
ON_THE_HUB = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
"""Names of the hub's repositories: somebody's, and one slash."""
BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError, SafetensorError)
"""Raised by a damaged export."""


class Generator(nn.Module):
    """A trained generator: z (n, latent_dim) -> samples (n, *shape), images and signals for a range of [-1, 1].

    A network without a bound, like those of r3gan and stylegan2, makes some numbers beyond it: ``clamp(-1, 1)`` them.

    Args:
        net: the network.
        config: what config.json says of it.
        inputs: what it gets.
    """

    def __init__(self, net: nn.Module, config: dict[str, Any], inputs: Inputs) -> None:
        super().__init__()
        self.net, self.config, self.inputs = net, config, inputs
        self.latent_dim, self.shape, self.classes = config["latent_dim"], tuple(config["shape"]), config["classes"]
        self.units = Units.of(config.get("units"), self.shape)
        """What the numbers of a sample stand for; None: for themselves."""

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents to samples."""
        samples: Tensor = self.net(z, labels)
        return samples

    def sample(
        self,
        n: int,
        seed: int = 0,
        truncation: float | None = None,
        classes: Sequence[int | str] | int | str | None = None,
    ) -> Tensor:
        """Return ``n`` samples (n, *shape) float32 on the CPU, a function of the seed, in the range as above.

        Args:
            n: how many.
            seed: of latents and classes.
            truncation: bounds each |z_i|, or is ψ of a generator that truncates its w: less variety, better samples.
            classes: numbers or names; a conditional generator draws these in turn. None: as often as they are in the
                data.

        Raises:
            ConfigError: for classes that there are not, or of an unconditional generator; for a truncation that is not
                above 0.
        """
        if classes is not None and not is_conditional(self.net):
            raise ConfigError("this generator is unconditional: it takes no classes")
        names = self.config.get("class_names") or []
        numbers = None if classes is None else class_numbers(classes, self.classes, names)
        net, bound = truncating(self.net, truncation)
        given = self.inputs.fixed(n, seed, bound, numbers)
        return torch.cat([batch.cpu() for batch in samples_of(net, *given)])

    def original(self, samples: Tensor) -> Tensor:
        """Return samples (n, *shape) in the units that the data had, float64 on the CPU.

        Rows of ``data=table`` get mean and spread of their columns back, signals of ``data.scale=true`` their range.
        """
        return samples.detach().cpu().double() if self.units is None else self.units.original(samples)


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
    trained.generator(which, torch.device("cpu"))  # that it fits is found out now, not by whoever loads it
    config = {"architecture": trained.settings["architecture"]["generator"], **described(trained)} | facts
    write(folder, trained.weights(which), which, config)


def described(trained: Trained) -> dict[str, Any]:
    """Return what is said of a run's generator, beside its class: its samples, its inputs, and the step."""
    (shape, classes), values = trained.samples_are(), trained.kind.value_range
    return {
        "shape": list(shape),
        "kind": trained.kind.name,
        "classes": classes,
        "class_names": trained.class_names(),
        "units": None if (units := trained.units()) is None else units.recorded(),
        "latent_dim": trained.latent_dim,
        **stored_inputs(trained),
        "value_range": None if values is None else list(values),
        "step": trained.step,
    }


def write(folder: Path, weights: Mapping[str, Tensor], which: str, config: dict[str, Any]) -> None:
    """Write weights, and what is said of them, into an empty folder.

    Raises:
        OSError: if the disk does not take it.
    """
    # One copy each: tied weights share memory, which safetensors refuses.
    with files.with_usual_mode(folder / WEIGHTS):
        save_file({name: tensor.clone().contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
    stored = {"file": WEIGHTS, "sha256": files.sha256(folder / WEIGHTS), "of": which}
    config = {"format": FORMAT, "gantrain": VERSION, **config, "weights": stored}
    files.write_durably(folder / CONFIG, json.dumps(config, indent=1) + "\n")


def stored_inputs(trained: Trained) -> dict[str, Any]:
    """Return what an export says of the generator's inputs, beside the length of z."""
    settings, facts = trained.settings, trained.manifest.get("generator") or {}
    conditioning = {"generator": (settings.get("conditioning") or {}).get("generator", "none")}
    return {"latent": settings.get("latent"), "conditioning": conditioning, "shares": facts.get("shares")}


def load(
    folder: str | Path, device: str = "cpu", trusted_modules: Sequence[str] = (), revision: str | None = None
) -> Generator:
    """Return the generator that ``gantrain-export`` wrote into ``folder``, ready to be called.

        generator = gantrain.load("outputs/digits/dcgan/vanilla/seed0/export")
        images = generator.sample(64, seed=0)  # (64, 1, 8, 8) in [-1, 1]
        generator = gantrain.load("somebody/their-gan")  # from the Hugging Face hub

    Nothing in the folder is run as code: it is JSON, tensors, and the name of a class of gantrain, of torch, or of a
    module that you name.

    Args:
        folder: with generator.safetensors and config.json; or ``user/name`` of a repository of the Hugging Face hub
            that holds them, if there is no such folder. It is fetched once, and read from the hub's cache from then on.
        device: where the generator goes: cpu, cuda, cuda:1, or auto.
        trusted_modules: your own modules that its class may come from.
        revision: a commit, branch or tag of the repository; None: its main branch.

    Raises:
        ConfigError: if the folder holds no exported generator or a class that is not trusted, or for no such device; if
            the hub has no such repository, or does not answer, or huggingface_hub is not installed.
        CheckpointError: if a file is damaged.
    """
    path, place = files.at_home(folder), pick_device(device)
    if ON_THE_HUB.fullmatch(str(folder)) and not path.exists():
        path = fetched(str(folder), revision)
    with of_export(path):
        config, weights = verified(path)
        cfg = {
            "architecture": {"generator": config["architecture"], "latent_dim": int(config["latent_dim"])},
            "latent": config.get("latent"),
            "conditioning": config.get("conditioning") or {},
            "trusted_modules": list(trusted_modules),
        }
        shape, classes = tuple(map(int, config["shape"])), int(config["classes"])
        settings = OmegaConf.create(as_text(cfg))
        net = build_generator(settings, shape, classes, place)
        net.load_state_dict(weights)
        inputs = build_inputs(settings, classes, config.get("shares"))
        return Generator(net.requires_grad_(False), config, inputs).eval()


def fetched(name: str, revision: str | None) -> Path:
    """Return the folder in the hub's cache that holds an export, fetched if need be.

    Raises:
        ConfigError: if it cannot be had.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError as error:
        raise ConfigError(
            f"{name} is no folder here; to fetch it from the Hugging Face hub: pip install 'gantrain[hub]'"
        ) from error
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=[WEIGHTS, CONFIG]))
    except (OSError, HFValidationError) as error:  # the hub's own errors are of these kinds
        raise ConfigError(
            f"{name} is no folder here, and cannot be fetched from the Hugging Face hub ({first_line(error)})"
        ) from error


def verified(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return config and weights of an export, whose digest is that in its config; errors as ``of_export`` has them."""
    with of_export(path):
        config = parsed(files.whole(path / CONFIG, LARGEST, linked=True))
        if config["format"] != FORMAT:
            raise CheckpointError(f"{path} has format {config['format']}, this gantrain reads format {FORMAT}")
        os.close(files.opened(path / WEIGHTS, linked=True))  # a pipe would keep what follows waiting
        with safe_open(path / WEIGHTS, "pt"):
            pass  # that its size is the one it names is seen at once; the digest of any large file would take its time
        if files.sha256(path / WEIGHTS) != config["weights"]["sha256"]:
            raise CheckpointError(f"{path} is damaged: {WEIGHTS} differs from its {CONFIG}")
        return config, load_file(path / WEIGHTS)


@contextmanager
def of_export(path: Path) -> Iterator[None]:
    """Say of whatever fails inside that the export, perhaps a stranger's, is missing or damaged."""
    try:
        yield
    except FileNotFoundError as error:
        raise ConfigError(f"{path} holds no exported generator: {Path(str(error.filename)).name} is missing") from error
    except BROKEN as error:
        if isinstance(error, ConfigError):
            raise
        raise CheckpointError(f"{path} is damaged: {first_line(error)}") from error


def to_onnx(trained: Trained, which: str, path: Path) -> None:
    """Write the generator as ONNX: ``latents`` (n, latent_dim) -> ``samples`` (n, *shape), any n.

    A conditional generator takes ``labels`` (n,) int64 as well.

    Raises:
        ConfigError: if the packages for it are not installed, or torch cannot translate the network for any n.
    """
    if missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]:
        raise ConfigError(f"onnx=true needs {' and '.join(missing)}: pip install 'gantrain[onnx]'")
    for chatty in ("onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        net, n = trained.generator(which, torch.device("cpu")), {0: torch.export.Dim("n")}
        arguments: dict[str, Tensor] = {"latents": torch.zeros(2, trained.latent_dim)}
        if is_conditional(net):
            arguments["labels"] = torch.zeros(2, dtype=torch.int64)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "# The axis name")  # that two inputs share their number of rows
            program = torch.onnx.export(
                net,
                tuple(arguments.values()),
                str(path),
                input_names=list(arguments),
                output_names=["samples"],
                dynamic_shapes=(n,) * len(arguments),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise ConfigError(f"onnx=true: torch cannot translate this generator ({first_line(error)[:160]})") from error
    if isinstance(program.model.graph.inputs[0].shape[0], int):  # type: ignore[union-attr,index]
        raise ConfigError(
            "onnx=true: torch can translate this generator for one number of samples alone; let its forward read the "
            "number as z.shape[0], not as len(z)"
        )
