"""A run as a model of the page: the answers of the run itself."""

import numpy as np
import pytest

import tf_mdsm
from tests.helpers.served_inputs import SHAPE, some_images
from tests.helpers.small_runs import small_config
from tf_mdsm.demo.run_model import RunModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.run import load
from tf_mdsm.runs.train import train


@pytest.fixture(scope="module")
def model(small_run):
    return RunModel(str(small_run))


@pytest.fixture(scope="module")
def run(small_run):
    return load(small_run)


def test_drawn_images_are_those_of_the_run(model, run):
    drawn = model.draw(range(3, 6))
    expected = tf_mdsm.sample(run.model, run.method, seeds=range(3, 6))
    np.testing.assert_allclose(drawn.states[-1], expected, atol=1e-4)
    assert drawn.states.shape == (run.method.num_steps + 2, 3, *SHAPE)
    np.testing.assert_allclose(drawn.energies, run.model.energy(drawn.states[-1]), rtol=1e-4)
    assert model.fine_steps == ()  # Langevin dynamics has no levels to divide.


def test_answers_are_those_of_the_energy(model, run):
    images = some_images(3)
    np.testing.assert_allclose(model.energy(images), run.model.energy(images), rtol=1e-5)
    np.testing.assert_allclose(model.denoise(images), run.model.denoise(images), atol=1e-5)


def test_what_is_known_is_kept(model):
    mask = np.zeros(SHAPE[:2], bool)
    mask[:, :5] = True
    image = some_images(1)[0]
    filled = model.fill_in(image, mask, range(2))
    np.testing.assert_array_equal(filled[:, :, :5], np.stack([image, image])[:, :, :5])
    assert np.abs(filled[0] - filled[1])[:, 5:].max() > 0


def test_its_own_images(model):
    images = model.own_images()
    assert {name: len(array) for name, array in images.items()} == {
        "training images": 1617,
        "validation images": 180,
    }
    assert all(array.dtype == np.float32 for array in images.values())


def test_images_of_another_size_than_the_samples_are_not_offered(small_run, monkeypatch):
    model = RunModel(str(small_run))
    monkeypatch.setattr(model, "image_shape", (16, 16, 1))
    with pytest.raises(InvalidArgument, match=r"`config.sampling.image_size` must be 8, the side"):
        model.own_images()


def test_what_is_no_denoiser_says_so(small_run, tmp_path):
    assert RunModel(str(small_run)).lacks == ()
    train(small_config(training__num_steps=1, noise__weighting="score"), str(tmp_path))
    assert "noise.weighting=score" in RunModel(str(tmp_path)).lacks[0]
