"""The network that defines FID: Inception v3 with the weights of 2015, ported from TensorFlow by torch-fidelity."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from gantrain.errors import ConfigError, DataError, first_line
from gantrain.evaluation.features import Features
from gantrain.losses.arithmetic import full_precision
from gantrain.run import files
from gantrain.terminal import say

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
FILE = urlsplit(URL).path.rsplit("/", 1)[1]
SHA256 = "6726825d"  # how the file's digest starts; its name says so too
SIDE = 299
MALFORMED = (ValueError, TypeError, KeyError, AttributeError, AssertionError)  # raised by other content
RESIZERS = ("tensorflow", "bicubic", "clean")


class Inception(Features):
    """2,048 features before the last layer, and its 1,008 logits without their bias.

    torchvision's ``inception_v3`` has other weights, and a distance between its features is no FID.

    Args:
        weights: the file; None: ``$GANTRAIN_INCEPTION``, else torch's hub folder, else a download into it.
        resizer: how images are resized to 299×299. ``tensorflow``: bilinear as TensorFlow 1 did, without antialiasing,
            as in most published FIDs; ``bicubic``: Pillow's antialiased bicubic, rounded to bytes; ``clean``: the same
            of each channel in float32, not rounded, as in clean-fid (Parmar et al. 2022, arXiv:2104.11222, Section 4).
        device: where it runs.

    Raises:
        DataError: if the weights are not there and cannot be downloaded, or are of another network.
    """

    name = "inception"

    def __init__(self, weights: str | None, resizer: str, device: torch.device) -> None:
        if resizer not in RESIZERS:
            raise ConfigError(f"evaluation.resizer must be one of {', '.join(RESIZERS)} for inception, got {resizer!r}")
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = find_weights(weights)
        self.digest = files.sha256(path)
        wanted = ["2048", "logits_unbiased"]
        try:
            source = plain_copy(path)
            net = FeatureExtractorInceptionV3("inception-v3-compat", wanted, feature_extractor_weights_path=source)
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, *MALFORMED) as error:
            raise DataError(
                f"{path} holds no weights of this network ({first_line(error)[:120]}); {remedy()}"
            ) from error
        if not self.digest.startswith(SHA256):
            say(
                f"{path} is not the file that FID is defined by (sha256 {SHA256}…): its numbers compare with no paper's"
            )
        self.net, self.resizer, self.device = net.to(device), resizer, device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, 2048) and logits (n, 1008) of images (n, C, H, W) uint8; gray ones are repeated."""
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        with full_precision():
            if self.resizer == "clean":
                features, logits = self._of_resized(clean(images.cpu()).to(self.device))
            else:
                images = bicubic(images.cpu()) if self.resizer == "bicubic" else images
                features, logits = self.net(images.to(self.device))
        return features.cpu(), logits.cpu()

    def _of_resized(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network gives for images (n, 3, 299, 299) float32: its own forward takes bytes alone."""
        *layers, last = self.net.children()  # in the order of its forward
        features = nn.Sequential(*layers)((images - 128) / 128).flatten(1)
        return features, features @ last.weight.T


def bicubic(images: Tensor) -> Tensor:
    """Return RGB images (n, 3, H, W) uint8 resized by Pillow to 299×299."""
    resized = [to_pil_image(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for image in images]
    return torch.stack([pil_to_tensor(image) for image in resized])


def clean(images: Tensor) -> Tensor:
    """Return RGB images (n, 3, H, W) uint8 resized channel by channel to (n, 3, 299, 299) float32, 0 to 255."""
    channels = images.flatten(0, 1).float().numpy()
    resized = [Image.fromarray(channel).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for channel in channels]
    return torch.from_numpy(np.stack([np.asarray(x) for x in resized])).clamp(0, 255).reshape(-1, 3, SIDE, SIDE)


def find_weights(given: str | None) -> Path:
    """Return the file of the weights, downloaded if needed.

    Raises:
        DataError: if there is none and it cannot be downloaded; the text says where to put which file.
    """
    for named in (given, os.environ.get("GANTRAIN_INCEPTION")):
        if named:
            path = files.at_home(named)
            if not path.is_file():
                raise DataError(f"Inception weights: {named} is not a file; {remedy()}")
            return path
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(URL, str(path), hash_prefix=SHA256, progress=True)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"Inception weights are not in {path} and could not be downloaded ({first_line(error)}); {remedy()}"
            ) from error
    if not path.is_file() or not files.sha256(path).startswith(SHA256):
        raise DataError(f"{path} is damaged (its sha256 does not start with {SHA256}); remove it, or {remedy()}")
    return path


def remedy() -> str:
    """Return in words what to do without the weights."""
    return (
        f"download {URL} where there is internet and set evaluation.weights=/path/{FILE}, "
        "or use evaluation=classifier, which needs no download"
    )


def plain_copy(path: Path) -> io.BytesIO:
    """Return a file's tensors in a new one: torch-fidelity would unpickle the original, and run any code in it."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    copy = io.BytesIO()
    torch.save(state, copy)
    copy.seek(0)
    return copy
