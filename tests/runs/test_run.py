"""The entrance from Python: what it gives is what the command line gives; refusals."""

import dataclasses
import json
import pathlib
import shutil
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.gpus import with_gpus
from tests.helpers.small_runs import assert_same_weights, call, final_weights, small_config
from tf_mdsm.config.file import save_config
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.networks.build import build_network
from tf_mdsm.restoration.operators import Inpainting
from tf_mdsm.runs.image_record import build_images_of_run
from tf_mdsm.runs.likelihood_reports import likelihood_provenance
from tf_mdsm.runs.run import export, load, train
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.sampling import sample


@pytest.fixture(scope="module")
def run(workdir):
    return load(workdir)


def sampled_by_program(workdir, *flags: str) -> np.ndarray:
    """The images that `--mode=sample` writes."""
    answer = call(f"--workdir={workdir}", "--mode=sample", *flags)
    assert answer.returncode == 0, answer.stderr
    with np.load(answer.stdout.split()[0]) as arrays:
        return arrays["images"]


@pytest.mark.parametrize(
    "sampler", ["annealed_langevin", "heun", "multistep", "ancestral", "coarse_to_fine"]
)
def test_samples_are_those_of_the_program(workdir, sampler):
    """Bit for bit, in several batches of which the last is short."""
    settings = {"sampling.sampler": sampler, "sampling.batch_size": 4, "sampling.max_steps": 9}
    run = load(workdir, overrides=settings)
    flags = [f"--config.{name}={value}" for name, value in settings.items()]
    by_program = sampled_by_program(
        workdir, *flags, "--config.sampling.num_samples=6", "--config.sampling.seed=3"
    )
    images = run.sample(6, seed=3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, by_program)
    unclipped = sample(run.model, run.method, seeds=range(3, 9), batch_size=4)
    np.testing.assert_array_equal(np.round(255 * np.clip(unclipped, 0, 1)), images)


def test_a_run_computes_and_takes_memory_by_its_settings(workdir, monkeypatch, tmp_path):
    """`load` and `train` set up the process as the program does."""
    gpus = with_gpus(monkeypatch, (8, 0))
    is_rounded = tf.config.experimental.tensor_float_32_execution_enabled
    before = is_rounded()
    changed = {"training.tensor_float_32": True, "training.memory_growth": False}
    monkeypatch.setattr("tf_mdsm.runs.run.run_training", lambda config, path: seen.append(state()))
    seen = []

    def state():
        return is_rounded(), gpus.memory_growth["GPU:0"]

    try:
        load(workdir, overrides=changed)
        assert state() == (True, False)
        load(workdir)
        assert state() == (False, True)
        train(workdir / "config.json", workdir, overrides=changed)
        assert seen == [(True, False)]
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def test_a_run_holds_config_model_method_and_step(run, workdir):
    assert run.step == 10
    assert run.config.sampling.sampler == "annealed_langevin"
    assert isinstance(run.model, EnergyModel)
    assert run.method is run.method
    assert run.method.num_steps == 8
    other = load(str(workdir), overrides={"sampling.sampler": "ancestral"})
    assert isinstance(other.method, AncestralEuler)
    assert other.config.sampling.sampler == "ancestral"


def test_checkpoints_are_chosen_by_name_and_by_step(copied):
    """The run keeps the last three, of steps 20, 30 and 40."""
    assert load(copied).step == load(copied, "newest").step == 40
    older = load(copied, 20)
    assert older.step == 20
    newest = load(copied).model.inference_network.variables[0].numpy()
    assert (older.model.inference_network.variables[0].numpy() != newest).any()
    for wrong in (25, "last", 40.5, None.__class__):
        with pytest.raises(InvalidArgument, match=r"`checkpoint` must be .*\(40, 30, 20\)"):
            load(copied, wrong)
    with pytest.raises(InvalidArgument, match="`checkpoint` must be newest, as this run keeps no"):
        load(copied, "best")


def test_folders_that_are_no_runs_are_refused(tmp_path, workdir):
    for wrong in (tmp_path / "nothing", tmp_path):
        with pytest.raises(InvalidArgument, match=r"`workdir` must hold a run's config\.json"):
            load(wrong)
    save_config(small_config(), str(tmp_path / "config.json"))
    with pytest.raises(InvalidArgument, match=r"`workdir` must hold a checkpoint \(train first\)"):
        load(tmp_path)
    with pytest.raises(InvalidArgument, match=r"`workdir` must hold a checkpoint of this network"):
        load(workdir, overrides={"network.channels": 9})


@pytest.mark.parametrize(
    ("count", "seed", "field"), [(0, 0, "num_samples"), (1.5, 0, "num_samples"), (2, -1, "seeds")]
)
def test_wrong_numbers_and_seeds_are_refused(run, count, seed, field):
    with pytest.raises(InvalidArgument, match=f"`{field}` must"):
        run.sample(count, seed=seed)


def test_restored_images_keep_the_known_pixels(run):
    photos = np.random.default_rng(0).uniform(size=(3, 8, 8, 1))
    mask = np.arange(64).reshape(8, 8) % 2
    operator = Inpainting(mask)
    restored = run.restore(operator.measure(photos), operator, seeds=[4, 5, 6])
    assert restored.shape == (3, 8, 8, 1)
    known = np.broadcast_to(mask[None, ..., None], photos.shape) == 1
    np.testing.assert_array_equal(restored[known], photos.astype(np.float32)[known])


def test_restored_images_that_are_not_finite_are_an_error(run):
    def no_numbers(images):
        return np.nan * images[:, 0, 0, 0], np.nan * images

    model = types.SimpleNamespace(
        energy_and_score=no_numbers,
        image_shape=run.model.image_shape,
        sigma0=run.model.sigma0,
        noise=run.model.noise,
    )
    values = np.zeros((1, 8, 8, 1), np.float32)
    with pytest.raises(RunError, match="the restored images are not finite numbers"):
        dataclasses.replace(run, model=model).restore(values, Inpainting(np.eye(8)))


def test_training_is_that_of_the_program(small_run, tmp_path):
    """The same weights and settings; nothing of the given configuration changes."""
    config = small_config()
    run = train(config, tmp_path / "run", {"training.num_steps": 10})
    assert_same_weights(final_weights(tmp_path / "run"), final_weights(small_run))
    assert run.step == 10
    assert run.config.to_dict() == load(small_run).config.to_dict()
    assert config.training.num_steps == 40


def test_training_continues_from_a_file_of_settings(workdir, tmp_path):
    """Nothing is left to do, and the run is loaded."""
    folder = shutil.copytree(workdir, tmp_path / "run")
    assert train(folder / "config.json", folder).step == 10


@pytest.mark.parametrize(("guide_step", "guidance"), [(0, 1), (2, 3), (4, 1), (9, 1)])
def test_a_training_that_ends_before_its_guide_is_loaded_without(tmp_path, guide_step, guidance):
    changes = {"guidance": 3.0, "training.guide_step": guide_step, "training.num_steps": 4}
    run = train(small_config(), tmp_path / "run", changes)
    assert (run.step, run.config.guidance) == (4, guidance)
    assert run.networks == (1 if guidance == 1 else 2)


def test_a_recipe_is_trained_by_its_path(tmp_path):
    recipe = pathlib.Path(__file__).parents[2] / "configs" / "digits.py"
    changes = {"training.num_steps": 1, "network.name": "dense", "network.head": "quadratic"}
    changes |= {"training.sample_every": 0, "training.validate_every": 0}
    assert train(recipe, tmp_path / "run", changes).step == 1


@pytest.mark.parametrize("wrong", ["nothing.py", "nothing.json", {"seed": 1}, 3])
def test_what_is_no_configuration_is_refused(wrong, tmp_path):
    with pytest.raises(InvalidArgument, match="`config` must"):
        train(wrong, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_settings(workdir):
    with pytest.raises(InvalidArgument, match=r"`config.seed` must stay 0"):
        train(workdir / "config.json", workdir, {"seed": 1})


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return EnergyModel(build_network("dense", image_shape=(8, 8, 1), channels=8))


@pytest.fixture
def written(monkeypatch):
    """What would be written as a SavedModel; tests/slow writes it."""
    written = []
    monkeypatch.setattr(
        "tf_mdsm.runs.export.write_saved_model",
        lambda served, folder, **options: written.append((served, folder, options)),
    )
    return written


def test_an_export_is_that_of_the_program(written, run, workdir, tmp_path):
    export(run, tmp_path / "1")
    assert call(f"--workdir={workdir}", "--mode=export").returncode == 0
    (ours, folder, options), (theirs, _, expected) = written
    assert folder == str(tmp_path / "1")
    assert options == expected
    facts = options["provenance"]
    assert (facts["step"], facts["weights"], facts["is_denoiser"]) == (10, "averaged", True)
    assert (facts["method"], facts["max_gradient_evaluations"]) == ("AnnealedLangevin", 9)
    assert facts["sample_shape"] == [8, 8, 1]
    images = tf.constant(np.random.default_rng(0).uniform(size=(2, 8, 8, 1)), tf.float32)
    assert ours.signatures.keys() == theirs.signatures.keys()
    for served in (ours, theirs):
        energy = served.energy(images)["energy"]
        np.testing.assert_allclose(energy, run.model.energy(images), rtol=1e-5)


def test_an_export_says_by_which_method_it_samples(written, run, tmp_path):
    """Not by which the run would."""
    export(run, tmp_path / "1", method=AncestralEuler([1.0, 0.3, 0.1]))
    ((_, _, options),) = written
    facts = options["provenance"]
    assert (facts["method"], facts["max_gradient_evaluations"]) == ("AncestralEuler", 3)
    assert "sampling" not in facts["config"]
    assert facts["config"]["seed"] == run.config.seed


@pytest.mark.parametrize("method", [None, AncestralEuler([1.0, 0.1])])
def test_a_model_is_exported_with_the_default_or_another_method(written, model, method, tmp_path):
    export(model, tmp_path / "1", method=method)
    ((served, _, options),) = written
    assert options["provenance"]["step"] is None
    sampled = served.sample(tf.range(2, dtype=tf.int64))["images"]
    expected = np.clip(sample(model, method, seeds=range(2)), 0, 1)
    np.testing.assert_allclose(sampled, expected, atol=1e-5)


def test_stablehlo_programs_are_written_for_the_batch_sizes(model, monkeypatch, tmp_path):
    """tests/slow writes them."""
    written = []
    monkeypatch.setattr(
        "tf_mdsm.runs.export.write_stablehlo",
        lambda functions, folder, **options: written.append((functions, folder, options)),
    )
    export(model, tmp_path / "1", format="stablehlo", batch_sizes=(2, 8))
    ((functions, folder, options),) = written
    assert (folder, options["batch_sizes"]) == (str(tmp_path / "1"), [2, 8])
    assert options["weights"].keys() == {variable.path for variable in model.network.variables}
    images = tf.constant(np.random.default_rng(0).uniform(size=(2, 8, 8, 1)), tf.float32)
    np.testing.assert_array_equal(functions.energy(images)["energy"], model.energy(images))


def test_wrong_exports_are_refused(run, tmp_path):
    with pytest.raises(InvalidArgument, match="`path` must not exist yet"):
        export(run, tmp_path)
    with pytest.raises(InvalidArgument, match="`source` must be a Run or an EnergyModel"):
        export(run.model.network, tmp_path / "1")
    with pytest.raises(InvalidArgument, match="`format` must be saved_model or stablehlo"):
        export(run, tmp_path / "1", format="torch")
    with pytest.raises(InvalidArgument, match="`format` must be one of saved_model, "):
        export(run, tmp_path / "1", format="onnx")
    with pytest.raises(InvalidArgument, match=r"`batch_sizes` must be .* integers"):
        export(run, tmp_path / "1", format="stablehlo", batch_sizes=(2, 0))


def test_an_evaluation_is_that_of_the_program(workdir, tmp_path):
    """The same report, from the run's own images and weights."""
    shutil.copytree(workdir, tmp_path / "run")
    changes = {
        "evaluation.parts": "denoising",
        "evaluation.features": "none",
        "evaluation.num_images": 10,
        "evaluation.num_samples": 10,
    }
    metrics = load(tmp_path / "run", overrides=changes).evaluate()
    assert {metric["step"] for metric in metrics} == {10}
    assert (tmp_path / "run" / "evaluation" / "report.html").exists()


@pytest.mark.parametrize("method", ["bound", "flow"])
def test_likelihoods_are_those_of_the_program(copied, method):
    """Of the first validation images, in a batch of another size."""
    small = {"likelihood.num_images": 12, "likelihood.num_levels": 4, "likelihood.num_probes": 1}
    flags = [f"--config.{name}={value}" for name, value in small.items()]
    flags.append(f"--config.likelihood.method={method}")
    answer = call(f"--workdir={copied}", "--mode=likelihood", *flags)
    assert answer.returncode == 0, answer.stderr
    with np.load(answer.stdout.split()[1]) as arrays:
        by_program = arrays["held_out_total"]
    run = load(copied, overrides=small)
    _, validation = build_images_of_run(run.config, run.folder)
    found = run.log_likelihood(validation[:5], method=method)
    # Of the flow the images of a batch share their steps: 100 times the tolerance in each.
    atol = 0.5 if method == "flow" else 0
    np.testing.assert_allclose(-found, by_program[:5], rtol=1e-5, atol=atol)
    assert (run.log_likelihood(validation[:5], method=method, seed=1) != found).all()


def test_likelihoods_by_the_log_z_of_the_folder(copied):
    """-E / T - log Z, and the cells of the gray levels; only of these weights, and converged."""
    run = load(copied)
    report = {
        **likelihood_provenance(run),
        "log_z": 3.0,
        "cells": {"gray_levels": 17, "bits": 4.0},
        "settings": {"temperature": 2.0, "batch_size": 2},
    }
    path = copied / "evaluation" / "likelihood.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report))
    images = np.random.default_rng(0).uniform(size=(3, 8, 8, 1)).astype(np.float32)
    expected = -run.model.energy(images).numpy() / 2 - 3 - 64 * 4 * np.log(2)
    np.testing.assert_allclose(run.log_likelihood(images, method="ais"), expected, rtol=1e-6)
    path.write_text(json.dumps({**report, "log_z": None}))
    with pytest.raises(InvalidArgument, match="`method` must be bound or flow"):
        run.log_likelihood(images, method="ais")
    path.write_text(json.dumps({**report, "weights_hash": "another"}))
    with pytest.raises(InvalidArgument, match="no converged log Z"):
        run.log_likelihood(images, method="ais")


@pytest.mark.parametrize("method", ["all", "exact"])
def test_methods_of_likelihood_that_do_not_exist(run, method):
    with pytest.raises(InvalidArgument, match="`method` must be"):
        run.log_likelihood(np.zeros((1, 8, 8, 1), np.float32), method=method)
