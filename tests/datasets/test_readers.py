"""Readers of data sources: valid files, and files that are damaged or of another kind."""

import gzip
import io
import logging
import struct
import types
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_digits

from tests.helpers.hostile_files import source_readers
from tests.helpers.image_data import idx_bytes, random_uint8
from tf_mdsm.datasets import readers
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system import npz

READERS = source_readers()


def test_digits_are_those_of_scikit_learn():
    digits = readers.read_digits()
    assert (digits.shape, digits.dtype) == ((1_797, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(digits[..., 0] * 16, load_digits().images)


# IDX files.


@pytest.fixture
def idx_folder(tmp_path):
    """A folder with a plain and a compressed file, and their images."""
    images = random_uint8(30, 28, 28)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(images[:20]))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images[20:])))
    return tmp_path, images


def test_plain_and_compressed_idx_files(idx_folder):
    path, images = idx_folder
    np.testing.assert_array_equal(readers.read_idx(str(path), "train")[..., 0], images[:20])
    np.testing.assert_array_equal(readers.read_idx(str(path), "test")[..., 0], images[20:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "hold a readable IDX file"),
        (b"\x00" * 40, "hold IDX images"),
        (struct.pack(">4I", 0x803, 5, 4, 4) + b"\x00" * 79, "hold 80 bytes of images"),
        (struct.pack(">4I", 0x803, 5, 4, 4) + b"\x00" * 81, "hold 80 bytes of images"),
        (struct.pack(">4I", 0x803, 2**31, 2**15, 2**15), "unpack to at most"),
        (struct.pack(">4I", 0x803, 0, 2**32 - 1, 2**32 - 1), "hold a readable IDX file"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, content, message):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(InvalidArgument, match=f"{message}.*train-images-idx3-ubyte"):
        readers.read_idx(str(tmp_path), "train")


def test_truncated_gzip_is_refused(idx_folder):
    path, _ = idx_folder
    file = path / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(InvalidArgument, match="hold a readable IDX file"):
        readers.read_idx(str(path), "test")


def test_missing_idx_files_and_other_splits_are_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="a folder that holds t10k-images-idx3-ubyte"):
        readers.read_idx(str(tmp_path), "test")
    with pytest.raises(InvalidArgument, match="`split` must be one of train, test"):
        readers.read_idx(str(tmp_path), "dev")


# .npz files.


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.float16])
@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 3)])
def test_npz_files_of_integers_and_floats(tmp_path, dtype, shape):
    stored = (random_uint8(*shape) / (1 if dtype == np.uint8 else 255)).astype(dtype)
    np.savez(tmp_path / "data.npz", images=stored)
    images = readers.read_npz(str(tmp_path / "data.npz"))
    assert images.dtype == (np.uint8 if dtype == np.uint8 else np.float32)
    np.testing.assert_array_equal(images, stored.astype(images.dtype).reshape(2, 8, 8, -1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((4, 8, 8), np.uint8)}, "hold an array named `images`"),
        ({"images": np.zeros((4, 8), np.uint8)}, "of shape"),
        ({"images": np.zeros((4, 8, 8, 5), np.uint8)}, "of shape"),
        ({"images": np.zeros((4, 0, 8), np.uint8)}, "of shape"),
        ({"images": np.zeros((8, 9, 3))}, r"not one image \[H, W, C\]"),
        ({"images": np.zeros((8, 9, 4))}, r"not one image \[H, W, C\]"),
        ({"images": np.zeros((8, 9, 1))}, r"not one image \[H, W, C\]"),
    ],
)
def test_npz_without_images_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(InvalidArgument, match=message):
        readers.read_npz(str(tmp_path / "data.npz"))


# Folders of pictures.


def save_image(path, pixels):
    Image.fromarray(pixels).save(path)


def read_folder(path, **arguments):
    return list(readers.read_folder(str(path), **arguments))


def test_pictures_are_read_in_the_order_of_their_names_also_from_subfolders(tmp_path):
    (tmp_path / "b").mkdir()
    colors = random_uint8(2, 6, 9, 3)
    save_image(tmp_path / "b" / "1.png", colors[0])
    save_image(tmp_path / "c.BMP", colors[1])
    save_image(tmp_path / "a.jpg", np.full((5, 4), 99, np.uint8))
    (tmp_path / "notes.txt").write_text("not an image")
    gray, *others = read_folder(tmp_path)
    assert (gray == 99).all()
    assert gray.shape == (5, 4, 3)
    np.testing.assert_array_equal(others, colors)


def test_each_real_file_is_read_once(tmp_path):
    """Folders may contain themselves, and links to files and folders elsewhere are followed."""
    for folder, number in (("data", 60), ("data/b", 120), ("elsewhere", 180)):
        (tmp_path / folder).mkdir()
        save_image(tmp_path / folder / "1.png", np.full((4, 4), number, np.uint8))
    links = {"data/self": ".", "data/b/up": "..", "data/z": "../elsewhere", "data/a": "b"}
    links |= {"data/y": "../elsewhere", "data/2.png": "1.png", "data/3.png": "../elsewhere/1.png"}
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    assert sorted(int(image[0, 0, 0]) for image in read_folder(tmp_path / "data")) == [60, 120, 180]


@pytest.mark.parametrize(
    "name", ["[a] b*", "?", "a.png", "ä 日本", "{x}", "~", "%41 #,=:", "$HOME"]
)
def test_any_names_of_folders_and_files(tmp_path, name):
    folder = tmp_path / name / name
    folder.mkdir(parents=True)
    save_image(folder / f"{name}.png", np.full((4, 4), 60, np.uint8))
    assert [int(image[0, 0, 0]) for image in read_folder(tmp_path / name)] == [60]


def test_hidden_files_are_left_out(tmp_path):
    for folder in (tmp_path, tmp_path / ".thumbnails", tmp_path / "__MACOSX"):
        folder.mkdir(exist_ok=True)
        (folder / "._1.png").write_bytes(b"nothing")
    save_image(tmp_path / ".thumbnails" / "1.png", np.full((4, 4), 90, np.uint8))
    save_image(tmp_path / "1.png", np.full((4, 4), 60, np.uint8))
    assert len(read_folder(tmp_path)) == 1


def test_files_of_other_endings_are_counted(tmp_path, caplog):
    for name in ("1.heic", "2.HEIC", "notes.txt", "Makefile", ".hidden"):
        (tmp_path / name).touch()
    save_image(tmp_path / "1.png", np.full((4, 4), 60, np.uint8))
    with caplog.at_level(logging.WARNING, "tf_mdsm"):
        assert len(read_folder(tmp_path)) == 1
    assert "left out by their endings: 4 (.heic: 2" in caplog.text


def test_a_dead_link_is_named(tmp_path):
    (tmp_path / "dead.png").symlink_to("nowhere.png")
    with pytest.raises(InvalidArgument, match=r"dead\.png"):
        read_folder(tmp_path)


def test_pictures_that_are_all_dark_are_refused_after_the_last_one(tmp_path):
    for number, largest in enumerate((1, 4_095)):
        save_image(tmp_path / f"{number}.png", np.full((4, 4), largest, np.uint16))
    images = readers.read_folder(str(tmp_path))
    assert [int(next(images)[0, 0, 0]) for _ in range(2)] == [0, 15]
    with pytest.raises(InvalidArgument, match="uint16 of which 65535 is white"):
        next(images)
    save_image(tmp_path / "2.png", np.full((4, 4), 60_000, np.uint16))
    assert len(read_folder(tmp_path)) == 3


def test_pictures_of_16_bits_keep_256_levels(tmp_path):
    ramp = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
    save_image(tmp_path / "deep.png", ramp)
    np.testing.assert_array_equal(read_folder(tmp_path)[0][..., 0], ramp // 257)


def test_transparent_parts_are_black(tmp_path):
    pixels = np.full((8, 8, 4), 255, np.uint8)
    pixels[:4, :, 3] = 0
    save_image(tmp_path / "transparent.png", pixels)
    (image,) = read_folder(tmp_path)
    assert (image[:4] == 0).all()
    assert (image[4:] == 255).all()


def test_pictures_are_turned_upright(tmp_path):
    """Cameras note in a file how they were held; 6: turned by a quarter."""
    pixels, exif = random_uint8(4, 6, 3), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_folder(tmp_path)[0], np.rot90(pixels, -1))


def test_folders_without_images_and_damaged_images_are_named(tmp_path):
    with pytest.raises(InvalidArgument, match=r"hold files that end in \.png"):
        read_folder(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    with pytest.raises(InvalidArgument, match=r"broken\.png"):
        read_folder(tmp_path)


def test_damaged_images_are_skipped_on_request(tmp_path, caplog):
    for number in range(3):
        save_image(tmp_path / f"{number}.png", np.full((8, 8, 3), 50 * number, np.uint8))
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:-30])
    with caplog.at_level(logging.WARNING, "tf_mdsm"):
        kept = read_folder(tmp_path, skip_damaged=True)
    assert [int(image[0, 0, 0]) for image in kept] == [0, 100]
    assert "1.png is skipped" in caplog.text
    files = readers.folder_files(str(tmp_path))
    for number, pixels in readers.read_numbered_folder(str(tmp_path), skip_damaged=True):
        np.testing.assert_array_equal(pixels, readers.read_picture(files[number]))


def test_an_image_of_too_many_pixels_is_refused(tmp_path):
    Image.new("1", (10_000, 9_500)).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size < 50_000
    with pytest.raises(InvalidArgument, match=r"hold images only .*decompression bomb"):
        read_folder(tmp_path)


# What would harm the machine.


def test_a_file_that_unpacks_to_more_than_half_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(npz.os, "sysconf", lambda name: 1_000)  # One million bytes of memory.
    fits = "unpack to at most 500,000 bytes, half of this machine's memory"
    np.savez_compressed(tmp_path / "zeros.npz", images=np.zeros((9, 300, 300), np.uint8))
    assert (tmp_path / "zeros.npz").stat().st_size < 5_000
    with pytest.raises(InvalidArgument, match=fits):
        readers.read_npz(str(tmp_path / "zeros.npz"))
    claim = struct.pack(">4I", 0x803, 9, 300, 300)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(claim + bytes(810_000)))
    with pytest.raises(InvalidArgument, match=fits):
        readers.read_idx(str(tmp_path), "train")


def test_a_header_with_a_false_size_takes_no_memory(tmp_path):
    """The array's header claims 64 PiB, and a few bytes follow."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (2**50, 8, 8)}
    )
    with zipfile.ZipFile(tmp_path / "large.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + b"few")
    with pytest.raises(InvalidArgument, match=r"be a readable \.npz file"):
        readers.read_npz(str(tmp_path / "large.npz"))


# Pillow warns about fields of damaged files.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", READERS)
def test_hostile_files_are_read_or_refused(name, tmp_path):
    READERS[name].assert_read_or_refused(str(tmp_path))


# TensorFlow Datasets.


def test_tfds_features_come_in_the_same_order(tmp_path):
    with tfds.testing.mock_data(num_examples=4):
        images = readers.read_tfds("celeb_a", "validation", str(tmp_path))
        first, second = (list(images.as_numpy_iterator()) for _ in range(2))
    assert first[0].shape == (218, 178, 3)
    np.testing.assert_array_equal(first, second)


def test_unknown_data_sets_and_missing_features_are_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="`name` must be a data set that TFDS knows"):
        readers.read_tfds("cifar11", "train", str(tmp_path))
    without_images = pytest.raises(InvalidArgument, match="with a feature `image`")
    with tfds.testing.mock_data(num_examples=2), without_images:
        readers.read_tfds("imdb_reviews", "train", str(tmp_path))


def test_unknown_splits_are_refused(tmp_path, monkeypatch):
    def refuse(builder, split, **_):
        raise ValueError(f"no split {split}")

    with tfds.testing.mock_data(num_examples=2), monkeypatch.context() as patch:
        patch.setattr(tfds.core.DatasetBuilder, "as_dataset", refuse)
        with pytest.raises(InvalidArgument, match=r"`split` must be one of .*Received: dev"):
            readers.read_tfds("mnist", "dev", str(tmp_path))


def test_tfds_without_data_and_network_names_the_folder_to_prepare(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    with pytest.raises(InvalidArgument, match="`data_dir` must name a data_dir with cifar10"):
        readers.read_tfds("cifar10", "train", str(tmp_path))


@pytest.mark.parametrize("by_another", [True, False])
def test_tfds_data_that_another_worker_has_prepared_are_used(tmp_path, monkeypatch, by_another):
    """When two workers prepare one folder, TFDS fails to rename the slower one's result."""
    prepared = []

    def fail_to_rename(*_, **__):
        prepared.append(by_another)
        raise OSError("Directory not empty")

    builder = types.SimpleNamespace(
        download_and_prepare=fail_to_rename,
        is_prepared=lambda: prepared == [True],
        info=types.SimpleNamespace(features={"image": None}),
        as_dataset=lambda **_: tf.data.Dataset.from_tensors({"image": tf.zeros([2, 2, 1])}),
    )
    monkeypatch.setattr(tfds, "builder", lambda *_, **__: builder)
    if by_another:
        assert len(list(readers.read_tfds("mnist", "train", str(tmp_path)))) == 1
    else:
        with pytest.raises(InvalidArgument, match="Directory not empty"):
            readers.read_tfds("mnist", "train", str(tmp_path))
