"""A SavedModel in this process: the answers of its functions, limits, other folders."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.known_export import (
    LIMIT,
    known_energy,
    known_noise_level,
    served_energy,
    spelled,
)
from tests.helpers.served_inputs import SHAPE, some_images, upper_half_known
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.serving.loaded_saved_model import LoadedSavedModel
from tf_mdsm.serving.saved_model import write_saved_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "1"
    write_saved_model(served_energy(), str(folder), image_shape=SHAPE, provenance={})
    return LoadedSavedModel(folder)


def test_it_answers_as_the_functions(model):
    images = some_images(3)
    assert model.image_shape == model.sample_shape == SHAPE
    np.testing.assert_allclose(model.energy(images), known_energy(images), rtol=1e-5)
    np.testing.assert_array_equal(model.denoise(images), images / 2)
    np.testing.assert_array_equal(model.score(images), -images)
    np.testing.assert_allclose(model.noise_level(images), known_noise_level(images), rtol=1e-5)
    np.testing.assert_array_equal(model.sample([5, 2**62])[0], spelled([5, 2**62]))
    known = upper_half_known(3)
    filled = model.inpaint(images, known, [0, 1, 2])
    np.testing.assert_array_equal(filled[:, :4], images[:, :4])


def test_wrong_requests_are_refused(model):
    with pytest.raises(InvalidArgument, match="images"):
        model.energy(np.zeros((1, 9, 8, 1), np.float32))
    with pytest.raises(InvalidArgument, match="be one that was exported"):
        model.run("other", {"images": some_images(1)}, {"other": ()})


def test_more_images_than_the_export_takes_come_in_parts(model):
    images = some_images(2 * LIMIT + 1)
    np.testing.assert_allclose(model.energy(images), known_energy(images), rtol=1e-5)
    seeds = np.arange(LIMIT + 1)
    samples, energies = model.sample(seeds)
    np.testing.assert_array_equal(samples, spelled(seeds))
    assert len(energies) == LIMIT + 1


def test_exports_of_earlier_versions_note_the_limit_among_the_settings(tmp_path):
    write_saved_model(served_energy(), str(tmp_path / "1"), image_shape=SHAPE, provenance={})
    note = {"config": {"export": {"max_batch_size": LIMIT}}}
    (tmp_path / "1" / "assets.extra" / "tf_mdsm.json").write_text(json.dumps(note))
    images = some_images(LIMIT + 1)
    energies = LoadedSavedModel(tmp_path / "1").energy(images)
    np.testing.assert_allclose(energies, known_energy(images), rtol=1e-5)


def test_other_folders_are_refused(tmp_path):
    module = tf.Module()
    tf.saved_model.save(module, str(tmp_path / "other"))
    for folder in (tmp_path / "other", tmp_path / "nothing"):
        with pytest.raises(InvalidArgument, match="`folder` must be a SavedModel of tf_mdsm"):
            LoadedSavedModel(folder)
