"""Models behind requests: their answers, with what is known kept."""

from collections.abc import Mapping

import numpy as np
import pytest

from tests.helpers.served_inputs import SHAPE, some_images
from tf_mdsm.demo.models import RequestsModel, require_pictures
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.serving.requests import EnergyRequests


class Known(EnergyRequests):
    """Answers as E(x) = |x|²/2 would."""

    image_shape = SHAPE

    def run(self, signature: str, inputs: Mapping[str, np.ndarray], shapes) -> dict:
        match signature:
            case "sample":
                images = (
                    np.ones((len(inputs["seed"]), *SHAPE)) * inputs["seed"][:, None, None, None]
                )
                return {"images": images, "energy": inputs["seed"] / 2}
            case "inpaint":
                known = inputs["mask"] * inputs["images"]
                return {"images": known + (1 - inputs["mask"]) * 0.25}
            case "denoise":
                return {"images": inputs["images"] / 2}
        return {"energy": (inputs["images"] ** 2).sum((1, 2, 3)) / 2}


@pytest.fixture
def model():
    return RequestsModel(Known(), "a server")


def test_answers_are_those_of_the_requests(model):
    drawn = model.draw(range(5, 40))
    assert drawn.states.shape == (1, 35, *SHAPE)
    np.testing.assert_array_equal(drawn.states[0, :, 0, 0, 0], np.arange(5, 40))
    np.testing.assert_array_equal(drawn.energies, np.arange(5, 40) / 2)
    images = some_images(20)
    np.testing.assert_array_equal(model.denoise(images), images / 2)
    np.testing.assert_allclose(model.energy(images), (images**2).sum((1, 2, 3)) / 2)


def test_it_says_what_it_lacks(model):
    assert "final images only" in model.lacks[0]
    assert model.fine_steps == ()


def test_what_is_known_is_kept_within_the_range(model):
    """Noise may have carried known pixels out of [0, 1], which an export refuses."""
    image = np.full(SHAPE, 1.5, np.float32)
    mask = np.zeros(SHAPE[:2], bool)
    mask[:4] = True
    filled = model.fill_in(image, mask, range(2))
    assert filled.shape == (2, *SHAPE)
    np.testing.assert_array_equal(filled[:, :4], 1)
    np.testing.assert_array_equal(filled[:, 4:], 0.25)


def test_models_of_points_are_refused():
    assert require_pictures((4, 9, 3)) == (4, 9, 3)
    for shape in ((1, 1, 2), (1, 8, 1), (8, 8, 2)):
        with pytest.raises(InvalidArgument, match="be a model of gray or color images"):
            require_pictures(shape)
