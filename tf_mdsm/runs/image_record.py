"""The record of the images that a run began with, by which other images are noticed."""

import dataclasses
import json
import logging
import os

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.datasets.source_fingerprint import SourceFingerprint, fingerprint_source
from tf_mdsm.errors import InvalidArgument, RunError, errors_in_group
from tf_mdsm.runs.build_data import RunImages, build_run_images
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.system.atomic import write_json
from tf_mdsm.system.fingerprints import fingerprint

__all__ = [
    "ImageRecord",
    "build_images_of_run",
    "describe_images",
    "fingerprint_data",
    "image_key",
    "load_record",
    "require_same_images",
    "save_record",
]

_LOGGER = logging.getLogger(__name__)

# The setting that names the images of a source.
_FIELDS = {"tfds": "name", "folder": "path", "npz": "path", "idx": "path"}


@dataclasses.dataclass(frozen=True)
class ImageRecord:
    """Which images a run is trained on.

    Attributes:
        source: what they are known by.
        training: number of training images; of patches, of the whole images.
        validation: number of validation images, likewise.
        split: which of the source's images they are: `data.source`, `data.split` or
            `data.held_out_fraction`, and whether they are patches.
    """

    source: SourceFingerprint
    training: int
    validation: int
    split: str

    def is_of(self, other: "ImageRecord") -> bool:
        """Whether both are of the same images; they may have been moved."""
        return (self.source.content, self.split) == (other.source.content, other.split)

    def __str__(self) -> str:
        source = self.source
        files = f"{source.num_files} file(s), " if source.num_files else ""
        return (
            f"{self.training} + {self.validation} images ({files}{self.split}, "
            f"{source.content[:8]}) of {source.place}"
        )


def build_images_of_run(config: ConfigDict, folder: RunFolder) -> tuple[np.ndarray, np.ndarray]:
    """The images of `build_images`; refuses others than those that the run was trained on.

    Raises:
        InvalidArgument: for other images, unless `config.data.allow_other_images` is set, and as
            `build_run_images`.
        RunError: if the record of the run's images cannot be read.
    """
    images = build_run_images(config)
    known = load_record(folder)
    if known is None:
        _LOGGER.info("%s does not say which images it was trained on: not compared", folder.path)
    else:
        require_same_images(config, known, describe_images(config, images, known))
    return images.training, images.validation


def describe_images(
    config: ConfigDict, images: RunImages, known: ImageRecord | None
) -> ImageRecord:
    """The record of the images of `config.data` as they are now.

    Args:
        config: the run's configuration.
        images: what was read of them.
        known: an earlier record. Files that have not changed since then are not read.
    """
    data = config.data
    part = data.split if data.source in ("tfds", "idx") else f"{data.held_out_fraction:g} held out"
    split = f"{data.source}, {part}" + (", patches" if data.patches else "")
    source = fingerprint_data(data, known.source if known else None)
    return ImageRecord(source, images.num_training, images.num_validation, split)


def fingerprint_data(data: ConfigDict, known: SourceFingerprint | None = None) -> SourceFingerprint:
    """What the images of `config.data` are known by now; `known` as of `fingerprint_source`."""
    names = ("source", "name", "path", "data_dir", "split", "held_out_split")
    fields = {name: os.path.expanduser(data[name]) for name in names}
    with errors_in_group("config.data"):
        return fingerprint_source(**fields, known=known)


def image_key(data: ConfigDict) -> str:
    """A hash of all that images depend on: the content of their source, split and size.

    Args:
        data: settings as those of `config.data`.
    """
    without = ("name", "path", "data_dir", "cache", "flip", "turn", "allow_other_images")
    if not data.patches:
        without += ("patches",)  # Results of whole images keep the names of earlier versions.
    settings = {name: value for name, value in data.items() if name not in without}
    return fingerprint(settings, fingerprint_data(data).content)


def require_same_images(config: ConfigDict, known: ImageRecord, now: ImageRecord) -> None:
    """Refuses other images than those that a run was trained on, unless they are allowed.

    Raises:
        InvalidArgument: about the setting that names the images.
    """
    if now.is_of(known):
        return
    if config.data.allow_other_images:
        _LOGGER.warning("other images than before: %s, and before %s", now, known)
        return
    field = _FIELDS.get(config.data.source, "source")
    requirement = (
        f"hold the images that this run was trained on, {known}, unless "
        "config.data.allow_other_images is true"
    )
    raise InvalidArgument(f"config.data.{field}", requirement, now)


def load_record(folder: RunFolder) -> ImageRecord | None:
    """Reads the record of a run; None if it has none: not trained yet, or by an earlier version.

    Raises:
        RunError: if it cannot be read.
    """
    try:
        with open(folder.image_record, encoding="utf-8") as file:
            content = json.load(file)
        return ImageRecord(**{**content, "source": SourceFingerprint(**content["source"])})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{folder.image_record} cannot be read ({error})") from error


def save_record(record: ImageRecord, folder: RunFolder) -> None:
    """Writes the record of a run.

    Raises:
        OSError: if it cannot be written.
    """
    write_json(dataclasses.asdict(record), folder.image_record)
