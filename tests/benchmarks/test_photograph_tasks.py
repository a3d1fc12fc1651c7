"""The benchmark of restored photographs: scratches, what it measures, its table, its tasks."""

import numpy as np
import pytest

from benchmarks.quality.photograph_tasks import TASKS, main, measure_task, scratches, table
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.restoration.photographs import PhotographRestorer
from tf_mdsm.restoration.tiles import TiledEnergy
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.schedules import growing_step_sizes


def test_scratches_are_lines_from_top_to_bottom():
    mask = scratches(40, 60, count=1, seed=3)[..., 0]
    assert set(np.unique(mask)) == {0, 1}
    missing = (mask == 0).sum(axis=1)
    assert missing.min() >= 2
    np.testing.assert_array_equal(mask, scratches(40, 60, count=1, seed=3)[..., 0])
    assert (scratches(40, 60, count=5, seed=3) == 0).sum() > missing.sum()


@pytest.mark.parametrize("name", TASKS)
def test_quality_is_that_of_the_unknown_pixels(name):
    """On a smooth image, which biharmonic and bicubic methods nearly know."""
    network = build_network(
        "unet", (None, None, 1), 2, head="distance", structure=UNetStructure(num_resolutions=2)
    )
    target = TiledEnergy(EnergyModel(network, NoiseLevels(0.1, 1.0, 8)))
    method = CoarseToFine(sigma_start=0.5, sigma_end=0.01, step_sizes=growing_step_sizes(0.1, 1))
    rows, columns = np.mgrid[:32, :40].astype(np.float32)
    waves = (0.5 + 0.2 * np.sin(rows / 6) + 0.2 * np.cos(columns / 9))[..., None]
    mask = scratches(32, 40, count=3)
    found, images = measure_task(
        PhotographRestorer(target, method=method, mask=mask, **TASKS[name]), waves
    )
    original, measured, energy, baseline = images
    np.testing.assert_array_equal(original, waves)
    differs = np.any(original != measured, axis=-1)
    if "super" in name:
        differs[:] = True
    error = np.mean((original - baseline)[differs] ** 2)
    assert found["scikit-image"]["psnr"] == pytest.approx(-10 * np.log10(error), abs=1e-3)
    assert found["scikit-image"]["psnr"] > found["measured"]["psnr"]
    assert energy.shape == original.shape
    assert found["energy"]["seconds"] > 0


def test_the_table_has_both_methods_in_a_row():
    methods = {
        "measured": {"psnr": 5.0, "ssim": 0.4, "seconds": 0.0},
        "energy": {"psnr": 29.456, "ssim": 0.8, "seconds": 1.52},
        "scikit-image": {"psnr": 28.0, "ssim": 0.75, "seconds": 10.0},
    }
    report = {"rows": {"camera, box": {"photograph": "camera", "task": "box", "methods": methods}}}
    *_, row = table(report).strip().splitlines()
    assert row == "| camera | box | 29.46 | 28.00 | 0.800 | 0.750 | 1.5 | 10.0 |"


def test_an_unknown_task_is_refused(tmp_path, capsys):
    assert main([f"--workdir={tmp_path}", "--tasks=magic"]) == 2
    assert "`--tasks` must name some of box, scratches" in capsys.readouterr().err
