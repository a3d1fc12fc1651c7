"""What an evaluation works with: its sections, what they depend on, and refusals beforehand."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.evaluation_runs import SECTIONS, evaluation_config
from tests.helpers.image_data import random_uint8
from tf_mdsm.datasets.pixels import to_float
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.features import FeatureExtractor
from tf_mdsm.evaluation.section_files import Section
from tf_mdsm.runs import build_evaluation, evaluation_context
from tf_mdsm.runs.evaluation_context import EvaluationContext
from tf_mdsm.runs.loaded_run import load_run
from tf_mdsm.runs.run import load
from tf_mdsm.runs.sharded_sampling import ShardedSamples
from tf_mdsm.system.shards import Shards

FEATURES = FeatureExtractor("known", "0123", 64, lambda images: (images, images))


@pytest.fixture
def known_features(monkeypatch):
    """Features without a classifier, and no statistics of them, unless a setting names a file."""

    def build_features(config, *arguments):
        is_known = config.evaluation.features == "classifier"
        return FEATURES if is_known else build_evaluation.build_features(config, *arguments)

    def build_reference(config, *arguments):
        if config.evaluation.reference_statistics:
            return build_evaluation.build_reference(config, *arguments)
        return None

    monkeypatch.setattr(evaluation_context, "build_features", build_features)
    monkeypatch.setattr(evaluation_context, "build_reference", build_reference)


def context_of(workdir, **changes) -> EvaluationContext:
    return EvaluationContext(load_run(evaluation_config(workdir, **changes), str(workdir)))


def prepare(workdir, **changes) -> None:
    context = context_of(workdir, **changes)
    context.prepare(context.section_names)


def keys_of(workdir, **changes) -> dict[str, str]:
    context = context_of(workdir, **changes)
    return {section: context.key(section) for section in SECTIONS}


def changed_keys(workdir, **changes) -> set[str]:
    """The sections whose keys other settings change."""
    before, after = keys_of(workdir), keys_of(workdir, **changes)
    return {section for section in SECTIONS if before[section] != after[section]}


def test_sections_are_in_the_order_of_the_report(small_run):
    assert context_of(small_run, parts="all").section_names == list(SECTIONS)
    names = context_of(small_run, parts="outliers,quality").section_names
    assert names == ["quality", "outliers"]
    needs = {name for name in SECTIONS if EvaluationContext.needs_samples([name])}
    assert needs == {"quality", "memorisation", "energies"}
    assert EvaluationContext.needs_samples(["outliers", "energies"])


def test_all_sections_without_a_denoiser(small_run):
    """It shows no denoised images, and outliers are not told by a noise level."""
    context = context_of(small_run, parts="all")
    context._config.noise.weighting = "score"
    assert context.section_names == [name for name in SECTIONS if name != "denoising"]
    context.prepare(["outliers"])
    scores = {metric["score"] for metric in context.compute("outliers").metrics}
    assert scores == {"energy", "gradient_norm"}


def test_a_start_below_the_smallest_level_has_no_likelihood(small_run):
    context = context_of(small_run, parts="outliers", num_images=12)
    context._config.sampling.sigma_max = context._config.noise.sigma_min / 2
    context.prepare(["outliers"])
    scores = {metric["score"] for metric in context.compute("outliers").metrics}
    assert scores == {"energy", "gradient_norm", "noise_level"}


def test_outliers_are_told_by_the_likelihood_too(small_run):
    """Its score is the bound of -log P that the run computes from Python."""
    context = context_of(small_run, parts="outliers", num_images=12)
    context.prepare(["outliers"])
    metrics = context.compute("outliers").metrics
    scores = {metric["score"] for metric in metrics}
    assert scores == {"energy", "gradient_norm", "noise_level", "likelihood"}
    seed = context._settings.seed
    settings = {"likelihood.num_levels": 16, "likelihood.seed": seed}
    settings |= {f"sampling.{name}": value for name, value in context._config.sampling.items()}
    run = load(small_run, overrides=settings)
    images = to_float(tf.constant(context._validation[:5])).numpy()
    expected = -run.log_likelihood(images, seed=seed)
    np.testing.assert_allclose(context._likelihood_score()(images), expected, rtol=1e-4)


def test_a_key_depends_on_the_settings_of_its_section_only(small_run):
    assert changed_keys(small_run) == set()
    assert changed_keys(small_run, seed=5) == {"energies", "outliers", "denoising"}
    assert changed_keys(small_run, num_images=17) == set(SECTIONS) - {"quality"}
    assert changed_keys(small_run, features="none", parts="outliers") == {"quality", "memorisation"}
    assert changed_keys(small_run, reference="held_out") == {"quality"}


def test_a_key_of_outliers_depends_on_the_smallest_level_of_the_likelihood(small_run):
    config = evaluation_config(small_run)

    def keys(sigma_min: float) -> dict[str, str]:
        config.likelihood.sigma_min = sigma_min
        context = EvaluationContext(load_run(config, str(small_run)))
        return {section: context.key(section) for section in SECTIONS}

    before, after = keys(0.0), keys(0.3)
    assert {section for section in SECTIONS if before[section] != after[section]} == {"outliers"}
    assert keys(config.noise.sigma_min) == before


def test_a_key_of_a_classifiers_features_depends_on_the_labels(small_run, tmp_path):
    config, images = evaluation_config(small_run), random_uint8(40, 8, 8)
    path = str(tmp_path / "own.npz")
    config.data.update(source="npz", path=path, allow_other_images=True)

    def keys(labels: np.ndarray) -> dict[str, str]:
        np.savez(path, images=images, labels=labels)
        context = EvaluationContext(load_run(config, str(small_run)))
        return {section: context.key(section) for section in SECTIONS}

    before, after = keys(np.arange(40) % 10), keys(np.arange(40) % 9)
    changed = {section for section in SECTIONS if before[section] != after[section]}
    assert changed == {"quality", "memorisation"}
    assert keys(np.arange(40) % 10) == before


def test_a_key_depends_on_the_sampling_and_on_the_content_of_statistics(small_run, tmp_path):
    """A file of statistics that has been replaced gives other numbers under the same name."""
    config = evaluation_config(small_run)
    config.sampling.num_levels = 4
    context = EvaluationContext(load_run(config, str(small_run)))
    before = keys_of(small_run)
    assert all(context.key(section) != before[section] for section in SECTIONS)
    path = tmp_path / "own.npz"
    keys = []
    for content in (b"one", b"other"):
        path.write_bytes(content)
        keys.append(keys_of(small_run, reference_statistics=str(path)))
    assert {section for section in SECTIONS if keys[0][section] != keys[1][section]} == {"quality"}


def test_validation_images_on_which_energies_are_compared(small_run, monkeypatch):
    """Noise at the geometric mean of the trained levels; sets of `num_images` at most."""
    context = context_of(small_run, parts="energies", num_images=12)
    context.prepare(["energies"])
    monkeypatch.setattr(
        EvaluationContext, "_samples", {"images": np.zeros((64, 8, 8, 1), np.uint8)}
    )
    sets = {}

    def evaluate_energies(energy_fn, image_sets):
        sets.update(image_sets)
        return Section([], {})

    monkeypatch.setattr(evaluation_context.sections, "evaluate_energies", evaluate_energies)
    context.compute("energies")
    noise = context.run.config.noise
    sigma = np.sqrt(noise.sigma_min * noise.sigma_max)
    noisy = sets[f"validation images, noise {sigma:.2g}"]
    assert list(sets)[:3] == ["training images", "validation images", "samples"]
    assert {"uniform noise", "constant", "upside-down", "shuffled patches"} < sets.keys()
    assert {len(images) for images in sets.values()} == {12}
    added = noisy - to_float(tf.constant(sets["validation images"])).numpy()
    assert added.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * added.size))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": "beauty"}, "evaluation.parts"),
        ({"num_samples": 63}, "evaluation.num_samples"),
        ({"features": "none"}, "evaluation.features"),
        ({"features": "inception", "inception_path": "nowhere.pb"}, "evaluation.inception_path"),
        ({"reference_statistics": "nowhere.npz"}, "evaluation.reference_statistics"),
        ({"foreign": {"source": "npz", "path": "nowhere.npz"}}, "evaluation.foreign.path"),
        ({"foreign": {"source": "folder"}}, "evaluation.foreign.path"),
        (
            {
                "foreign": {"source": "npz", "path": "nowhere.npz"},
                "features": "none",
                "parts": "energies",
            },
            "evaluation.foreign.path",
        ),
    ],
)
@pytest.mark.usefixtures("known_features")
def test_wrong_settings_are_refused_before_anything_is_written(small_run, changes, message):
    before = sorted(small_run.rglob("*"))
    with pytest.raises(InvalidArgument, match=message):
        prepare(small_run, **changes)
    assert sorted(small_run.rglob("*")) == before


def test_samples_are_written_by_the_first_worker_only(small_run, tmp_path, monkeypatch):
    """By the name of all that they depend on; they are not sampled again."""
    workdir = shutil.copytree(small_run, tmp_path / "run")
    calls = []

    def sample_in_shards(config, workdir, stem, *, run, wait_seconds):
        calls.append(stem)
        shards = Shards(f"{stem}.shards", 1)
        arrays = ("images", "energies", "chain_states")
        list(shards.compute(lambda _: {name: np.zeros((2, 1)) for name in arrays}))
        return ShardedSamples(shards, run, is_chief=len(calls) > 1)

    monkeypatch.setattr(evaluation_context, "sample_in_shards", sample_in_shards)
    context = context_of(workdir)
    context.sample()
    assert not list((workdir / "evaluation").glob("samples_*.npz"))
    context.sample()
    context.sample()
    assert len(calls) == 2
    (path,) = (workdir / "evaluation").glob("samples_*")
    with np.load(path) as arrays:
        assert set(arrays) == {"images", "energies", "chain_states"}
    assert f"{calls[0]}.npz" == str(path)


def test_points_of_the_plane_are_refused(small_run, monkeypatch):
    monkeypatch.setattr(evaluation_context, "is_points", lambda image_shape: True)
    with pytest.raises(InvalidArgument, match=r"--workdir.*hold a run on images, not on points"):
        context_of(small_run)
