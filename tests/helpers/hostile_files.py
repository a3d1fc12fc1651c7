"""Readers of a user's files, to be tried with arbitrary bytes.

Tests change valid files at random; `tests/slow/fuzz.py` changes them guided by the code that they
reach.
"""

import contextlib
import dataclasses
import gzip
import io
import os
import pathlib
import random
import struct
from collections.abc import Callable

import numpy as np

from tf_mdsm.config.file import load_config
from tf_mdsm.datasets import readers
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.feature_statistics import load_feature_statistics
from tf_mdsm.system import image_files
from tf_mdsm.system.torch_files import read_state_dict


@dataclasses.dataclass(frozen=True)
class Reader:
    """A function that reads a file, and a valid file for it.

    Args:
        file_name: name that the file must have.
        read: reads the file at a path; refuses it with `InvalidArgument`.
        valid: bytes of a valid file.
    """

    file_name: str
    read: Callable[[str], object]
    valid: bytes

    def try_bytes(self, content: bytes, folder: str) -> bool:
        """Returns whether the content is read (not refused); raises any other error."""
        path = os.path.join(folder, self.file_name)
        pathlib.Path(path).write_bytes(content)
        try:
            self.read(path)
        except InvalidArgument:
            return False
        return True

    def assert_read_or_refused(self, folder: str) -> None:
        """A valid file is read; changed bytes raise no error but a refusal; others are refused."""
        assert self.try_bytes(self.valid, folder)
        for seed in range(20):
            self.try_bytes(changed(self.valid, seed), folder)
        for content in (b"", bytes(200), b"\x93NUMPY", b"PK\x03\x04", b"\x1f\x8b", b"\x89PNG\r\n"):
            assert not self.try_bytes(content, folder)


def _npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _image(kind: str) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def _torch_file() -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"conv1.weight": torch.ones(2, 1, 3, 3), "conv1.bias": torch.zeros(2)}, file)
    return file.getvalue()


_IMAGES = np.arange(128, dtype=np.uint8).reshape(2, 8, 8)
_IDX = struct.pack(">4I", 0x803, *_IMAGES.shape) + _IMAGES.tobytes()
_SHAPE = (8, 8, 1)


def changed(content: bytes, seed: int) -> bytes:
    """The content with other bytes in up to four places, sometimes cut or lengthened."""
    generator = random.Random(seed)
    changed_content = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        position = generator.randrange(len(content))
        changed_content[position : position + 1] = generator.randbytes(generator.randint(1, 4))
    size = generator.choice([len(changed_content), generator.randint(0, len(content) + 8)])
    return bytes(changed_content[:size])


def source_readers() -> dict[str, Reader]:
    """Returns the readers of data sources by name."""
    idx_name = "train-images-idx3-ubyte"

    def read_idx(path: str):
        return readers.read_idx(os.path.dirname(path), "train")

    def read_folder(path: str):
        return list(readers.read_folder(os.path.dirname(path)))

    kinds = {
        "png": "PNG",
        "jpg": "JPEG",
        "gif": "GIF",
        "bmp": "BMP",
        "tiff": "TIFF",
        "webp": "WEBP",
    }
    return {
        "idx": Reader(idx_name, read_idx, _IDX),
        "idx.gz": Reader(f"{idx_name}.gz", read_idx, gzip.compress(_IDX, mtime=0)),
        "npz": Reader("data.npz", readers.read_npz, _npz(images=_IMAGES)),
        **{
            f"folder, {ending}": Reader(f"a.{ending}", read_folder, _image(kind))
            for ending, kind in kinds.items()
        },
    }


def image_readers() -> dict[str, Reader]:
    """Returns the readers of a user's images and masks by name."""

    def read_images(path: str):
        return image_files.read_images([path], _SHAPE)

    def read_mask(path: str):
        return image_files.read_mask(path, _SHAPE, 2)

    return {
        "images.npy": Reader("a.npy", read_images, _npy(_IMAGES)),
        "images.npz": Reader("a.npz", read_images, _npz(images=_IMAGES)),
        "image.png": Reader("a.png", read_images, _image("PNG")),
        "mask.npz": Reader("m.npz", read_mask, _npz(mask=_IMAGES // 255)),
    }


def all_readers() -> dict[str, Reader]:
    """Returns every reader of a user's files by name; that of PyTorch files if it is installed."""
    readers_by_name = {
        **source_readers(),
        **image_readers(),
        "statistics": Reader(
            "s.npz",
            lambda path: load_feature_statistics(path, 2),
            _npz(mu=np.zeros(2), sigma=np.eye(2), count=np.array(5)),
        ),
        "config.json": Reader(
            "config.json", load_config, b'{"seed": 1, "noise": {"sigma_min": 0.1}}'
        ),
    }
    with contextlib.suppress(ImportError):
        readers_by_name["torch"] = Reader("a.pt", read_state_dict, _torch_file())
    return readers_by_name
