"""Pictures of the page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tf_mdsm.demo import pictures


def decoded(address: str) -> np.ndarray:
    kind, data = address.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_an_address_holds_the_picture():
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    color = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    np.testing.assert_array_equal(decoded(pictures.data_address(gray)), gray[..., 0])
    np.testing.assert_array_equal(decoded(pictures.data_address(color)), color)


@pytest.mark.parametrize(("side", "scale"), [(8, 40), (64, 5), (500, 1)])
def test_small_images_are_enlarged(side, scale):
    image = np.linspace(0, 1, side * side, dtype=np.float32).reshape(side, side, 1)
    assert pictures.scale_of(image.shape) == scale
    large = pictures.enlarged(image)
    assert large.shape == (side * scale, side * scale, 1)
    np.testing.assert_array_equal(large[::scale, ::scale], np.round(255 * image).astype(np.uint8))


def test_a_grid_has_a_place_for_each_image():
    grid = decoded(pictures.grid_address(np.ones((5, 8, 8, 1), np.float32), 5))
    assert grid.shape[1] > 4 * grid.shape[0]


def test_the_rank_is_a_share_of_each_set():
    energies = {"digits": np.arange(10.0), "letters": np.arange(4.0)}
    assert pictures.rank_sentence(6.5, energies) == (
        "E(x) = 6.5. It is lower than the energy of 30% of 10 digits and of 0% of 4 letters."
    )
    assert pictures.rank_sentence(1234.56, {}) == "E(x) = 1,234.6."
