"""A run on patches: an export whose signatures take images of any size, in a session."""

import os

import numpy as np
import pytest

from tests.helpers.photo_runs import make_photo_run
from tests.helpers.served_inputs import int_seeds
from tests.helpers.served_model import Model, Refusal
from tf_mdsm.runs.export import export
from tf_mdsm.runs.run import load


@pytest.fixture(scope="module")
def photo_run(tmp_path_factory):
    """A run on patches of 8 x 8 pixels, sampled in two levels."""
    folder = tmp_path_factory.mktemp("photo_run")
    return make_photo_run(folder, 1, sampling__sampler="heun", sampling__num_levels=2)


def test_signatures_of_any_size(photo_run):
    """energy, score, denoise and noise_level take any size; sample and inpaint have one."""
    run = load(photo_run, overrides={"sampling.image_size": 12})
    (folder,) = export(run.config, str(photo_run))
    session = Model(os.path.dirname(folder))
    images = np.random.default_rng(0).uniform(size=(2, 9, 14, 1)).astype(np.float32)
    for name, key in [
        *(("energy", "energy"), ("score", "score")),
        *(("denoise", "images"), ("noise_level", "noise_level")),
    ]:
        expected = np.asarray(getattr(run.model, name)(images))
        answer = session.run(name, {"images": images})[key]
        np.testing.assert_allclose(answer, expected, atol=1e-5 * np.abs(expected).max())
    samples = session.run("sample", {"seed": int_seeds(0, 1)})["images"]
    np.testing.assert_allclose(samples, run.sample(2) / 255, atol=0.6 / 255)
    assert samples.shape == (2, 12, 12, 1)
    for wrong, message in (
        (images[:, :1], "at least 2 pixels high and wide"),
        (np.repeat(images, 3, -1), r"float32 \[B, H, W, 1\]"),
    ):
        with pytest.raises(Refusal, match=message):
            session.run("energy", {"images": wrong})
    with pytest.raises(Refusal, match=r"float32 \[B, 12, 12, 1\]"):
        session.run("inpaint", {"images": images, "mask": images, "seed": int_seeds(0, 1)})
