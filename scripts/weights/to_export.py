"""Write a public generator's weights as a folder that ``gantrain.load`` and ``init_from`` take.

    python -m scripts.weights.to_export biggan G_ema.pth biggan_c10 --classes 10 \\
        architecture=biggan architecture.generator.init=N02 conditioning=projection
    python -c "import gantrain; print(gantrain.load('biggan_c10').sample(8, classes=[3]).shape)"

The file holds a state dict of tensors. Where authors publish a pickle of a network, load it with their code and save
``torch.save(G.state_dict(), "G.pth")``; nothing of a pickle is run here. What follows the folder are options of the
``gantrain`` command that name the same network. Every tensor must fit, and none may be missing.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError

import torch
from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantrain.build import build_generator
from gantrain.errors import ConfigError, GantrainError, first_line
from gantrain.export import write
from gantrain.kinds import kind_of
from gantrain.schema import validated

FAMILIES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in (Path(__file__).stem,))
PREFIX = "Model."
"""Before every name in R3GAN's pickles."""


def to_export(family: str, state: Path, folder: Path, shape: tuple[int, ...], classes: int, options: list[str]) -> None:
    """Write the folder.

    Raises:
        ConfigError: if the file holds no state dict, or the weights are not those of the network that is named.
        OSError: if the folder is there and not empty, or cannot be written.
    """
    with initialize_config_module("gantrain.configs", version_base="1.3"):
        cfg = validated(compose("train", options))
    try:
        tensors = torch.load(state, map_location="cpu", weights_only=True)
        tensors = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        weights = import_module(f"scripts.weights.{family}").generator(tensors)
        net = build_generator(cfg, shape, classes, torch.device("cpu"))
        net.load_state_dict(weights)
    except (KeyError, RuntimeError, AttributeError, TypeError, EOFError, UnpicklingError) as error:
        raise ConfigError(f"{state}: no weights of this {family}: {reason(error)}") from error
    folder.mkdir(parents=True)
    kind = kind_of(shape)
    settings = OmegaConf.to_container(cfg, resolve=True)
    config = {
        "architecture": settings["architecture"]["generator"],
        "shape": list(shape),
        "kind": kind.name,
        "classes": classes,
        "class_names": None,
        "latent_dim": cfg.architecture.latent_dim,
        "latent": settings["latent"],
        "conditioning": {"generator": settings["conditioning"]["generator"]},
        "shares": None,
        "value_range": list(kind.value_range),
        "step": None,
        "source": f"{family}, from {state.name}",
    }
    write(folder, weights, "public", config)


def reason(error: Exception) -> str:
    """Return in a line why a file's content is not the network's weights."""
    if isinstance(error, KeyError):
        return f"there is no tensor {error}"
    if isinstance(error, UnpicklingError | EOFError | AttributeError):
        return 'the file holds no state dict of tensors; write one with torch.save(G.state_dict(), "G.pth")'
    lines = [line.strip() for line in str(error).splitlines()]  # torch names the network, then what does not fit
    return (lines[1] if len(lines) > 1 else first_line(error))[:300]


def main() -> None:
    """Convert what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("state", type=Path, help="a file of torch.save with a state dict")
    parser.add_argument("folder", type=Path, help="where to; must not exist")
    parser.add_argument("--shape", type=int, nargs=3, default=(3, 32, 32), help="of an image: channels height width")
    parser.add_argument("--classes", type=int, default=0, help="0: unconditional")
    arguments, options = parser.parse_known_args()
    try:
        to_export(
            arguments.family, arguments.state, arguments.folder, tuple(arguments.shape), arguments.classes, options
        )
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(f"{' '.join(options)}: {first_line(error)}")
    except (GantrainError, OSError) as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
