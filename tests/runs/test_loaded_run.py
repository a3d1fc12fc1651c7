"""A trained run, loaded: its weights, its step, and what its results depend on."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.small_runs import final_weights
from tf_mdsm import __version__
from tf_mdsm.config.file import get_config
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.build_model import build_model
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.loaded_run import fingerprint, has_guide, load_run
from tf_mdsm.samplers.guided import Guided
from tf_mdsm.training.checkpoints import TrainingCheckpoints


@pytest.fixture(scope="module")
def run(small_run):
    return load_run(get_config(str(small_run)), str(small_run))


def test_a_run_has_the_averaged_weights_of_its_checkpoint(run, small_run):
    saved = list(final_weights(small_run).values())
    averaged, raw = run.model.inference_network.variables, run.model.network.variables
    for variable in (*averaged, *raw):
        assert any(np.array_equal(variable.numpy(), array) for array in saved), variable.path
    assert (averaged[0].numpy() != raw[0].numpy()).any()
    assert (run.weights, run.step) == ("averaged", 10)
    assert run.provenance == {"step": 10, "weights": "averaged", "version": __version__}


def test_a_run_keeps_the_statistics_of_its_images(run):
    assert run.statistics.mean.shape == (8, 8, 1)
    assert run.folder.name == "small_run"


def test_the_method_is_built_once(run):
    assert run.method is run.method
    config = run.config.copy_and_resolve_references()
    config.sampling.sampler = "heun"
    assert type(run.build_method(config)) is not type(run.method)


def test_a_run_without_averages_has_raw_weights(small_run, tmp_path):
    """A checkpoint has more than such a model needs."""
    config = get_config(str(small_run))
    config.optimizer.ema_momentum = 0.0
    run = load_run(config, str(small_run), device="CPU:0")
    assert run.weights == "raw"
    assert run.model.network.variables[0].value.device.endswith("CPU:0")


def test_a_guided_run_has_the_energy_of_both_checkpoints(run, small_run, tmp_path):
    """Here the guide is the newest checkpoint with other weights."""
    shutil.copytree(small_run, tmp_path / "run")
    checkpoints = TrainingCheckpoints(str(tmp_path / "run" / "checkpoints"), guide_of(run), keep=3)
    checkpoints.keep_as_guide()
    config = get_config(str(small_run))
    config.guidance = 2.0
    guided = load_run(config, str(tmp_path / "run"))
    images = np.random.default_rng(0).uniform(size=(3, 8, 8, 1)).astype(np.float32)
    guide = load_run(get_config(str(small_run)), str(tmp_path / "run"), checkpoint="guide")
    assert guide.step == 4
    expected = 2 * run.model.energy(images) - guide.model.energy(images)
    np.testing.assert_allclose(guided.model.energy(images), expected, rtol=1e-4)
    assert (guided.step, guided.weights) == (10, "averaged, guided by step 4 with w = 2")
    assert guided.weights_of_samples == guided.weights
    assert guided.gradient_evaluations == 2 * run.gradient_evaluations
    config.guidance = 3.0
    other = load_run(config, str(tmp_path / "run"))
    assert len({one.weights_hash for one in (run, guide, guided, other)}) == 4


def test_a_guide_in_some_steps_leaves_the_energy_as_it_is(run, small_run, tmp_path):
    shutil.copytree(small_run, tmp_path / "run")
    checkpoints = TrainingCheckpoints(str(tmp_path / "run" / "checkpoints"), guide_of(run), keep=3)
    checkpoints.keep_as_guide()
    changes = {"sampling.sampler": "heun", "sampling.num_levels": 3, "sampling.guide_sigma_max": 1}
    guided, other = (
        load_run(with_overrides(run.config, changes | {"guidance": w}), str(tmp_path / "run"))
        for w in (2, 3)
    )
    images = np.random.default_rng(0).uniform(size=(3, 8, 8, 1)).astype(np.float32)
    np.testing.assert_array_equal(guided.model.energy(images), run.model.energy(images))
    # The energy is that of the run; samples are guided.
    assert guided.weights == run.weights == run.weights_of_samples == "averaged"
    assert guided.weights_of_samples == "averaged, guided by step 4 with w = 2 from sigma 0 to 1"
    assert guided.weights_hash == run.weights_hash
    # Heun at three levels up to 1: the guide acts in the last two steps and at the end.
    unguided = guided.build_method(guided.config).max_gradient_evaluations
    assert guided.gradient_evaluations == guided.method.max_gradient_evaluations > unguided
    assert isinstance(guided.method, Guided)
    assert guided.method.guided.any()
    assert guided.target.guide is guided.guide
    assert guided.target.weight == 2
    # What is computed with it depends on its weights and on w; likelihood and restoration do not.
    assert len({one.fingerprint({}) for one in (run, guided, other)}) == 3
    assert guided.without_guided_steps().fingerprint({}) == run.fingerprint({})
    assert guided.without_guided_steps().networks == 1
    assert not isinstance(guided.build_method(guided.config), Guided)


def test_a_guide_that_is_not_earlier_is_refused(run, small_run, tmp_path):
    """The guide is of step 4, and the checkpoint "guide" is this one."""
    folder = shutil.copytree(small_run, tmp_path / "run")
    assert not has_guide(RunFolder(str(folder)))
    checkpoints = TrainingCheckpoints(str(folder / "checkpoints"), guide_of(run), keep=3)
    checkpoints.keep_as_guide()
    assert has_guide(RunFolder(str(folder)))
    config = get_config(str(small_run))
    config.guidance = 2.0
    message = "`config.guidance` must be 1 for the checkpoint of step 4, as the guide is of step 4"
    with pytest.raises(InvalidArgument, match=message):
        load_run(config, str(folder), checkpoint="guide")


def guide_of(run):
    """The run's model as it might have been at step 4."""
    config = run.config.copy_and_resolve_references()
    config.seed += 1
    model = build_model(config)
    model.compile("sgd")
    model.optimizer.iterations.assign(4)
    return model


def test_a_run_without_guide_is_not_guided(small_run):
    config = get_config(str(small_run))
    config.guidance = 2.0
    message = r"`config.guidance` must be 1, as this run keeps no guide \(training.guide_step\)"
    with pytest.raises(InvalidArgument, match=message):
        load_run(config, str(small_run))
    with pytest.raises(InvalidArgument, match=r"keeps no guide one \(training.guide_step\)"):
        load_run(config, str(small_run), checkpoint="guide")


def test_a_fingerprint_depends_on_settings_and_weights(run):
    name = run.fingerprint({"a": 1, "b": 2})
    assert len(name) == 12
    assert int(name, 16) >= 0
    assert run.fingerprint({"b": 2, "a": 1}) == name
    assert run.fingerprint({"a": 1, "b": 3}) != name
    kernel = run.model.inference_network.variables[0]
    before = kernel.numpy()
    kernel.assign(tf.tensor_scatter_nd_add(before, [[0, 0]], [1e-3]))
    assert fingerprint({"a": 1, "b": 2}, run.model) != name
    kernel.assign(before)
    assert run.fingerprint({"a": 1, "b": 2}) == name


def test_a_folder_without_checkpoints_is_refused(small_run, tmp_path):
    with pytest.raises(InvalidArgument, match=r"hold a checkpoint \(train first\)"):
        load_run(get_config(str(small_run)), str(tmp_path))


def test_statistics_may_be_missing(small_run, tmp_path):
    """As in runs of imported weights."""
    workdir = shutil.copytree(small_run, tmp_path / "run")
    (workdir / "checkpoints" / "statistics.npz").unlink()
    assert json.loads((workdir / "config.json").read_text())
    assert load_run(get_config(str(workdir)), str(workdir)).statistics is None
