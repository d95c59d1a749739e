"""Any folder or archive of images: class subfolders or flat, gray or colour, any sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from gantrain.data import listing
from gantrain.data.files import ImageFiles
from gantrain.data.form import Formed
from gantrain.data.survey import FolderSurvey


class ImageFolder(ImageFiles):
    """Images of a folder or archive.

    Args:
        root: the folder, zip or tar; each subfolder is a class, or the images lie in it directly (no labels).
        labels: where classes come from: ``folders``, ``none``, or None: the list of StyleGAN's tool if there is one,
            else the folders.
        class_level: how deep the folders lie whose names are the classes.
        depth: bits of each pixel that the networks see, 8 or 16 (gray images).
        range: what is black and white in images of more than 8 bits; see ``gantrain.data.depth``.
        formed: settings that all sets of image files have; see ``gantrain.data.form.FormedFiles``.

    Raises:
        ConfigError: for a setting that makes no sense.
        DataError: for a missing or empty folder, or an image that cannot be read, or not in time; it names the file.
    """

    survey = FolderSurvey

    def __init__(
        self,
        root: str,
        labels: str | None = None,
        class_level: int = 1,
        depth: int = 8,
        range: Sequence[float] | None = None,
        **formed: Unpack[Formed],
    ) -> None:
        super().__init__(listing.find(root, labels, class_level), depth=depth, range=range, **formed)
