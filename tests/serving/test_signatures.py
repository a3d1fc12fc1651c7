"""Signatures of the exported model: their answers, and the checks of inputs inside their graphs."""

import grpc
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.known_export import (
    energy_tolerance,
    known_energy,
    known_functions,
    known_noise_level,
    served_energy,
    spelled,
)
from tests.helpers.malformed_requests import assert_refused_and_answered
from tests.helpers.served_inputs import SHAPE, int_seeds, some_images, upper_half_known
from tests.helpers.served_model import Model, Refusal
from tf_mdsm.serving.signatures import ServedEnergy

SEED = 2**61 + 2**53 + 5
IMAGES, MASK, SEEDS = some_images(2), upper_half_known(2), int_seeds(5, SEED)
NOT_FINITE = IMAGES.copy()
NOT_FINITE[1, 2, 3] = np.nan


@pytest.fixture(scope="module")
def model(known_export):
    """The export in a version-1 session, fed without checks of shapes, as a server does."""
    return Model(known_export)


@pytest.fixture(scope="module", params=["in memory", "exported"])
def run(request, model):
    """Runs a signature: a function of its name and arrays."""
    if request.param == "exported":
        return model.run
    signatures = served_energy().signatures

    def in_memory(name, inputs):
        return {key: value.numpy() for key, value in signatures[name](**inputs).items()}

    return in_memory


@pytest.mark.parametrize("name", ["sample", "serving_default"])
def test_samples_are_clipped_and_come_with_their_energies(run, name):
    answer = run(name, {"seed": SEEDS})
    np.testing.assert_array_equal(answer["images"], spelled(SEEDS))
    # Half the number of bits; of images that are not clipped it would be larger.
    np.testing.assert_array_equal(answer["energy"], [1.0, 2.0])


def test_energy_score_and_denoised_images(run):
    """E = |x|²/2, its negative gradient -x, and D(x) = x/2, which is not clipped."""
    images = 4 * IMAGES - 1
    energy = run("energy", {"images": images})["energy"]
    np.testing.assert_allclose(energy, known_energy(images), rtol=energy_tolerance())
    np.testing.assert_array_equal(run("score", {"images": images})["score"], -images)
    denoised = run("denoise", {"images": images})["images"]
    np.testing.assert_array_equal(denoised, images / 2)
    assert denoised.min() < 0
    assert denoised.max() > 1


def test_noise_levels(run):
    """Of images of any contrast, by D(x) = x/2."""
    images = IMAGES * np.array([0.0, 3.0], np.float32)[:, None, None, None]
    levels = run("noise_level", {"images": images})["noise_level"]
    np.testing.assert_allclose(levels, known_noise_level(images), rtol=energy_tolerance())


def test_inpainting_keeps_known_pixels_and_clips_the_others(run):
    images = np.where(MASK == 1, IMAGES, 1e3).astype(np.float32)
    filled = run("inpaint", {"images": images, "mask": MASK, "seed": SEEDS})["images"]
    np.testing.assert_array_equal(filled[:, :4], IMAGES[:, :4])
    np.testing.assert_array_equal(filled[:, 4:], spelled(SEEDS)[:, 4:])


def test_variables_are_tracked_one_by_one():
    served = served_energy(half=0.25)
    (factor,) = served.variables
    assert factor.numpy() == 0.25


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("sample", {"seed": int_seeds(-1, 3)}, "`seed` must lie in [0, 2^62]. Received:] [-1]"),
        ("sample", {"seed": int_seeds(2**62 + 1)}, "`seed` must lie in"),
        ("sample", {"seed": int_seeds(2**63 - 1)}, "`seed` must lie in"),
        ("sample", {"seed": int_seeds()}, "`seed` must be a batch of 1 to 64"),
        ("sample", {"seed": np.arange(65)}, "`seed` must be a batch of 1 to 64. Received:] [65]"),
        ("sample", {"seed": int_seeds(1, 2)[None]}, "`seed` must be int64 [B]"),
        ("sample", {"seed": np.float64([1.0])}, "double"),
        ("serving_default", {"seed": int_seeds(-1)}, "`seed` must lie in"),
        ("energy", {"images": IMAGES[:, 1:]}, "float32 [B, 8, 8, 1]. Received:] [2 7 8 1]"),
        ("energy", {"images": IMAGES[0]}, "`images` must be float32 [B, 8, 8, 1]"),
        ("energy", {"images": np.float32(1)}, "`images` must be float32 [B, 8, 8, 1]"),
        ("energy", {"images": IMAGES.repeat(3, 3)}, "`images` must be float32 [B, 8, 8, 1]"),
        ("energy", {"images": NOT_FINITE}, "`images` must be finite. Received:] [nan]"),
        ("score", {"images": NOT_FINITE}, "`images` must be finite"),
        ("denoise", {"images": np.inf * IMAGES}, "`images` must be finite"),
        ("denoise", {"images": some_images(65)}, "`images` must be a batch of 1 to 64"),
        ("score", {"images": IMAGES[:0]}, "`images` must be a batch of 1 to 64"),
        ("inpaint", {"images": IMAGES, "mask": 0.5 * MASK, "seed": SEEDS}, "`mask` must be 1"),
        ("inpaint", {"images": IMAGES, "mask": np.nan * MASK, "seed": SEEDS}, "`mask` must be 1"),
        (
            "inpaint",
            {"images": IMAGES, "mask": MASK[:1], "seed": SEEDS},
            "`mask` must hold one mask per image",
        ),
        (
            "inpaint",
            {"images": IMAGES, "mask": MASK[..., 0], "seed": SEEDS},
            "`mask` must be float32 [B, 8, 8, 1]",
        ),
        ("inpaint", {"images": 3 * IMAGES, "mask": MASK, "seed": SEEDS}, "must lie in [0, 1]"),
        ("inpaint", {"images": -IMAGES, "mask": MASK, "seed": SEEDS}, "must lie in [0, 1]"),
        ("inpaint", {"images": IMAGES, "mask": MASK, "seed": SEEDS[:1]}, "`seed` must hold one"),
        ("inpaint", {"images": IMAGES, "mask": MASK, "seed": -SEEDS}, "`seed` must lie in"),
        ("inpaint", {"images": NOT_FINITE, "mask": MASK, "seed": SEEDS}, "must be finite"),
    ],
)
def test_invalid_inputs_are_refused_with_a_reason(model, name, inputs, message):
    with pytest.raises(Refusal) as caught:
        model.run(name, inputs)
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert message in caught.value.message
    assert np.isfinite(model.run("energy", {"images": IMAGES})["energy"]).all()


def test_the_largest_request_and_seed_are_answered(model):
    seeds = np.full(64, 2**62)
    np.testing.assert_array_equal(model.run("sample", {"seed": seeds})["images"], spelled(seeds))


def test_malformed_requests_are_refused_and_the_next_request_is_answered(model):
    assert_refused_and_answered(model, count=60)


def test_images_of_any_size():
    """All but `sample` and `inpaint` take them, from a smallest side on."""
    factor = tf.Variable(0.5)
    served = ServedEnergy(
        known_functions(factor),
        image_shape=(None, None, SHAPE[2]),
        sample_shape=SHAPE,
        smallest_side=3,
        max_batch_size=4,
        weights={"factor": factor},
    )
    images = IMAGES[:, :5, :3]
    np.testing.assert_allclose(served.energy(images)["energy"], known_energy(images), rtol=1e-6)
    np.testing.assert_array_equal(served.denoise(images)["images"], images / 2)
    np.testing.assert_array_equal(served.sample(SEEDS)["images"], spelled(SEEDS))
    assert served.inpaint.input_signature[0].shape[1:] == SHAPE
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 3 pixels high and wide"):
        served.score(images[:, :2])
