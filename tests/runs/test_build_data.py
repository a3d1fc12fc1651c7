"""From the settings of the data to images."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.image_data import random_uint8
from tests.helpers.small_runs import small_config
from tf_mdsm.datasets.synthetic import mixture_energy
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.runs import build_data
from tf_mdsm.runs.build_data import (
    build_images,
    build_run_images,
    build_true_energy,
    image_shape,
    sample_shape,
)


def test_the_shape_of_images():
    assert image_shape(small_config(data__image_size=12, data__channels=3)) == (12, 12, 3)


def test_settings_are_arguments_of_the_loader(monkeypatch):
    """Folders may begin with "~"; what becomes of images in a batch is not a matter of loading."""
    monkeypatch.setenv("HOME", "/home/someone")
    received = {}

    def load_images(**settings):
        received.update(settings)
        return np.zeros((20, 8, 8, 1)), np.zeros((3, 8, 8, 1))

    monkeypatch.setattr(build_data, "load_images", load_images)
    config = small_config(data__path="~/images", data__cache="~/cache", data__data_dir="/tfds")
    training, validation = build_images(config)
    assert (len(training), len(validation)) == (20, 3)
    expected = {**config.data.to_dict(), "path": "/home/someone/images"}
    expected.update(cache="/home/someone/cache", data_dir="/tfds")
    for name in ("flip", "turn", "patches", "allow_other_images"):
        del expected[name]
    assert received == expected


def test_errors_name_the_setting():
    with pytest.raises(InvalidArgument, match=r"`config\.data\.channels` must be 1"):
        build_images(small_config(data__channels=2))


def test_a_batch_of_more_images_than_there_are_is_refused():
    at_most = r"`config\.training\.batch_size` must not exceed .*\(1617\)\. Received: 1618"
    with pytest.raises(InvalidArgument, match=at_most):
        build_images(small_config(training__batch_size=1_618))
    assert len(build_images(small_config(training__batch_size=1_617))[0]) == 1_617


def test_the_true_energy_is_that_of_the_mixture_at_the_levels_of_training():
    points = tf.constant(np.random.default_rng(0).uniform(size=(5, 1, 1, 2)), tf.float32)
    config = small_config(data__source="synthetic", data__name="mixture", noise__sigma_max=0.7)
    sigmas = NoiseLevels(**config.noise).sigmas
    assert sigmas.max() == pytest.approx(0.7)
    energy = build_true_energy(config)(points)
    np.testing.assert_allclose(energy, mixture_energy(points, sigmas), rtol=1e-5)


@pytest.mark.parametrize(("source", "name"), [("digits", ""), ("synthetic", "blobs")])
def test_other_data_have_no_known_energy(source, name):
    assert build_true_energy(small_config(data__source=source, data__name=name)) is None


def test_images_of_a_cache_are_on_disk(tmp_path):
    config = small_config()
    expected = build_images(config)
    config.data.cache = str(tmp_path / "cache")
    for _ in range(2):
        for ours, theirs in zip(build_images(config), expected, strict=True):
            assert isinstance(ours, np.memmap)
            np.testing.assert_array_equal(ours, theirs)


def test_of_whole_images_batches_are_drawn_from_the_training_images():
    images = build_run_images(small_config())
    assert images.drawn_from is images.training
    assert (images.num_training, images.num_validation) == (1617, 180)


@pytest.fixture
def patch_config(tmp_path):
    """Patches of 8 x 8 pixels of 20 larger images, two of which are held out."""
    np.savez(tmp_path / "data.npz", images=random_uint8(20, 11, 27))
    return small_config(
        data__source="npz", data__path=str(tmp_path / "data.npz"), data__patches=True
    )


def test_patches_of_a_run(patch_config):
    """As many patches as there are stand for all; batches may be larger than their number."""
    patch_config.training.batch_size = 4_096
    images = build_run_images(patch_config)
    assert images.training.shape == (18 * 4 * 20, 8, 8, 1)
    assert images.validation.shape == (2 * 3, 8, 8, 1)
    assert images.training.dtype == images.validation.dtype == np.uint8
    assert images.drawn_from.shape == images.training.shape
    assert (images.num_training, images.num_validation) == (18, 2)
    for ours, theirs in zip(build_images(patch_config), build_images(patch_config), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_patches_that_stand_for_all_are_bounded(patch_config, monkeypatch):
    monkeypatch.setattr(build_data, "_MAX_TRAINING_PATCHES", 50)
    monkeypatch.setattr(build_data, "_MAX_VALIDATION_PATCHES", 4)
    training, validation = build_images(patch_config)
    assert (len(training), len(validation)) == (50, 4)


def test_errors_about_patches_name_the_setting(patch_config):
    patch_config.data.image_size = 12
    with pytest.raises(InvalidArgument, match=r"`config\.data\.image_size` must not exceed"):
        build_images(patch_config)
    patch_config.data.update(path="nowhere.npz", image_size=8)
    with pytest.raises(InvalidArgument, match=r"`config\.data\.path` must be"):
        build_images(patch_config)


def test_samples_have_the_images_size_unless_another_is_set():
    config = small_config()
    assert sample_shape(config) == image_shape(config) == (8, 8, 1)
    config.sampling.image_size = 12
    assert sample_shape(config) == (12, 12, 1)
    assert image_shape(config) == (8, 8, 1)
