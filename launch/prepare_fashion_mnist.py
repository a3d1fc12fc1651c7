"""Prepares the data set fashion_mnist of TFDS from a Debian package, without network.

    apt-get install dataset-fashion-mnist
    .venv/bin/python launch/prepare_fashion_mnist.py [FOLDER_OF_THE_FILES] [DATA_DIR]

Debian's files are the published ones, but name and time are removed from their gzip headers; so
TFDS does not recognize them. With the original headers restored, the files have the SHA-256 that
TFDS expects.
"""

import pathlib
import struct
import sys
import tempfile

# Modification times in the gzip headers of the published files.
_TIMES = {"train": 1504176606, "t10k": 1504176627}


def with_original_header(content: bytes, name: str) -> bytes:
    """Returns one of Debian's gzip files with the header of the published file.

    Args:
        content: the file; a file that already has a name in its header is returned unchanged.
        name: name of the published file, without ".gz".
    """
    if content[:4] == b"\x1f\x8b\x08\x08":
        return content
    if content[:4] != b"\x1f\x8b\x08\x00":
        raise SystemExit(f"{name}: not a gzip file")
    time = struct.pack("<I", _TIMES[name.split("-")[0]])
    return content[:3] + b"\x08" + time + content[8:10] + name.encode() + b"\x00" + content[10:]


def prepare(folder: pathlib.Path, data_dir: str | None) -> None:
    """Restores the four published files, and lets TFDS prepare the data set from them.

    Args:
        folder: folder with the four files of the Debian package.
        data_dir: where TFDS keeps its data sets; None: its default folder.
    """
    paths = sorted(folder.glob("*-ubyte.gz"))
    if len(paths) != 4:
        raise SystemExit(f"{folder} must hold the four files of dataset-fashion-mnist")
    import tensorflow_datasets as tfds

    builder = tfds.builder("fashion_mnist", data_dir=data_dir)
    with tempfile.TemporaryDirectory() as manual_dir:
        for path in paths:
            restored = with_original_header(path.read_bytes(), path.name.removesuffix(".gz"))
            (pathlib.Path(manual_dir) / path.name).write_bytes(restored)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )
    print(f"fashion_mnist is prepared in {builder.data_dir}")


if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else "/usr/share/datasets/fashion-mnist"
    prepare(pathlib.Path(folder), sys.argv[2] if len(sys.argv) > 2 else None)
