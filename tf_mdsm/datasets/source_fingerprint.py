"""What the images of a source are known by: their content, wherever they are."""

import dataclasses
import os

from tf_mdsm.datasets import readers
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.system.fingerprints import content_of_files, fingerprint, state_of_files

__all__ = ["SourceFingerprint", "fingerprint_source"]


@dataclasses.dataclass(frozen=True)
class SourceFingerprint:
    """What the images of a source are known by.

    Attributes:
        place: where they are: a real path; for "tfds" full name and version, or else a name.
        num_files: number of files that hold them; 0 for sources without files of their own.
        state: hash of real paths, sizes and times of these files.
        content: hash of their contents in order. It tells images of a source from others.
    """

    place: str
    num_files: int
    state: str
    content: str


def fingerprint_source(
    source: str,
    *,
    name: str = "",
    path: str = "",
    data_dir: str = "",
    split: str = "train",
    held_out_split: str = "test",
    known: SourceFingerprint | None = None,
) -> SourceFingerprint:
    """Finds out which images a source holds now; the arguments are those of `load_images`.

    For "tfds" these are the data set's full name and version, which TFDS gives to its content.

    Args:
        source: where the images come from.
        name, path, data_dir, split, held_out_split: as of `load_images`.
        known: an earlier result. While paths, sizes and times are those of it, no file is read.

    Raises:
        InvalidArgument: if files are missing or cannot be read, or for an unknown data set.
    """
    if source == "tfds":
        full_name = readers.tfds_full_name(name, data_dir)
        return SourceFingerprint(full_name, 0, "", fingerprint(source, full_name))
    files = _files(source, path, split, held_out_split)
    if not files:
        own_name = name if source == "synthetic" else source
        return SourceFingerprint(own_name, 0, "", fingerprint(source, own_name))
    try:
        state = state_of_files(files)
        if known is not None and known.state == state:
            content = known.content
        else:
            content = content_of_files(files, array="images")
    except OSError as error:
        raise InvalidArgument("path", f"be readable ({one_line(error)})", path) from error
    return SourceFingerprint(os.path.realpath(path), len(files), state, content)


def _files(source: str, path: str, split: str, held_out_split: str) -> list[str]:
    """The files of a source in the order in which they are read; none for computed images."""
    if source == "folder":
        return readers.folder_files(path)
    if source == "idx":
        return [readers.idx_file(path, name) for name in dict.fromkeys((split, held_out_split))]
    return [path] if source == "npz" else []
