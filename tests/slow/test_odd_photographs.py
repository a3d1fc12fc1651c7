"""Two hundred odd files by `--mode=restore`: each is restored, or refused with a sentence."""

import io
import itertools
import json

import numpy as np
import pytest
from PIL import Image

from tests.helpers.image_data import random_uint8
from tests.helpers.odd_images import odd_files
from tests.helpers.photo_runs import make_photo_run, pixels_of, restore_call
from tf_mdsm.system.pictures import PICTURE_ENDINGS

SIZES = [(1, 1), (1, 40), (2, 2), (3, 2), (17, 5), (8, 8), (33, 31), (64, 200), (200, 300)]
KINDS = {
    "png": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "jpg": ["L", "RGB", "CMYK"],
    "tif": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"],
    "webp": ["RGB", "RGBA"],
    "gif": ["L", "P"],
    "bmp": ["1", "L", "P", "RGB"],
}
FORMATS = {"jpg": "JPEG", "tif": "TIFF"}


def picture(mode: str, height: int, width: int) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(random_uint8(height, width).astype(np.uint16) * 257)
    return Image.fromarray(random_uint8(height, width, 3, seed=height)).convert(mode)


def content(image: Image.Image, ending: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, FORMATS.get(ending, ending.upper()), **options)
    return file.getvalue()


def write_files(folder) -> dict[str, tuple[int, int] | None]:
    """Writes the files; returns the upright size of those that are pictures, else None."""
    sizes: dict[str, tuple[int, int] | None] = {}

    def write(name: str, data: bytes, size: tuple[int, int] | None) -> None:
        (folder / name).write_bytes(data)
        sizes[name] = size

    kinds = [(ending, mode) for ending, modes in KINDS.items() for mode in modes]
    number = itertools.count()
    for (ending, mode), turn in itertools.product(kinds, range(3)):
        size = SIZES[(next(number) * 2 + turn) % len(SIZES)]
        name = f"{mode.replace(';', '')} {size[0]}x{size[1]} {turn}.{ending}"
        write(name, content(picture(mode, *size), ending), size)
    for orientation, ending in itertools.product(range(1, 9), ("jpg", "tif", "png", "webp")):
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = content(picture("RGB", 12, 21), ending, exif=exif)
        size = (21, 12) if orientation >= 5 else (12, 21)
        write(f"turned {orientation}.{ending}", data, size)
    for ending in KINDS:
        whole = content(picture("RGB" if ending != "gif" else "P", 40, 50), ending)
        write(f"cut early.{ending}", whole[:20], None)
        write(f"cut late.{ending}", whole[: len(whole) // 2], None)
        write(f"empty.{ending}", b"", None)
        write(f"text.{ending}", b"no picture\n" * 9, None)
        write(f"noise.{ending}", np.random.default_rng(0).bytes(5_000), None)
    for file in odd_files():
        if file.name.lower().endswith(PICTURE_ENDINGS):
            write(f"odd, {file.name}", file.content, (8, 8) if file.is_image else None)
    return sizes


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("task", ["denoise", "super_resolution_2"])
def test_each_file_is_restored_or_refused_with_a_sentence(channels, task, tmp_path):
    workdir = make_photo_run(tmp_path, channels)
    photos = tmp_path / "photos"
    photos.mkdir()
    sizes = write_files(photos)
    assert len(sizes) >= 200
    answer = restore_call(workdir, photos, task=task)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    stem = workdir / "restorations" / task
    report = json.loads(stem.with_suffix(".json").read_text())
    rows = {row["file"]: row for row in report["files"]}
    assert rows.keys() == sizes.keys()
    factor = 2 if task == "super_resolution_2" else 1
    for name, size in sizes.items():
        row = rows[name]
        if "refused" in row:
            assert size is None or factor * min(size) < 2 or name.startswith("cut"), row
            assert row["refused"].startswith("`"), row
            assert " must " in row["refused"], row
            continue
        assert size is not None or name.startswith("cut late"), row
        result = pixels_of(stem / row["result"])
        assert list(result.shape[:2]) == row["restored_size"]
        if size is not None:
            assert row["size"] == list(size), row
            assert row["restored_size"] == [factor * side for side in size]
    print(len(sizes), report["restored"], report["refused"])
    restored = {row["result"] for row in rows.values() if "refused" not in row}
    assert {path.relative_to(stem).as_posix() for path in stem.rglob("*.png")} == restored
