"""Example requests: valid ones, for every signature of an export, of any number of images."""

import numpy as np
import pytest

from tf_mdsm.serving.energy_functions import EnergyFunctions
from tf_mdsm.serving.example_requests import example_requests
from tf_mdsm.serving.request_checks import (
    checked_images,
    checked_mask,
    checked_seeds,
    require_known_in_range,
)

INPUTS = {
    "sample": {"seed"},
    "energy": {"images"},
    "score": {"images"},
    "denoise": {"images"},
    "noise_level": {"images"},
    "inpaint": {"images", "mask", "seed"},
}


@pytest.mark.parametrize("size", [1, 3])
def test_the_examples_are_valid_requests(size):
    requests = example_requests((5, 4, 3), size)
    assert {name: set(inputs) for name, inputs in requests.items()} == INPUTS
    for inputs in requests.values():
        assert {len(array) for array in inputs.values()} == {size}
        if "seed" in inputs:
            np.testing.assert_array_equal(inputs["seed"], checked_seeds(inputs["seed"]))
        if "images" in inputs:
            checked = checked_images(inputs["images"], (5, 4, 3))
            np.testing.assert_array_equal(inputs["images"], checked)
    images, mask = (requests["inpaint"][name] for name in ("images", "mask"))
    np.testing.assert_array_equal(mask, checked_mask(mask, images))
    require_known_in_range(images, mask)
    # The upper half is known, and of an odd number of rows the middle one.
    assert mask[0, :, 0, 0].tolist() == [1, 1, 1, 0, 0]
    assert len(np.unique(requests["sample"]["seed"])) == size
    assert all(hasattr(EnergyFunctions, name) for name in requests)
