"""Bounds of log Z against closed forms, and `--mode=likelihood` as a user runs it."""

import functools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import special
from small_runs import call, started, wait_for

from tf_mdsm.config.file import get_config
from tf_mdsm.config.rules import validate
from tf_mdsm.datasets.image_statistics import fit_statistics
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood import bounds, estimate
from tf_mdsm.evaluation.likelihood.adaptation import adapt
from tf_mdsm.evaluation.likelihood.ais import AnnealedImportanceSampling
from tf_mdsm.evaluation.likelihood.gaussian import GaussianReference, isotropic_reference
from tf_mdsm.evaluation.likelihood.path import AnnealingPath
from tf_mdsm.evaluation.likelihood.summary import (
    bits_per_dim,
    convergence_failures,
    image_energies,
    summarize,
)
from tf_mdsm.runs.likelihood import likelihood

SHAPES = {2: (1, 2, 1), 64: (8, 8, 1), 1024: (32, 32, 1)}
# Number of chains and of intervals, and the largest distance of the bounds, in nats with margins.
COUNTS, INTERVALS = {2: 200, 64: 48, 1024: 16}, {2: 30, 64: 60, 1024: 150}
WIDTHS = {2: 1.0, 64: 10.0, 1024: 60.0}
SHARE, APART, STD = 0.3, 2.0, 0.5


def gaussian(x):
    """0.3 + 0.5 N(0, I), not normalized."""
    return tf.reduce_sum((x - 0.3) ** 2, (1, 2, 3)) / (2 * STD**2), (0.3 - x) / STD**2


def quartic(x):
    return tf.reduce_sum(x**4, (1, 2, 3)), -4 * x**3


def mixture(x):
    """Two modes of weights 0.3 and 0.7, eight standard deviations apart; the energy minus 3."""
    offset = APART / np.sqrt(x.shape[1] * x.shape[2])
    logs = [
        np.log(share) - tf.reduce_sum((x - side * offset) ** 2, (1, 2, 3)) / (2 * STD**2)
        for share, side in ((SHARE, -1), (1 - SHARE, 1))
    ]
    first, second = (
        tf.exp(log - tf.reduce_logsumexp(logs, 0))[:, None, None, None] for log in logs
    )
    score = (first * (-offset - x) + second * (offset - x)) / STD**2
    return -tf.reduce_logsumexp(logs, 0) - 3.0, score


def samples(energy, shape, count):
    """Exact samples of exp(-energy)."""
    random = np.random.default_rng(1)
    if energy is quartic:
        magnitudes = random.gamma(0.25, 1, (count, *shape)) ** 0.25
        return np.float32(magnitudes * random.choice([-1, 1], magnitudes.shape))
    center = 0.3
    if energy is mixture:
        signs = np.where(random.uniform(size=count) < SHARE, -1, 1).reshape(-1, 1, 1, 1)
        center = signs * APART / np.sqrt(np.prod(shape))
    return np.float32(center + STD * random.standard_normal((count, *shape)))


def true_log_z(energy, size):
    if energy is quartic:
        return size * (np.log(2) + special.gammaln(1.25))
    return size / 2 * np.log(2 * np.pi * STD**2) + (3.0 if energy is mixture else 0.0)


@functools.cache
def annealing_path(energy, size, **options):
    """The path from N(0, I) to an energy, compiled once for all tests."""
    return AnnealingPath(energy, isotropic_reference(SHAPES[size], 0.0, 1.0), **options)


def adapted_annealing(energy, size, intervals, chains=16):
    """Annealed importance sampling along an adapted schedule, and the adaptation."""
    path = annealing_path(energy, size)
    adaptation = adapt(path, num_betas=16, seeds=2**40 + np.arange(chains), rounds=5)
    return AnnealedImportanceSampling(path, *adaptation.schedule(intervals)), adaptation


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("energy", [gaussian, mixture, quartic])
def test_the_true_log_z_lies_between_the_bounds(energy, size):
    """A false alarm in less than three of a thousand."""
    count = COUNTS[size]
    annealing, _ = adapted_annealing(energy, size, INTERVALS[size])
    seeds = np.arange(count)
    up = annealing.run_up(seeds)
    down = annealing.run_down(samples(energy, SHAPES[size], count), seeds)
    log_weights = [annealing.log_weights(chains.differences) for chains in (up, down)]
    log_z = bounds.bound_log_z(*log_weights)
    assert log_z.low < true_log_z(energy, size) < log_z.high
    assert log_z.high - log_z.low < WIDTHS[size]
    # The means themselves are in order too, not only with their margins.
    errors = np.hypot(log_z.lower.error, log_z.upper.error)
    assert log_z.upper.mean - log_z.lower.mean > -4 * errors
    assert 0.5 < up.accepted.mean() < 0.95


def test_weights_are_exact_if_the_energy_is_the_references():
    """E = E_ref - c: every chain's log weight is c, whatever the moves do."""
    reference = isotropic_reference((2, 2, 1), 0.5, 0.7)

    def energy(x):
        energy, score = reference.energy_and_score(x)
        return energy - 1.5, score

    path = AnnealingPath(energy, reference)
    annealing = AnnealedImportanceSampling(path, [0, 0.1, 1], [3.0, 0.1])
    up = annealing.run_up(np.arange(5))
    down = annealing.run_down(up.images, np.arange(5))
    log_weights = [annealing.log_weights(chains.differences) for chains in (up, down)]
    np.testing.assert_allclose(log_weights, 1.5, atol=1e-5)
    log_z = bounds.bound_log_z(*log_weights)
    assert log_z.high - log_z.low < 1e-4


def test_the_mean_weight_is_z_with_few_intervals_and_poor_moves():
    """Unbiased with three intervals, and with steps so large that many moves are rejected."""
    path, count = annealing_path(quartic, 2), 4_000
    annealing = AnnealedImportanceSampling(path, [0, 0.05, 0.3, 1], [2.0, 1.5, 1.2])
    chains = annealing.run_up(np.arange(count))
    weights = np.exp(annealing.log_weights(chains.differences) - true_log_z(quartic, 2))
    assert weights.mean() == pytest.approx(1, abs=5 * weights.std() / np.sqrt(count))
    assert chains.accepted.mean() < 0.8


def test_a_temperature_divides_the_energy():
    """T = 2 on a Gaussian: twice the variance."""
    path = annealing_path(gaussian, 2, temperature=2.0)
    annealing = AnnealedImportanceSampling(path, np.linspace(0, 1, 9), [0.4] * 8)
    log_weights = annealing.log_weights(annealing.run_up(np.arange(500)).differences)
    log_z = bounds.bound_log_z(log_weights, log_weights)
    expected = np.log(2 * np.pi * 2 * STD**2)
    assert log_z.log_z == pytest.approx(expected, abs=5 * log_z.lower.estimate_error)


def test_the_reference_has_the_density_of_its_gaussian():
    """Energy and score of the images' Gaussian, with all components and with four of nine."""
    images = np.random.default_rng(0).uniform(size=(60, 3, 3, 1)).astype(np.float32)
    for kept in (9, 4):
        statistics = fit_statistics(images, max_components=kept)
        components = statistics.components.reshape(kept, 9).astype(float)
        residual = statistics.residual_variance
        covariance = (components.T * (statistics.variances - residual)) @ components
        covariance += (residual + 0.04) * np.eye(9)
        reference = GaussianReference(**vars(statistics), sigma=0.2)
        energy, score = reference.energy_and_score(tf.constant(images))
        offset = images.reshape(-1, 9) - statistics.mean.reshape(9)
        solved = np.linalg.solve(covariance, offset.T).T
        _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
        expected = ((offset * solved).sum(1) + log_determinant) / 2
        np.testing.assert_allclose(energy, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(score.numpy().reshape(-1, 9), -solved, rtol=1e-3, atol=1e-3)
        assert reference.smallest_std <= np.sqrt(np.linalg.eigvalsh(covariance)[0]) + 1e-4
    with pytest.raises(InvalidArgument, match="sigma"):
        isotropic_reference((1, 1, 1), sigma=0.0)


def test_a_chain_does_not_depend_on_its_batch():
    path = annealing_path(quartic, 64)
    annealing = AnnealedImportanceSampling(path, np.linspace(0, 1, 8), [0.15] * 7)
    seeds = np.array([3, 2**40, 11, 4, 2**62])
    up = annealing.run_up(seeds)
    down = annealing.run_down(up.images, seeds)
    for batch in ([0], [1, 2], [3, 4]):
        batch_up = annealing.run_up(seeds[batch])
        batch_down = annealing.run_down(up.images[batch], seeds[batch])
        np.testing.assert_allclose(batch_up.differences, up.differences[batch], rtol=1e-5)
        np.testing.assert_allclose(batch_down.differences, down.differences[batch], rtol=1e-5)
    assert len(np.unique(up.differences[:, 0])) == len(seeds)


def test_equilibration_begins_with_the_given_states():
    """`differences` are those before each round; moves at beta = 1 change the images."""
    path = annealing_path(quartic, 64)
    annealing = AnnealedImportanceSampling(path, np.linspace(0, 1, 8), [0.15] * 7)
    images, seeds, completed = samples(quartic, SHAPES[64], 4), np.arange(4), []
    chains = annealing.equilibrate(images, seeds, 30, completed.append)
    assert chains.differences.shape == chains.accepted.shape == (4, 30)
    np.testing.assert_array_equal(chains.differences[:, 0], path.energy_differences(images))
    assert (chains.images != images).any(axis=(1, 2, 3)).all()
    assert sum(completed) == 30


def test_resampling_by_weights_gives_the_modes_their_share():
    """Chains settle in a mode by its basin, and never leave it; their weights correct that."""
    annealing, _ = adapted_annealing(mixture, 2, 12)
    chains = annealing.run_up(np.arange(400))
    log_weights = annealing.log_weights(chains.differences)
    origins = bounds.resample(log_weights, 400, seed=0)
    share = np.mean(chains.images[origins].sum((1, 2, 3)) < 0)
    error = np.sqrt(SHARE * (1 - SHARE) / bounds.effective_size(log_weights))
    assert share == pytest.approx(SHARE, abs=4 * error)


def test_adaptation_finds_step_sizes_and_temperatures():
    annealing, adaptation = adapted_annealing(quartic, 64, 40, chains=32)
    assert np.abs(adaptation.accepted - 0.8).max() < 0.25
    # Far from the origin x^4 is huge. So the first intervals of beta must be tiny, with step sizes
    # that suit the reference.
    assert annealing.betas[1] < 0.2 / 40
    assert annealing.step_sizes[0] > annealing.step_sizes[-1] > 0
    length = np.trapezoid(adaptation.deviations, adaptation.betas)
    assert adaptation.thermodynamic_length == pytest.approx(length)
    np.testing.assert_array_equal(annealing.betas[[0, -1]], [0, 1])
    with pytest.raises(InvalidArgument, match="num_temperatures"):
        adaptation.schedule(10**8)


@pytest.mark.parametrize("factor", [np.inf, np.nan])
def test_an_energy_that_is_not_finite_ends_the_run(factor):
    def energy(x):
        return factor * tf.reduce_sum(x**2, (1, 2, 3)), -2 * factor * x

    path = annealing_path(energy, 2, leapfrog_steps=1)
    with pytest.raises(RunError, match=r"inverse temperature 0\.5 .* not finite"):
        AnnealedImportanceSampling(path, [0, 0.5, 1], [0.3, 0.3]).run_up(np.arange(4))
    with pytest.raises(RunError, match=r"inverse temperature 0 .* not finite"):
        adapt(path, num_betas=5, seeds=np.arange(4), rounds=2)


def test_the_whole_estimate_continues_from_its_shards(tmp_path, monkeypatch):
    """The truth lies between the bounds; finished shards are counted, and not computed again."""
    settings = estimate.AnnealingSettings(
        num_chains=20,
        batch_size=8,
        num_temperatures=20,
        adaptation_chains=8,
        adaptation_temperatures=8,
        adaptation_rounds=4,
        acceptance=0.8,
        equilibration_rounds=3,
        seed=5,
    )
    # Seven temperatures up and down; three batches of 20 intervals up and 3 + 20 down.
    assert settings.total_intervals == 2 * 7 + 3 * (20 + 23)
    path, completed = annealing_path(gaussian, 2), []
    first = estimate.estimate_log_z(path, settings, str(tmp_path), completed.append)
    assert first.bounds.low < true_log_z(gaussian, 2) < first.bounds.high
    assert first.differences["down"].shape == first.accepted["up"].shape == (20, 20)
    assert sum(completed) == settings.total_intervals
    completed.clear()
    monkeypatch.setattr(estimate, "adapt", None)
    monkeypatch.setattr(AnnealedImportanceSampling, "run_up", None)
    (tmp_path / "down" / "000001_by_0.npz").unlink()
    again = estimate.estimate_log_z(path, settings, str(tmp_path), completed.append)
    assert sum(completed) == settings.total_intervals
    assert again.bounds == first.bounds
    assert again.drift == first.drift


def test_bounds_of_log_weights():
    """Log weights N(m, s^2) have mean weight exp(m + s^2 / 2)."""
    random, count, spread = np.random.default_rng(0), 20_000, 1.0
    up = 10 - spread**2 / 2 + spread * random.standard_normal(count)
    down = 10 + spread**2 / 2 + spread * random.standard_normal(count)
    log_z = bounds.bound_log_z(up, down)
    for bound, mean in ((log_z.lower, 9.5), (log_z.upper, 10.5)):
        assert bound.mean == pytest.approx(mean, abs=5 * spread / np.sqrt(count))
        assert bound.error == pytest.approx(spread / np.sqrt(count), rel=0.05)
        assert bound.margin == pytest.approx(2.97 * bound.error, rel=0.01)
        assert bound.estimate == pytest.approx(10, abs=5 * bound.estimate_error)
        assert bound.effective_size == pytest.approx(count * np.exp(-(spread**2)), rel=0.1)
    assert log_z.low < 9.5 < 10 < 10.5 < log_z.high
    assert not convergence_failures(log_z, drift=0.0, size=64, tolerance=0.1, min_effective=5)


def test_chains_with_one_starting_point_count_once():
    values = np.random.default_rng(0).standard_normal(50)
    single, _ = bounds.clustered_error(values, np.arange(50))
    fourfold, groups = bounds.clustered_error(values.repeat(4), np.arange(50).repeat(4))
    assert (fourfold, groups) == (pytest.approx(single), 50)
    assert single == pytest.approx(values.std(ddof=1) / np.sqrt(50))
    unknown = bounds.bound_log_z(values, values, origins=np.zeros(50, int))
    assert unknown.high == np.inf
    assert convergence_failures(unknown, drift=0.0, size=64, tolerance=0.1, min_effective=1)


def test_bits_per_dim_of_known_densities():
    """The uniform density on [0, 1]^d takes 8 bits, that on [0, 1/2]^d 7."""
    assert bits_per_dim(0.0, 0.0, 10) == 8
    assert bits_per_dim(0.0, 10 * np.log(0.5), 10) == pytest.approx(7)
    assert bits_per_dim(2.0, 1.0, 1, temperature=2.0) == pytest.approx(2 / np.log(2) + 8)


def test_image_energies_do_not_depend_on_batches_and_must_be_finite():
    images = np.random.default_rng(0).integers(0, 256, (7, 2, 2, 1), np.uint8)

    def energy(x):
        return tf.reduce_sum(x, (1, 2, 3))

    expected = (images / 255).sum((1, 2, 3))
    for batch_size in (3, 7):
        energies = image_energies(energy, {"training": images}, batch_size)
        np.testing.assert_allclose(energies["training"], expected, rtol=1e-6)
    with pytest.raises(RunError, match="one of the validation images is not finite"):
        image_energies(lambda x: 1 / (energy(x) - energy(x)), {"held_out": images}, 7)


@pytest.mark.parametrize(
    ("up", "down", "drift", "reason"),
    [
        ((0.0, 1.0), (40.0, 1.0), 0.0, "bits/dim apart"),
        ((0.0, 1.0), (-1.0, 0.1), 0.0, "above the upper"),
        ((0.0, 3.0), (1.0, 0.1), 0.0, "chains up"),
        ((0.0, 0.1), (1.0, 3.0), 0.0, "chains down"),
        ((0.0, 0.1), (1.0, 0.1), 5.0, "drift"),
        ((0.0, 0.1), (1.0, 0.1), float("nan"), "drift"),
    ],
)
def test_no_value_is_reported_unless_the_bounds_have_converged(up, down, drift, reason):
    random = np.random.default_rng(3)
    log_weights = [mean + spread * random.standard_normal(100) for mean, spread in (up, down)]
    log_z = bounds.bound_log_z(*log_weights)
    reported = summarize(
        log_z,
        {"held_out": np.zeros(3)},
        drift=drift,
        size=64,
        temperature=1.0,
        tolerance=0.1,
        min_effective=25.0,
    )
    assert not reported["converged"]
    assert reported["log_z"] is reported["images"]["held_out"]["bits_per_dim"] is None
    assert any(reason in text for text in reported["reasons"])
    assert reported["summary"].startswith("not converged, so no value is reported")
    assert "validation images [" in reported["summary"]
    json.dumps(reported, allow_nan=False)


def test_a_value_is_reported_if_the_bounds_have_converged():
    random = np.random.default_rng(3)
    log_weights = [middle + 0.1 * random.standard_normal(50) for middle in (0, 0.1)]
    reported = summarize(
        bounds.bound_log_z(*log_weights),
        {"held_out": np.arange(3.0)},
        drift=1.0,
        size=64,
        temperature=1.0,
        tolerance=0.1,
        min_effective=5.0,
    )
    images = reported["images"]["held_out"]
    assert reported["converged"]
    assert images["bracket"][0] < images["bits_per_dim"] < images["bracket"][1]
    assert images["bits_per_dim"] == bits_per_dim(1.0, reported["log_z"], 64)


@pytest.mark.parametrize(
    ("betas", "sizes"),
    [([0, 1], []), ([0.1, 1], [1]), ([0, 0.5, 0.5, 1], [1, 1, 1]), ([0, 1], [0]), ([0], [])],
)
def test_wrong_schedules_are_refused(betas, sizes):
    with pytest.raises(InvalidArgument, match=r"betas|step_sizes"):
        AnnealedImportanceSampling(annealing_path(quartic, 2), np.array(betas), np.array(sizes))


@pytest.mark.parametrize("weights", [np.array([1.0]), np.array([1.0, np.nan]), np.ones((2, 2))])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(InvalidArgument, match="up"):
        bounds.bound_log_z(weights, np.ones(3))


SMALL = {
    "num_chains": 6,
    "batch_size": 3,
    "num_temperatures": 4,
    "pilot_chains": 4,
    "pilot_temperatures": 5,
    "pilot_rounds": 2,
    "rest_rounds": 3,
    "num_images": 20,
    "leapfrog_steps": 2,
}


@pytest.fixture
def workdir(exported_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(exported_run, folder, ignore=shutil.ignore_patterns("export", "samples"))
    return folder


def run(workdir, **changes):
    config = get_config(str(workdir))
    config.likelihood.update({**SMALL, **changes})
    return likelihood(validate(config), str(workdir))


def report(workdir) -> dict:
    return json.loads((workdir / "evaluation" / "likelihood.json").read_text())


@pytest.mark.long
def test_a_killed_run_continues(workdir, monkeypatch):
    """By the command: finished shards are kept, and four temperatures do not give a value."""
    arguments = [f"--config.likelihood.{name}={value}" for name, value in SMALL.items()]
    arguments = [f"--workdir={workdir}", "--mode=likelihood", *arguments]
    with started(*arguments) as process:
        wait_for(lambda: list(workdir.glob("evaluation/*.shards/up/*.npz")), process)
    kept = list(workdir.glob("evaluation/*.shards/*/*.npz"))
    assert kept
    assert not (workdir / "evaluation" / "likelihood.json").exists()
    # The adaptation has been kept: nothing must adapt again.
    monkeypatch.setattr(estimate, "adapt", None)
    written = run(workdir)
    assert written == [str(workdir / "evaluation" / f"likelihood.{e}") for e in ("json", "png")]
    assert not list(workdir.glob("evaluation/*.shards"))
    first = report(workdir)
    assert not first["converged"]
    assert first["images"]["held_out"]["bits_per_dim"] is None
    assert first["images"]["training"]["num_images"] == 20
    assert (first["step"], first["weights"], first["dimension"]) == (10, "averaged", 64)
    with Image.open(workdir / "evaluation" / "likelihood.png") as picture:
        picture.verify()


def test_a_run_that_fails_keeps_its_finished_shards(workdir, monkeypatch):
    def fail(*_):
        raise RunError("at inverse temperature 1 the energy of a chain is not finite")

    monkeypatch.setattr(AnnealedImportanceSampling, "run_down", fail)
    with pytest.raises(RunError, match="not finite"):
        run(workdir, reference="isotropic")
    assert len(list(workdir.glob("evaluation/*.shards/up/*.npz"))) == 2
    assert not (workdir / "evaluation" / "likelihood.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": "uniform"}, "likelihood.reference"),
        ({"reference_sigma": -1.0}, "likelihood.reference_sigma"),
        ({"temperature": 0.0}, "likelihood.temperature"),
        ({"num_chains": 1}, "likelihood.num_chains"),
        ({"num_temperatures": 0}, "likelihood.num_temperatures"),
        ({"num_temperatures": 1_000_001}, "likelihood.num_temperatures"),
        ({"pilot_temperatures": 2}, "likelihood.pilot_temperatures"),
        ({"acceptance": 1.0}, "likelihood.acceptance"),
        ({"tolerance": 0.0}, "likelihood.tolerance"),
        ({"seed": -1}, "likelihood.seed"),
    ],
)
def test_wrong_settings_are_refused_and_nothing_is_written(workdir, changes, message):
    with pytest.raises(InvalidArgument, match=rf"`config\.{message}` must "):
        run(workdir, **changes)
    assert not (workdir / "evaluation").exists()


def test_without_statistics_the_reference_must_be_isotropic(workdir):
    (workdir / "checkpoints" / "statistics.npz").unlink()
    with pytest.raises(InvalidArgument, match="be isotropic, as this run holds no statistics"):
        run(workdir)
    assert not (workdir / "evaluation").exists()


def test_a_folder_without_a_checkpoint_ends_with_one_line(workdir):
    shutil.rmtree(workdir / "checkpoints")
    result = call("--mode=likelihood", f"--workdir={workdir}")
    assert result.returncode == 2
    assert "must hold a checkpoint" in result.stderr
    assert len(result.stderr.splitlines()) == 1
