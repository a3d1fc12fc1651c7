"""Carried training images: what is read back is what a training run takes, batch for batch."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.accelerator import inputs
from benchmarks.accelerator.inputs import read_batches, write_inputs
from tests.helpers.image_data import random_uint8
from tf_mdsm.config import default_config
from tf_mdsm.datasets.batches import training_batches
from tf_mdsm.datasets.patches import Patches
from tf_mdsm.datasets.pixels import to_float
from tf_mdsm.errors import InvalidArgument

STEPS = 6


@pytest.fixture
def config(monkeypatch):
    monkeypatch.setattr(inputs, "_MAX_STEPS", STEPS)
    config = default_config()
    config.seed = 3
    config.data.update(image_size=8, channels=3)
    config.training.update(batch_size=5, num_steps=STEPS)
    return config


def read(folder, files, config, first, count):
    batches = read_batches(str(folder), files, config.data.image_size)(first, count)
    assert batches.dtype == np.uint8
    return to_float(tf.constant(batches)).numpy()


def trained_on(images, config, *, flip=False, turn=False):
    """The first batches of a training run."""
    size, seed = config.training.batch_size, config.seed
    batches = training_batches(images, batch_size=size, seed=seed, flip=flip, turn=turn)
    return np.stack(list(batches.take(STEPS).as_numpy_iterator()))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("turn", [False, True])
def test_patches_are_those_of_training(config, tmp_path, flip, turn):
    config.data.update(patches=True, flip=flip, turn=turn)
    shapes = ((20, 13), (8, 31), (9, 9))
    images = [random_uint8(1, *shape, 3, seed=i)[0] for i, shape in enumerate(shapes)]
    patches = Patches(images, 8)
    files = write_inputs(config, patches, str(tmp_path))
    assert files == {"images": "patches_3.npz", "order": "order_patches_3_5.npz"}
    expected = trained_on(patches, config, flip=flip, turn=turn)
    np.testing.assert_array_equal(read(tmp_path, files, config, 0, STEPS), expected)
    np.testing.assert_array_equal(read(tmp_path, files, config, 2, 3), expected[2:5])


def test_images_are_those_of_training(config, tmp_path):
    images = random_uint8(17, 8, 8, 3)
    files = write_inputs(config, images, str(tmp_path))
    assert files == {"images": "images.npz", "order": "order_images_5.npz"}
    expected = trained_on(images, config)
    np.testing.assert_array_equal(read(tmp_path, files, config, 0, STEPS), expected)


def test_after_the_last_written_step_the_first_ones_follow(config, tmp_path):
    config.data.patches = True
    files = write_inputs(config, Patches(list(random_uint8(2, 20, 20, 3)), 8), str(tmp_path))
    around = read(tmp_path, files, config, STEPS - 1, 2)
    first = read(tmp_path, files, config, 0, 1)
    last = read(tmp_path, files, config, STEPS - 1, 1)
    np.testing.assert_array_equal(around, np.concatenate([last, first]))


def test_written_files_are_not_written_again(config, tmp_path):
    images = random_uint8(17, 8, 8, 3)
    files = write_inputs(config, images, str(tmp_path))
    times = [(tmp_path / name).stat().st_mtime_ns for name in files.values()]
    assert write_inputs(config, images, str(tmp_path)) == files
    assert times == [(tmp_path / name).stat().st_mtime_ns for name in files.values()]


def test_a_folder_with_other_images_is_refused(config, tmp_path):
    """The same images are written once; those that are there stay."""
    images = random_uint8(17, 8, 8, 3)
    files = write_inputs(config, images, str(tmp_path))
    for others in (random_uint8(17, 8, 8, 3, seed=1), images[:16], random_uint8(17, 4, 4, 3)):
        with pytest.raises(InvalidArgument, match="`--output` must be a folder without other"):
            write_inputs(config, others, str(tmp_path))
    assert write_inputs(config, images, str(tmp_path)) == files
    assert {path.name for path in tmp_path.iterdir()} == set(files.values())
    expected = trained_on(images, config)
    np.testing.assert_array_equal(read(tmp_path, files, config, 0, STEPS), expected)
