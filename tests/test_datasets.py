"""Data sets: every source, real and damaged; resizing of images; the order of batches."""

import gzip
import logging
import pathlib
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_runs import ROOT

from tf_mdsm.datasets import synthetic
from tf_mdsm.datasets.batches import image_indices, training_batches
from tf_mdsm.datasets.loading import load_images
from tf_mdsm.datasets.resizing import resize
from tf_mdsm.errors import InvalidArgument

DEBIAN_FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")
needs_fashion_mnist = pytest.mark.skipif(
    not DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)


def idx_bytes(images: np.ndarray) -> bytes:
    return struct.pack(">4I", 0x803, *images.shape) + images.tobytes()


def random_uint8(*shape, seed=0):
    return np.random.default_rng(seed).integers(256, size=shape).astype(np.uint8)


@pytest.fixture
def idx_folder(tmp_path):
    images = random_uint8(30, 28, 28)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(images[:20]))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images[20:])))
    return tmp_path, images


def test_digits_are_split_into_training_and_validation_images():
    training, validation = load_images("digits", image_size=8, channels=1)
    assert training.shape == (1617, 8, 8, 1)
    assert validation.shape == (180, 8, 8, 1)
    assert training.max() == 1
    together = np.concatenate([training, validation])
    assert len(np.unique(together.reshape(len(together), -1), axis=0)) == 1797


def test_plain_and_compressed_idx_files_are_padded_to_32_pixels(idx_folder):
    path, images = idx_folder
    training, validation = load_images("idx", path=str(path), image_size=32, channels=1)
    assert training.dtype == np.uint8
    assert training.shape == (20, 32, 32, 1)
    padding = ((0, 0), (2, 2), (2, 2))
    np.testing.assert_array_equal(training[..., 0], np.pad(images[:20], padding))
    np.testing.assert_array_equal(validation[..., 0], np.pad(images[20:], padding))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "hold a readable IDX file"),
        (b"\x00" * 40, "hold IDX images"),
        (struct.pack(">4I", 0x803, 5, 4, 4) + b"\x00" * 79, "hold 80 bytes of images"),
        (struct.pack(">4I", 0x803, 5, 4, 4) + b"\x00" * 81, "hold 80 bytes of images"),
        (struct.pack(">4I", 0x803, 2**31, 2**15, 2**15), "unpack to at most"),
        (struct.pack(">4I", 0x803, 0, 28, 28), "hold images"),
        (struct.pack(">4I", 0x803, 0, 2**32 - 1, 2**32 - 1), "hold a readable IDX file"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, content, message):
    for name in ("train", "t10k"):
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(InvalidArgument, match=message):
        load_images("idx", path=str(tmp_path), image_size=28, channels=1)


def test_truncated_gzip_is_refused(idx_folder):
    path, _ = idx_folder
    file = path / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(InvalidArgument, match="hold a readable IDX file"):
        load_images("idx", path=str(path), image_size=28, channels=1)


def test_wrong_splits_are_refused(idx_folder):
    path, _ = idx_folder
    settings = {"path": str(path), "image_size": 28, "channels": 1}
    with pytest.raises(InvalidArgument, match="`split` must be one of train, test"):
        load_images("idx", split="dev", **settings)
    with pytest.raises(InvalidArgument, match="`held_out_split` must be one of train, test"):
        load_images("idx", held_out_split="dev", **settings)
    with pytest.raises(InvalidArgument, match="`held_out_split` must differ from split"):
        load_images("idx", held_out_split="train", **settings)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.float16])
def test_npz_files_of_integers_and_floats(tmp_path, dtype):
    images = random_uint8(20, 8, 8, 3)
    stored = images if dtype == np.uint8 else (images / 255).astype(dtype)
    np.savez(tmp_path / "data.npz", images=stored)
    training, validation = load_images(
        "npz", path=str(tmp_path / "data.npz"), image_size=8, channels=3, held_out_fraction=0.25
    )
    assert (len(training), len(validation)) == (15, 5)
    assert training.dtype == (np.uint8 if dtype == np.uint8 else np.float32)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((4, 8, 8), np.uint8)}, "hold an array named `images`"),
        ({"images": np.zeros((4, 8), np.uint8)}, "of shape"),
        ({"images": np.zeros((4, 8, 8, 5), np.uint8)}, "of shape"),
        ({"images": np.zeros((4, 8, 8), np.int64)}, "of uint8 or float"),
        ({"images": np.full((4, 8, 8), 1.5)}, r"hold pixels in \[0, 1\]"),
        ({"images": np.full((4, 8, 8), -0.1)}, r"hold pixels in \[0, 1\]"),
        ({"images": np.full((4, 8, 8), np.nan)}, r"hold pixels in \[0, 1\]"),
        ({"images": np.array([object()])}, r"be a readable \.npz file"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, "hold images"),
        ({"images": np.zeros((1, 8, 8), np.uint8)}, "leave training images"),
    ],
)
def test_npz_without_images_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(InvalidArgument, match=message):
        load_images("npz", path=str(tmp_path / "data.npz"), image_size=8, channels=1)


def test_npz_with_a_member_that_is_not_an_array(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("images", b"text")
    with pytest.raises(InvalidArgument, match="hold an array named `images`"):
        load_images("npz", path=str(tmp_path / "data.npz"), image_size=8, channels=1)


def test_images_of_16_bits_and_with_transparency(tmp_path):
    ramp = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    transparent = np.full((8, 8, 4), 255, np.uint8)
    transparent[:4, :, 3] = 0
    Image.fromarray(transparent).save(tmp_path / "transparent.png")
    both = load_images(
        "folder", path=str(tmp_path), image_size=8, channels=3, held_out_fraction=0.5
    )
    images = {int(image[3, 3, 0]): image for image in np.concatenate(both)}
    # The transparent half of one image is black. The ramp of the other keeps 256 levels.
    assert (images.pop(0)[4:] == 255).all()
    (other,) = images.values()
    np.testing.assert_array_equal(other[..., 0], ramp // 257)


def test_files_that_are_not_npz_are_refused(tmp_path):
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04 not really")
    for path in (tmp_path / "data.npz", tmp_path / "missing.npz", tmp_path):
        with pytest.raises(InvalidArgument, match=r"be a readable \.npz file"):
            load_images("npz", path=str(path), image_size=8, channels=1)


def test_folder_of_images_of_many_sizes(tmp_path):
    (tmp_path / "inner").mkdir()
    for number, (width, height) in enumerate([(20, 12), (12, 30), (6, 6), (12, 12)]):
        pixels = np.full((height, width, 3), 60 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "inner" / f"{number}.png")
    Image.fromarray(np.full((12, 12), 99, np.uint8)).save(tmp_path / "gray.jpg")
    (tmp_path / "notes.txt").write_text("not an image")
    training, validation = load_images(
        "folder", path=str(tmp_path), image_size=12, channels=3, held_out_fraction=0.2
    )
    images = np.concatenate([training, validation])
    assert images.shape == (5, 12, 12, 3)
    # An image of one color keeps it in the middle, whether it is cropped, scaled or padded.
    assert {int(image[6, 6, 0]) for image in images} == {0, 60, 120, 180, 99}


def test_folders_without_images_and_damaged_images_are_named(tmp_path):
    with pytest.raises(InvalidArgument, match="be a folder of image files"):
        load_images("folder", path=str(tmp_path), image_size=8, channels=3)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    with pytest.raises(InvalidArgument, match=r"broken\.png"):
        load_images("folder", path=str(tmp_path), image_size=8, channels=3)


def test_damaged_images_are_skipped_on_request(tmp_path, caplog):
    for number in range(5):
        pixels = np.full((8, 8, 3), 50 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    cut = (tmp_path / "2.png").read_bytes()[:-30]
    (tmp_path / "2.png").write_bytes(cut)
    arguments = {"path": str(tmp_path), "image_size": 8, "channels": 3}
    with caplog.at_level(logging.WARNING, "tf_mdsm"):
        both = load_images("folder", **arguments, skip_damaged=True)
    kept = {int(image[0, 0, 0]) for image in np.concatenate(both)}
    assert kept == {0, 50, 150, 200}
    assert "2.png is skipped" in caplog.text
    for path in tmp_path.iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(InvalidArgument, match="hold images"):
        load_images("folder", **arguments, skip_damaged=True)


@pytest.mark.parametrize(
    ("name", "held_out_split", "channels", "crop"),
    [
        ("cifar10", "test", 3, 0),
        ("cifar10", "test", 1, 0),
        ("mnist", "test", 1, 0),
        ("fashion_mnist", "test", 3, 0),
        ("celeb_a", "validation", 3, 140),
    ],
)
def test_tfds_images_are_converted_and_cropped(name, held_out_split, channels, crop):
    with tfds.testing.mock_data(num_examples=6):
        training, validation = load_images(
            "tfds",
            name=name,
            held_out_split=held_out_split,
            image_size=32,
            channels=channels,
            crop=crop,
        )
    assert training.shape == validation.shape == (6, 32, 32, channels)
    assert training.dtype == np.uint8
    assert training.std() > 0


def test_tfds_names_without_images_are_refused(tmp_path):
    settings = {"image_size": 32, "channels": 3, "data_dir": str(tmp_path)}
    with pytest.raises(InvalidArgument, match="`name` must be a data set that TFDS knows"):
        load_images("tfds", name="cifar11", **settings)
    without_images = pytest.raises(InvalidArgument, match="with a feature `image`")
    with tfds.testing.mock_data(num_examples=2), without_images:
        load_images("tfds", name="imdb_reviews", **settings)


def test_tfds_without_data_and_network_names_the_folder_to_prepare(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    with pytest.raises(InvalidArgument, match="`data_dir` must name a data_dir with cifar10"):
        load_images("tfds", name="cifar10", image_size=32, channels=3, data_dir=str(tmp_path))


@pytest.mark.long
@needs_fashion_mnist
def test_real_fashion_mnist_by_tfds_and_by_idx(tmp_path):
    """The builder of TFDS prepares Debian's files, and both readers return the same images."""
    script = ROOT / "launch" / "prepare_fashion_mnist.py"
    subprocess.run(
        [sys.executable, script, DEBIAN_FASHION_MNIST, tmp_path],
        check=True,
        capture_output=True,
        timeout=300,
    )
    common = {"image_size": 32, "channels": 1}
    by_tfds = load_images("tfds", name="fashion_mnist", data_dir=str(tmp_path), **common)
    with pytest.raises(InvalidArgument, match="`split` must be one of train, test"):
        load_images("tfds", name="fashion_mnist", data_dir=str(tmp_path), split="dev", **common)
    by_idx = load_images("idx", path=str(DEBIAN_FASHION_MNIST), **common)
    for ours, theirs, count in zip(by_tfds, by_idx, (60_000, 10_000), strict=True):
        assert ours.shape == theirs.shape == (count, 32, 32, 1)
        # TFDS shuffles the images when it prepares them. So sorted sums of pixels are compared.
        np.testing.assert_array_equal(
            np.sort(ours.sum((1, 2, 3), np.int64)), np.sort(theirs.sum((1, 2, 3), np.int64))
        )


def test_synthetic_images():
    points, _ = load_images("synthetic", name="mixture", image_size=1, channels=2)
    distances = np.linalg.norm(points.reshape(-1, 1, 2) - synthetic.mixture_means(), axis=-1)
    nearest = distances.argmin(1)
    counts = np.bincount(nearest, minlength=8) / len(points)
    assert np.abs(counts - 1 / 8).max() < 4.5 * np.sqrt(7 / 64 / len(points))
    spread = (points.reshape(-1, 2) - synthetic.mixture_means()[nearest]).std()
    assert spread == pytest.approx(synthetic.MIXTURE_STD, rel=0.03)
    blobs, _ = load_images("synthetic", name="blobs", image_size=64, channels=3)
    assert blobs.shape == (9_000, 64, 64, 3)
    assert blobs.dtype == np.uint8


def test_energy_of_the_mixture():
    """Compared with the sum of Gaussians, computed explicitly."""
    sigmas = np.array([0.1, 0.4], np.float32)
    points = np.random.default_rng(0).uniform(size=(5, 1, 1, 2)).astype(np.float32)
    density = np.zeros(5)
    for mean in synthetic.mixture_means():
        squared = ((points.reshape(5, 2) - mean) ** 2).sum(1)
        for sigma in sigmas:
            variance = synthetic.MIXTURE_STD**2 + sigma**2
            weight = sigma**2 / (sigmas**2).sum() / 8
            density += weight * np.exp(-squared / (2 * variance)) / (2 * np.pi * variance)
    ours = synthetic.mixture_energy(tf.constant(points), sigmas)
    np.testing.assert_allclose(ours, -np.log(density), rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "imagenet"}, "`source` must be one of tfds, idx, digits"),
        ({"source": "synthetic", "name": "spiral"}, "`name` must be mixture or blobs"),
        ({"source": "synthetic", "name": "mixture"}, "`image_size` must be 1"),
        ({"source": "digits", "held_out_fraction": 0.9999}, "leave training images"),
        ({"source": "digits", "channels": 2}, "`channels` must be 1, as the data have"),
    ],
)
def test_wrong_sources_are_refused(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        load_images(**{"image_size": 8, "channels": 1, **arguments})


def test_resize():
    gray = random_uint8(5, 7, 1)
    padded = resize(gray, 9, 1).numpy()
    np.testing.assert_array_equal(padded[2:7, 1:8], gray)
    assert padded.sum() == gray.sum()
    np.testing.assert_array_equal(resize(gray, 9, 3)[..., 2], padded[..., 0])
    color = random_uint8(4, 4, 3)
    weights = [0.2989, 0.5870, 0.1140]
    assert np.abs(resize(color, 4, 1)[..., 0] - color @ weights).max() <= 1
    # Scaling by 1/2 is nearly the mean of 2x2 pixels if the image is smooth.
    smooth = np.tile(np.arange(0, 64, 2, dtype=np.float32)[:, None, None] / 64, (1, 32, 1))
    halved = resize(smooth, 16, 1).numpy()
    np.testing.assert_allclose(halved[2:-2, 5, 0], smooth[4:-4:2, 5, 0] + 1 / 64, atol=1e-5)
    # A wide image is cropped to its central square, also to one of a given side.
    wide = np.zeros((10, 20, 1), np.uint8)
    wide[:, 5:15] = 200
    assert (resize(wide, 5, 1).numpy() == 200).all()
    assert (resize(random_uint8(8, 8, 1), 4, 1, crop=4).shape) == (4, 4, 1)
    image = random_uint8(8, 8, 1)
    np.testing.assert_array_equal(resize(image, 4, 1, crop=4), image[2:6, 2:6])


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 500), seed=st.integers(0, 2**62), epoch=st.integers(0, 10**6))
def test_an_epoch_contains_every_image_once(count, seed, epoch):
    counters = tf.range(epoch * count, (epoch + 1) * count, dtype=tf.int64)
    indices = image_indices(counters, count, seed).numpy()
    np.testing.assert_array_equal(np.sort(indices), np.arange(count))


def test_orders_differ_between_epochs_and_seeds():
    counters = tf.range(300, dtype=tf.int64)
    orders = [image_indices(counters + 300 * epoch, 300, 1).numpy() for epoch in range(3)]
    orders.append(image_indices(counters, 300, 2).numpy())
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).mean() < 0.05


@pytest.mark.parametrize("flip", [False, True])
def test_batches_do_not_depend_on_first_step_and_replicas(flip):
    images = random_uint8(50, 4, 4, 3)

    def global_batches(first_step, replicas, steps):
        batches = training_batches(
            images,
            batch_size=24,
            seed=7,
            flip=flip,
            first_step=first_step,
            num_replicas=replicas,
        )
        shares = list(batches.take(steps * replicas).as_numpy_iterator())
        return np.concatenate(shares).reshape(steps, 24, 4, 4, 3)

    expected = global_batches(0, 1, 6)
    assert expected.dtype == np.float32
    for first_step, replicas in ((4, 1), (2, 2), (1, 4), (0, 3)):
        ours = global_batches(first_step, replicas, 6 - first_step)
        np.testing.assert_array_equal(ours, expected[first_step:])


def test_half_of_the_images_are_flipped():
    images = np.zeros((10, 2, 2, 1), np.uint8)
    images[:, :, 0] = 255
    batches = training_batches(images, batch_size=100, seed=0, flip=True)
    flipped = np.mean([batch[:, 0, 1, 0] for batch in batches.take(20).as_numpy_iterator()])
    assert abs(flipped - 0.5) < 4.5 * 0.5 / np.sqrt(2_000)
