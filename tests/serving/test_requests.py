"""The methods that all clients share: what they ask for, and what they refuse before."""

import numpy as np
import pytest

from tests.helpers.served_inputs import SHAPE, some_images, upper_half_known
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.serving.requests import EnergyRequests


class Recorder(EnergyRequests):
    """Answers every request with zeros, and keeps it."""

    image_shape = SHAPE

    def __init__(self):
        self.asked = []

    def run(self, signature, inputs, shapes):
        count = len(next(iter(inputs.values())))
        self.asked.append((signature, {name: each.dtype.name for name, each in inputs.items()}))
        return {name: np.zeros((count, *shape)) for name, shape in shapes.items()}


@pytest.fixture
def client():
    return Recorder()


def test_every_method_asks_for_its_signature(client):
    images, mask = some_images(2), upper_half_known(2)
    sampled, energies = client.sample([3, 4])
    assert (sampled.shape, energies.shape) == ((2, *SHAPE), (2,))
    assert client.energy(images).shape == client.noise_level(images).shape == (2,)
    assert client.score(images).shape == client.denoise(images).shape == images.shape
    assert client.inpaint(images, mask, [1, 2]).shape == images.shape
    floats = {"images": "float32"}
    assert client.asked == [
        ("sample", {"seed": "int64"}),
        ("energy", floats),
        ("noise_level", floats),
        ("score", floats),
        ("denoise", floats),
        ("inpaint", {**floats, "mask": "float32", "seed": "int64"}),
    ]


def test_wrong_arguments_are_refused_before_anything_is_asked(client):
    images, mask = some_images(2), upper_half_known(2)
    for call, message in [
        (lambda: client.sample([-1]), "`seeds` must be integers in"),
        (lambda: client.energy(images[:, 1:]), "`images` must be of shape"),
        (lambda: client.inpaint(images, 2 * mask, [1, 2]), "`mask` must be 1"),
        (lambda: client.inpaint(images + 1, mask, [1, 2]), "`images` must lie in"),
        (lambda: client.inpaint(images, mask, [1]), r"`seeds` must be one integer per image \(2\)"),
    ]:
        with pytest.raises(InvalidArgument, match=message):
            call()
    assert client.asked == []


class RecorderOfAnySize(Recorder):
    """Of images of any size; its samples are of one."""

    image_shape, sample_shape = (None, None, 1), (4, 6, 1)


def test_images_of_any_size_and_samples_of_one():
    client, images = RecorderOfAnySize(), np.zeros((2, 5, 3, 1))
    assert client.score(images).shape == client.denoise(images).shape == images.shape
    assert client.energy(images).shape == (2,)
    assert client.sample([1])[0].shape == (1, 4, 6, 1)
    known = np.zeros((1, 4, 6, 1))
    assert client.inpaint(known, known, [1]).shape == known.shape
    with pytest.raises(InvalidArgument, match=r"\[B, 4, 6, 1\]"):
        client.inpaint(images, images, [1, 2])
