"""Samplers once more: exported, on networks; MALA and HMC run in several ways."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.denoiser_samplers import advance, gaussian, int_seeds, methods, target
from tests.helpers.sampler_runs import model_and_method, settings
from tests.helpers.served_model import Model
from tf_mdsm.runs.export import export
from tf_mdsm.runs.sample import sample
from tf_mdsm.samplers.chain import compile_chain


def test_an_exported_heun_sampler_gives_the_same_images(workdir):
    config = settings(workdir, "heun", sigma_min=0.2, churn=1.0)
    config.export.version = 7
    (folder,) = export(config, str(workdir))
    assert folder == str(workdir / "export" / "7")
    served, (model, live) = Model(str(workdir / "export")), model_and_method(config, workdir)
    assert served.version == 7
    sampled = served.run("sample", {"seed": np.arange(4)})
    expected = np.clip(compile_chain(model, live)(range(4)).images, 0, 1)
    np.testing.assert_allclose(sampled["images"], expected, atol=1e-5)
    images = np.random.default_rng(0).uniform(size=(3, 8, 8, 1)).astype(np.float32)
    mask = np.zeros((3, 8, 8, 1), np.float32)
    mask[:, :4] = 1
    inputs = {"images": images, "mask": mask, "seed": np.arange(3)}
    inpainted = served.run("inpaint", inputs)["images"]
    inpaint = tf.function(live.inpaint, autograph=False)
    tensors = tf.constant(images), tf.constant(mask), tf.range(3, dtype=tf.int64)
    expected = np.clip(inpaint(model, *tensors), 0, 1)
    np.testing.assert_allclose(inpainted, expected, atol=1e-5)
    np.testing.assert_array_equal(inpainted[:, :4], images[:, :4])


def test_coarse_to_fine_ascent_runs_in_an_exported_model(workdir, tmp_path):
    """Its loop ends early when all images are finished."""
    config = settings(workdir, "coarse_to_fine")
    model, method = model_and_method(config, workdir)
    module = tf.Module()
    weights = [variable.value for variable in model.inference_network.variables]
    module.weights = [*weights, *method.start.variables]
    module.sample = tf.function(
        lambda seed: {"images": method.sample(model, seed)},
        input_signature=[tf.TensorSpec([None], tf.int64, "seed")],
        autograph=False,
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"sample": module.sample})
    served = Model(str(tmp_path))
    sampled = served.run("sample", {"seed": np.arange(3)})["images"]
    np.testing.assert_allclose(sampled, compile_chain(model, method)(range(3)).images, atol=1e-5)


@pytest.mark.parametrize("name", ["mala", "hmc"])
def test_mala_and_hmc_sample_a_network(workdir, name):
    """An image does not depend on its batch, and an exported model gives the same images."""
    config = settings(workdir, name)
    assert f"{workdir}/samples/{name}_6.npz" in sample(config, str(workdir))
    draw = compile_chain(*model_and_method(config, workdir))
    together = draw(range(5)).images
    alone = np.concatenate([draw([seed]).images for seed in range(5)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    config.export.version = 20 + (name == "hmc")
    export(config, str(workdir))
    served = Model(str(workdir / "export")).run("sample", {"seed": np.arange(5)})
    np.testing.assert_allclose(served["images"], np.clip(together, 0, 1), atol=1e-4)


@pytest.mark.parametrize("name", ["mala", "hmc"])
def test_all_ways_to_run_the_steps_give_the_same_images(name):
    """In parts, without parts, with the start and the end; and eager, in the first step."""
    on, method, seeds = target(gaussian), methods()[name], int_seeds(3)
    unsplit, split = (compile_chain(on, method, show_every)(range(3)) for show_every in (1_000, 5))
    np.testing.assert_array_equal(unsplit.images, split.images)
    np.testing.assert_array_equal(unsplit.energies, split.energies)
    sampled = tf.function(method.sample, autograph=False)(on, seeds)
    np.testing.assert_allclose(sampled, split.images, rtol=1e-5, atol=1e-6)
    images = method.start_images(on, seeds)
    eager = method.advance(on, images, seeds, tf.constant(0), tf.constant(1))
    for ours, theirs in zip(eager, advance(on, method, images, 0, 1), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
