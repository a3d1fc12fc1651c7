"""What a training run shows of itself: scalars, validation, previews, the distance of samples."""

import types

import numpy as np
import pytest
from PIL import Image

from tests.helpers.eager import uncompiled
from tf_mdsm import EnergyModel, NoiseLevels, build_network
from tf_mdsm.training.monitor import Preview, SampleDistance, TrainingMonitor
from tf_mdsm.training.optimizers import Adam

# Images of a step, and those that a replica works on at a time.
BATCH_SIZE, AT_ONCE = 4, 3


class Writer:
    """Keeps what would be written to TensorBoard."""

    def __init__(self):
        self.values, self.pictures, self.num_flushes = {}, {}, 0

    def scalars(self, values, step: int) -> None:
        self.values |= {(name, step): float(np.asarray(value)) for name, value in values.items()}

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        assert pixels.dtype == np.uint8
        self.pictures[name, step] = pixels

    def flush(self) -> None:
        self.num_flushes += 1


@pytest.fixture(scope="module")
def model():
    """A model of images of 4x4 pixels with 16 noise levels, two for each band of the loss."""
    network = build_network("dense", (4, 4, 1), channels=4)
    model = EnergyModel(network, NoiseLevels(num_levels=16))
    model.compile(Adam(0.25))
    return model


@pytest.fixture
def writer():
    return Writer()


@pytest.fixture(scope="module")
def images():
    """Ten images: two batches, and a smaller one."""
    return np.random.default_rng(0).integers(0, 256, (10, 4, 4, 1), np.uint8)


class Sampler:
    """Stands in for a sampling run: the pixels of an image are its seed, of 255."""

    def __init__(self, value: float = 1 / 255):
        self.value, self.seeds, self.sizes = value, [], []

    def __call__(self, seeds, callback=lambda steps: None):
        self.seeds += list(seeds)
        self.sizes.append(len(seeds))
        for steps in (1, 2):
            callback(steps)
        images = np.ones((len(seeds), 4, 4, 1), np.float32) * np.reshape(seeds, (-1, 1, 1, 1))
        return types.SimpleNamespace(images=images * np.float32(self.value))


@pytest.fixture
def new_monitor(model, writer, images, tmp_path):
    """A function that makes a monitor of that model."""

    def new_monitor(sample=None, distance=None, num_previews=3) -> TrainingMonitor:
        seeds = 50 + np.arange(num_previews)
        preview = Preview(sample or Sampler(), seeds=seeds, folder=str(tmp_path))
        return TrainingMonitor(
            model=model,
            writer=writer,
            validation_images=images,
            batch_size=BATCH_SIZE,
            images_at_once=AT_ONCE,
            preview=preview,
            sample_distance=distance,
        )

    return new_monitor


def test_means_since_the_last_log(model, writer, new_monitor):
    monitor = new_monitor()
    for loss in (1.0, 4.0):
        model.loss_tracker.update_state(loss)
        model.gradient_norm_tracker.update_state(10 * loss)
    # Band b: b + 1 images with the loss b each.
    bands = np.arange(8.0)
    model.band_tracker.update_state(np.stack([bands * (bands + 1), bands + 1]))
    monitor.count_steps(5, 2.0)
    monitor.count_steps(10, 1.0)
    monitor.log(15)
    logged = {name: value for (name, step), value in writer.values.items() if step == 15}
    assert len(logged) == len(writer.values)
    sigmas = model.noise.sigmas
    for band in range(8):
        name = f"loss_by_sigma/{sigmas[2 * band]:.3g}-{sigmas[2 * band + 1]:.3g}"
        assert logged.pop(name) == pytest.approx(band)
    assert logged == {
        "loss": 2.5,
        "gradient_norm": 25.0,
        "learning_rate": 0.25,
        "images_per_second": 15 * BATCH_SIZE / 3.0,
    }
    monitor.log(16)
    assert writer.values["loss", 16] == 0
    assert writer.values["images_per_second", 16] == 0


def test_validation_is_the_mean_over_all_images(model, writer, images, new_monitor):
    """Each batch has its own noise; the last, smaller one does not weigh more.

    In which parts a batch is computed changes nothing.
    """
    with uncompiled():
        new_monitor().validate(7)
        floats = (images / 255).astype(np.float32)
        losses = [
            model.validation_losses(floats[first : first + BATCH_SIZE], number)
            for number, first in enumerate((0, 4, 8))
        ]
    generator = np.random.default_rng(0)
    noise = generator.standard_normal(images.shape).astype(np.float32)
    kinds = {
        "clean": floats,
        "noisy": floats + model.noise.sigma_max * noise,
        "uniform": generator.uniform(size=images.shape).astype(np.float32),
    }
    expected = {f"energy/{kind}": np.mean(model.energy(batch)) for kind, batch in kinds.items()}
    expected["validation_loss"] = np.mean(np.concatenate(losses))
    assert {step for _, step in writer.values} == {7}
    logged = {name: value for (name, _), value in writer.values.items()}
    # Sums of ten numbers of float32 in another order.
    assert logged == pytest.approx(expected, rel=10 * float(np.finfo(np.float32).eps))
    assert list(writer.pictures) == [("clean_noisy_denoised", 7)]


def new_distance(compared: list) -> SampleDistance:
    """A distance of six samples, 3.5 for all; it keeps a pixel of each in `compared`."""

    def compute(samples: np.ndarray) -> float:
        assert samples.dtype == np.uint8
        compared.extend(samples[:, 0, 0, 0].tolist())
        return 3.5

    return SampleDistance(num_samples=6, compute=compute, features="pixels", definition="what")


def preview_ten(monitor: TrainingMonitor, step: int) -> None:
    monitor.preview(step, lambda: False)


def evaluate_six(monitor: TrainingMonitor, step: int) -> None:
    monitor.evaluate_samples(step, lambda *best: None, lambda: False)


@pytest.mark.parametrize("run", [TrainingMonitor.validate, preview_ten, evaluate_six])
def test_no_more_images_than_a_replica_takes_at_a_time(model, new_monitor, monkeypatch, run):
    """Neither the network nor the sampler sees more, or the memory of a step would not do."""
    sampler, sizes = Sampler(), []
    energy_fn = model._energy_fn
    normalized_losses = model._normalized_losses

    def counted(function, images, *arguments):
        sizes.append(len(images))
        return function(images, *arguments)

    monkeypatch.setattr(model, "_energy_fn", lambda images: counted(energy_fn, images))
    monkeypatch.setattr(
        model,
        "_normalized_losses",
        lambda network, *images: counted(
            lambda *images: normalized_losses(network, *images), *images
        ),
    )
    with uncompiled():
        run(new_monitor(sampler, new_distance([]), num_previews=10), 5)
    sizes += sampler.sizes
    assert max(sizes) == AT_ONCE


def test_a_preview_is_shown_and_written(writer, new_monitor, tmp_path):
    sampler = Sampler()
    assert new_monitor(sampler).preview(20, lambda: False)
    assert sampler.seeds == [50, 51, 52]
    picture = writer.pictures["samples", 20]
    assert set(np.unique(picture)) >= {50, 51, 52}
    written = np.asarray(Image.open(tmp_path / "step_00000020.png"))
    np.testing.assert_array_equal(written.reshape(picture.shape), picture)


def test_a_preview_that_is_stopped_shows_nothing(writer, new_monitor, tmp_path):
    """The request is asked for before the sampling run, and between its parts."""
    asked = []

    def stop_after_the_first() -> bool:
        asked.append(None)
        return len(asked) > 1

    assert not new_monitor().preview(20, stop_after_the_first)
    assert len(asked) == 2
    assert writer.pictures == {}
    assert list(tmp_path.iterdir()) == []


def test_a_preview_that_is_not_finite_shows_nothing(writer, new_monitor, tmp_path):
    assert new_monitor(Sampler(np.nan)).preview(20, lambda: False)
    assert writer.pictures == {}
    assert list(tmp_path.iterdir()) == []


def test_samples_are_compared_in_batches(writer, new_monitor):
    sampler, compared, kept = Sampler(), [], []
    monitor = new_monitor(sampler, new_distance(compared))
    assert monitor.evaluate_samples(9, lambda *best: kept.append(best), lambda: False)
    assert sampler.seeds == [50, 51, 52, 53, 54, 55]
    assert compared == sampler.seeds
    assert sampler.sizes == [3, 3]
    assert writer.values == {("distance/pixels", 9): 3.5}
    assert kept == [(3.5, "what")]


@pytest.mark.parametrize(("value", "is_stopped"), [(1 / 255, True), (np.inf, False)])
def test_samples_that_are_stopped_or_not_finite_are_not_compared(
    writer, new_monitor, value, is_stopped
):
    compared, kept = [], []
    monitor = new_monitor(Sampler(value), new_distance(compared))
    came_to_its_end = monitor.evaluate_samples(
        9, lambda *best: kept.append(best), lambda: is_stopped
    )
    assert came_to_its_end != is_stopped
    assert (compared, kept, writer.values) == ([], [], {})


def test_a_monitor_without_a_distance_compares_nothing(new_monitor):
    with pytest.raises(ValueError, match="no sample distance"):
        new_monitor().evaluate_samples(9, lambda *best: None, lambda: False)


def test_events_are_flushed(writer, new_monitor):
    new_monitor().flush()
    assert writer.num_flushes == 1
