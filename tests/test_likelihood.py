"""log Z between bounds, against closed forms; --mode=likelihood as a user runs it."""

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
from tf_mdsm.evaluation.likelihood import bounds
from tf_mdsm.evaluation.likelihood.adaptation import adapt
from tf_mdsm.evaluation.likelihood.ais import AnnealedImportanceSampling
from tf_mdsm.evaluation.likelihood.gaussian import GaussianReference, isotropic_reference
from tf_mdsm.evaluation.likelihood.path import AnnealingPath
from tf_mdsm.evaluation.likelihood.summary import bits_per_dim, judge, objections
from tf_mdsm.runs import likelihood as run_module
from tf_mdsm.runs.likelihood import likelihood

SHAPES = {2: (1, 2, 1), 64: (8, 8, 1), 1024: (32, 32, 1)}
# Chains, intervals, and what the bracket may be wide, in nats, margins included.
COUNTS, INTERVALS = {2: 200, 64: 48, 1024: 16}, {2: 30, 64: 60, 1024: 150}
WIDTHS = {2: 1.0, 64: 10.0, 1024: 60.0}
SHARE, APART, STD = 0.3, 2.0, 0.5


def gaussian(x):
    """0.3 + 0.5 N(0, I), unnormalised."""
    return tf.reduce_sum((x - 0.3) ** 2, (1, 2, 3)) / (2 * STD**2), (0.3 - x) / STD**2


def quartic(x):
    return tf.reduce_sum(x**4, (1, 2, 3)), -4 * x**3


def mixture(x):
    """Modes of weights 0.3 and 0.7, eight of their deviations apart, less 3."""
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
    """Exact ones of exp(-energy)."""
    random = np.random.default_rng(1)
    if energy is quartic:
        found = random.gamma(0.25, 1, (count, *shape)) ** 0.25
        return np.float32(found * random.choice([-1, 1], found.shape))
    centre = 0.3
    if energy is mixture:
        signs = np.where(random.uniform(size=count) < SHARE, -1, 1).reshape(-1, 1, 1, 1)
        centre = signs * APART / np.sqrt(np.prod(shape))
    return np.float32(centre + STD * random.standard_normal((count, *shape)))


def true_log_z(energy, size):
    if energy is quartic:
        return size * (np.log(2) + special.gammaln(1.25))
    return size / 2 * np.log(2 * np.pi * STD**2) + (3.0 if energy is mixture else 0.0)


@functools.cache
def bridge(energy, size, **options):
    """Compiled once for all tests."""
    return AnnealingPath(energy, isotropic_reference(SHAPES[size], 0.0, 1.0), **options)


def annealing(energy, size, intervals, chains=16):
    found = bridge(energy, size)
    pilot = adapt(found, 16, 2**40 + np.arange(chains), rounds=5)
    return AnnealedImportanceSampling(found, *pilot.schedule(intervals)), pilot


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("energy", [gaussian, mixture, quartic])
def test_the_true_log_z_lies_in_the_bracket(energy, size):
    """A false alarm in less than three of a thousand."""
    count = COUNTS[size]
    chains, _ = annealing(energy, size, INTERVALS[size])
    seeds = np.arange(count)
    up, down = chains.up(seeds), chains.down(samples(energy, SHAPES[size], count), seeds)
    found = bounds.bracket(*(chains.log_weights(path.differences) for path in (up, down)))
    assert found.low < true_log_z(energy, size) < found.high
    assert found.high - found.low < WIDTHS[size]
    # From both sides, and not by their margins alone.
    errors = np.hypot(found.lower.error, found.upper.error)
    assert found.upper.mean - found.lower.mean > -4 * errors
    assert 0.5 < up.accepted.mean() < 0.95


def test_weights_are_exact_where_nothing_has_to_be_learned():
    """E = E_ref - c: every chain's log weight is c, whatever the moves do."""
    reference = isotropic_reference((2, 2, 1), 0.5, 0.7)

    def energy(x):
        energy, score = reference.energy_and_score(x)
        return energy - 1.5, score

    chains = AnnealedImportanceSampling(AnnealingPath(energy, reference), [0, 0.1, 1], [3.0, 0.1])
    up = chains.up(np.arange(5))
    down = chains.down(up.images, np.arange(5))
    for path in (up, down):
        np.testing.assert_allclose(chains.log_weights(path.differences), 1.5, atol=1e-5)
    found = bounds.bracket(*(chains.log_weights(p.differences) for p in (up, down)))
    assert found.high - found.low < 1e-4


def test_the_mean_weight_is_z_with_few_intervals_and_poor_moves():
    """Unbiased: three intervals, and steps so large that many moves are refused."""
    chains = AnnealedImportanceSampling(bridge(quartic, 2), [0, 0.05, 0.3, 1], [2.0, 1.5, 1.2])
    count = 4_000
    path = chains.up(np.arange(count))
    weights = np.exp(chains.log_weights(path.differences) - true_log_z(quartic, 2))
    assert weights.mean() == pytest.approx(1, abs=5 * weights.std() / np.sqrt(count))
    assert path.accepted.mean() < 0.8


def test_a_temperature_divides_the_energy():
    """T = 2 on a Gaussian: twice the variance."""
    chains = AnnealedImportanceSampling(
        bridge(gaussian, 2, temperature=2.0), np.linspace(0, 1, 9), [0.4] * 8
    )
    weights = chains.log_weights(chains.up(np.arange(500)).differences)
    found = bounds.bracket(weights, weights)
    expected = np.log(2 * np.pi * 2 * STD**2)
    assert found.log_z == pytest.approx(expected, abs=5 * found.lower.estimate_error)


def test_the_reference_is_the_gaussian_it_says():
    """Density and samples of the data's Gaussian, exact and by leading components."""
    images = np.random.default_rng(0).uniform(size=(60, 3, 3, 1)).astype(np.float32)
    for kept in (9, 4):
        statistics = fit_statistics(images, max_components=kept)
        parts = statistics.components.reshape(kept, 9).astype(float)
        residual = statistics.residual_variance
        covariance = (parts.T * (statistics.variances - residual)) @ parts
        covariance += (residual + 0.04) * np.eye(9)
        reference = GaussianReference(**vars(statistics), sigma=0.2)
        energy, score = reference.energy_and_score(tf.constant(images))
        offset = images.reshape(-1, 9) - statistics.mean.reshape(9)
        solved = np.linalg.solve(covariance, offset.T).T
        _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
        expected = ((offset * solved).sum(1) + log_determinant) / 2
        np.testing.assert_allclose(energy, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(score.numpy().reshape(-1, 9), -solved, rtol=1e-3, atol=1e-3)
        assert reference.smallest_deviation <= np.sqrt(np.linalg.eigvalsh(covariance)[0]) + 1e-4
    with pytest.raises(InvalidArgument, match="sigma"):
        isotropic_reference((1, 1, 1), sigma=0.0)


def test_a_chain_does_not_depend_on_those_beside_it():
    chains = AnnealedImportanceSampling(bridge(quartic, 64), np.linspace(0, 1, 8), [0.15] * 7)
    seeds = np.array([3, 2**40, 11, 4, 2**62])
    whole = chains.up(seeds)
    ends = whole.images
    for part in ([0], [1, 2], [3, 4]):
        alone = chains.up(seeds[part])
        np.testing.assert_allclose(alone.differences, whole.differences[part], rtol=1e-5)
        np.testing.assert_allclose(
            chains.down(ends[part], seeds[part]).differences,
            chains.down(ends, seeds).differences[part],
            rtol=1e-5,
        )
    assert len(np.unique(whole.differences[:, 0])) == len(seeds)


def test_what_is_drawn_by_weights_has_the_weights_of_the_modes():
    """Chains settle in a mode by its basin, and never leave; their weights put that right."""
    chains, _ = annealing(mixture, 2, 12)
    path = chains.up(np.arange(400))
    weights = chains.log_weights(path.differences)
    origins = bounds.resample(weights, 400, seed=0)
    found = np.mean(path.images[origins].sum((1, 2, 3)) < 0)
    error = np.sqrt(SHARE * (1 - SHARE) / bounds.effective_size(weights))
    assert found == pytest.approx(SHARE, abs=4 * error)


def test_a_pilot_finds_step_sizes_and_where_to_go_slowly():
    chains, pilot = annealing(quartic, 64, 40, chains=32)
    assert np.abs(pilot.accepted - 0.8).max() < 0.25
    # Far out x^4 is huge: beta must leave 0 in tiny steps, with steps of the reference's size.
    assert chains.betas[1] < 0.2 / 40
    assert chains.step_sizes[0] > chains.step_sizes[-1] > 0
    assert pilot.length == pytest.approx(np.trapezoid(pilot.deviations, pilot.betas))
    np.testing.assert_array_equal(chains.betas[[0, -1]], [0, 1])
    with pytest.raises(InvalidArgument, match="num_temperatures"):
        pilot.schedule(10**8)


@pytest.mark.parametrize("factor", [np.inf, np.nan])
def test_an_energy_that_is_not_finite_ends_the_run(factor):
    def energy(x):
        return factor * tf.reduce_sum(x**2, (1, 2, 3)), -2 * factor * x

    found = bridge(energy, 2, leapfrog_steps=1)
    with pytest.raises(RunError, match=r"inverse temperature 0\.5 .* not finite"):
        AnnealedImportanceSampling(found, [0, 0.5, 1], [0.3, 0.3]).up(np.arange(4))
    with pytest.raises(RunError, match=r"inverse temperature 0 .* not finite"):
        adapt(found, 5, np.arange(4), rounds=2)


def test_bounds_of_log_weights():
    """Log weights N(m, s^2) have mean weight exp(m + s^2 / 2)."""
    random, count, spread = np.random.default_rng(0), 20_000, 1.0
    up = 10 - spread**2 / 2 + spread * random.standard_normal(count)
    down = 10 + spread**2 / 2 + spread * random.standard_normal(count)
    found = bounds.bracket(up, down)
    for bound, mean in ((found.lower, 9.5), (found.upper, 10.5)):
        assert bound.mean == pytest.approx(mean, abs=5 * spread / np.sqrt(count))
        assert bound.error == pytest.approx(spread / np.sqrt(count), rel=0.05)
        assert bound.margin == pytest.approx(2.97 * bound.error, rel=0.01)
        assert bound.estimate == pytest.approx(10, abs=5 * bound.estimate_error)
        assert bound.effective_size == pytest.approx(count * np.exp(-(spread**2)), rel=0.1)
    assert found.low < 9.5 < 10 < 10.5 < found.high
    assert not objections(found, 64, 0.1, 5, drift=0.0)


def test_chains_from_one_place_count_once():
    values = np.random.default_rng(0).standard_normal(50)
    single, _ = bounds.clustered_error(values, np.arange(50))
    fourfold, groups = bounds.clustered_error(values.repeat(4), np.arange(50).repeat(4))
    assert (fourfold, groups) == (pytest.approx(single), 50)
    assert single == pytest.approx(values.std(ddof=1) / np.sqrt(50))
    alone = bounds.bracket(values, values, origins=np.zeros(50, int))
    assert alone.high == np.inf
    assert objections(alone, 64, 0.1, 1, drift=0.0)


def test_bits_per_dim_of_a_density_that_is_known():
    """The uniform density on [0, 1]^d takes 8 bits, that on [0, 1/2]^d 7."""
    assert bits_per_dim(0.0, 0.0, 10) == 8
    assert bits_per_dim(0.0, 10 * np.log(0.5), 10) == pytest.approx(7)
    assert bits_per_dim(2.0, 1.0, 1, temperature=2.0) == pytest.approx(2 / np.log(2) + 8)


@pytest.mark.parametrize(
    ("up", "down", "drift", "reason"),
    [
        ((0.0, 1.0), (40.0, 1.0), 0.0, "wide"),
        ((0.0, 1.0), (-1.0, 0.1), 0.0, "above the upper"),
        ((0.0, 3.0), (1.0, 0.1), 0.0, "chains up"),
        ((0.0, 0.1), (1.0, 3.0), 0.0, "chains down"),
        ((0.0, 0.1), (1.0, 0.1), 5.0, "drift"),
        ((0.0, 0.1), (1.0, 0.1), float("nan"), "drift"),
    ],
)
def test_bounds_that_have_not_converged_are_no_value(up, down, drift, reason):
    random = np.random.default_rng(3)
    weights = [mean + spread * random.standard_normal(100) for mean, spread in (up, down)]
    found = bounds.bracket(*weights)
    told = judge(found, drift, {"held_out": np.zeros(3)}, 64, 1.0, 0.1, 25.0)
    assert not told["converged"]
    assert told["log_z"] is told["images"]["held_out"]["bits_per_dim"] is None
    assert any(reason in text for text in told["reasons"])
    assert told["summary"].startswith("not converged, so no value")
    json.dumps(told, allow_nan=False)


def test_bounds_that_have_converged_are():
    random = np.random.default_rng(3)
    found = bounds.bracket(*(middle + 0.1 * random.standard_normal(50) for middle in (0, 0.1)))
    told = judge(found, 1.0, {"held_out": np.arange(3.0)}, 64, 1.0, 0.1, 5.0)
    images = told["images"]["held_out"]
    assert told["converged"]
    assert images["bracket"][0] < images["bits_per_dim"] < images["bracket"][1]
    assert images["bits_per_dim"] == bits_per_dim(1.0, told["log_z"], 64)


@pytest.mark.parametrize(
    ("betas", "sizes"),
    [([0, 1], []), ([0.1, 1], [1]), ([0, 0.5, 0.5, 1], [1, 1, 1]), ([0, 1], [0]), ([0], [])],
)
def test_wrong_schedules_are_refused(betas, sizes):
    with pytest.raises(InvalidArgument, match=r"betas|step_sizes"):
        AnnealedImportanceSampling(bridge(quartic, 2), np.array(betas), np.array(sizes))


@pytest.mark.parametrize("weights", [np.array([1.0]), np.array([1.0, np.nan]), np.ones((2, 2))])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(InvalidArgument, match="up"):
        bounds.bracket(weights, np.ones(3))


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
def test_a_killed_run_goes_on(workdir, monkeypatch):
    """By the command; what was there is kept, and four temperatures are no value."""
    arguments = [f"--config.likelihood.{name}={value}" for name, value in SMALL.items()]
    arguments = [f"--workdir={workdir}", "--mode=likelihood", *arguments]
    with started(*arguments) as process:
        wait_for(lambda: list(workdir.glob("evaluation/*.shards/up/*.npz")), process)
    kept = list(workdir.glob("evaluation/*.shards/*/*.npz"))
    assert kept
    assert not (workdir / "evaluation" / "likelihood.json").exists()
    monkeypatch.setattr(run_module, "run_pilot", None)
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


def test_a_run_that_fails_keeps_its_finished_parts(workdir, monkeypatch):
    def fail(*_):
        raise RunError("at inverse temperature 1 the energy of a chain is not finite")

    monkeypatch.setattr(AnnealedImportanceSampling, "down", fail)
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
def test_what_cannot_be_is_refused_and_nothing_written(workdir, changes, message):
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
