"""The benchmark of denoised photographs: what it measures, its table, its methods."""

import numpy as np
import pytest

from benchmarks.quality import photographs
from benchmarks.quality.photographs import (
    _denoisers,
    _middle,
    main,
    measure_image,
    photographs_of_folder,
    table,
    validation_photographs,
)
from tests.helpers.photo_runs import save
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.restoration.solve import denoise_in_half_steps


def test_a_method_that_does_nothing_has_the_psnr_of_the_noise():
    """10 log10(1 / sigma^2) of gray images, whose noise is hardly ever clipped."""
    image = np.full((64, 64, 1), 0.5, np.float32)
    found, images = measure_image(image, 25, {"nothing": lambda noisy, sigma: noisy})
    np.testing.assert_array_equal(images[0], image)
    np.testing.assert_array_equal(images[1], images[2])
    expected = -20 * np.log10(25 / 255)
    # The relative error of a mean square of 4,096 normal numbers, in decibels.
    tolerance = 5 * (2 / 4_096) ** 0.5 * 10 / np.log(10)
    assert found["noisy"]["psnr"] == pytest.approx(expected, abs=tolerance)
    assert found["nothing"]["psnr"] == found["noisy"]["psnr"]
    assert found["nothing"]["ssim"] == found["noisy"]["ssim"]


def test_methods_are_given_one_noisy_image_and_the_level_in_pixel_units():
    image, calls = np.zeros((4, 6, 3), np.float32), []

    def clean(noisy, sigma):
        calls.append((noisy.shape, sigma))
        return np.zeros_like(noisy)

    found, _ = measure_image(np.tile(image, (2, 2, 1)), 51, {"clean": clean})
    assert calls == [((1, 8, 12, 3), 0.2)]
    assert found["clean"]["psnr"] == pytest.approx(120)
    assert found["clean"]["ssim"] == pytest.approx(1)


def test_the_photographs_are_those_of_validation():
    gray = validation_photographs(1)
    assert {name: image.shape for name, image in gray.items()} == {
        "astronaut": (512, 512, 1),
        "camera": (512, 512, 1),
    }
    assert 0 <= gray["camera"].min() < 0.05 < 0.9 < gray["camera"].max() <= 1


def small_model(channels):
    structure = UNetStructure(num_resolutions=2, scale_input=True)
    network = build_network("unet", (None, None, channels), 2, head="distance", structure=structure)
    return EnergyModel(network, NoiseLevels(0.02, 0.6, 8))


@pytest.mark.parametrize("channels", [1, 3])
def test_non_local_means_removes_noise(channels):
    image = np.tile(np.linspace(0.2, 0.8, 32, dtype=np.float32)[:, None, None], (1, 32, channels))
    denoisers = _denoisers(["non_local_means"], small_model(channels))
    found, _ = measure_image(image, 25, denoisers)
    assert found["non_local_means"]["psnr"] > found["noisy"]["psnr"] + 3


def test_the_energy_denoises_as_the_command_line_and_in_one_step():
    model = small_model(1)
    noisy = np.random.default_rng(0).random((1, 9, 8, 1), np.float32)
    denoisers = _denoisers(["energy", "one_step"], model)
    half_steps = denoisers["energy"](noisy, 0.1)
    np.testing.assert_array_equal(half_steps, denoise_in_half_steps(model, noisy))
    one_step = denoisers["one_step"](noisy, 0.1)
    np.testing.assert_array_equal(one_step, model.denoise(noisy))
    assert np.abs(half_steps - one_step).max() > 1e-4


def test_the_table_has_a_row_for_each_method():
    methods = {
        "noisy": {"psnr": 20.0, "ssim": 0.4, "seconds": 0.0},
        "energy": {"psnr": 29.456, "ssim": 0.8, "seconds": 1.5},
    }
    better = {
        "noisy": {"psnr": 20.0, "ssim": 0.4, "seconds": 0.0},
        "energy": {"psnr": 31.456, "ssim": 0.9, "seconds": 2.5},
    }
    rows = [
        {"photograph": "camera", "level": 25.0, "methods": methods},
        {"photograph": "coffee", "level": 25.0, "methods": better},
    ]
    shown = table({"rows": dict(enumerate(rows))}).strip().splitlines()[2:]
    assert shown == [
        "| camera | 25 | noisy | 20.00 | 0.400 |  |",
        "| camera | 25 | energy, blind | 29.46 | 0.800 | 1.5 |",
        "| coffee | 25 | noisy | 20.00 | 0.400 |  |",
        "| coffee | 25 | energy, blind | 31.46 | 0.900 | 2.5 |",
        "| mean | 25 | noisy | 20.00 | 0.400 |  |",
        "| mean | 25 | energy, blind | 30.46 | 0.850 | 2.0 |",
    ]


def test_a_gray_model_denoises_colors_channel_by_channel():
    model = small_model(1)
    noisy = np.random.default_rng(0).random((1, 9, 8, 3), np.float32)
    restored = _denoisers(["one_step"], model)["one_step"](noisy, 0.1)
    assert restored.shape == noisy.shape
    for channel in range(3):
        alone = model.denoise(noisy[..., channel : channel + 1])
        np.testing.assert_allclose(restored[..., channel], alone[..., 0], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_bm3d_is_told_what_a_gray_model_finds(monkeypatch, channels):
    """The stand-in for BM3D returns the level that it is told."""
    monkeypatch.setattr(photographs, "_bm3d", lambda: lambda noisy, sigma: 0 * noisy + sigma)
    model = small_model(1)
    noisy = np.random.default_rng(0).random((1, 9, 8, channels), np.float32)
    denoisers = _denoisers(["bm3d", "bm3d_by_energy"], model)
    assert denoisers["bm3d"](noisy, 0.25).ravel() == pytest.approx(0.25)
    found = np.mean([model.noise_level(noisy[..., i : i + 1])[0] for i in range(channels)])
    assert denoisers["bm3d_by_energy"](noisy, 0.25).ravel() == pytest.approx(found, rel=1e-5)


def test_photographs_of_a_folder_are_their_middles(tmp_path):
    """Of 1,000 x 700 pixels the middle 350 x 350, made smaller; a small one is only cropped."""
    large = np.zeros((700, 1_000, 3), np.uint8)
    large[175:525, 325:675] = 255
    save(tmp_path / "a" / "large.png", large)
    save(tmp_path / "small.jpg", np.full((330, 400, 3), 51, np.uint8))
    found = photographs_of_folder(str(tmp_path), 1)
    assert {name: image.shape for name, image in found.items()} == {
        "a_large": (320, 320, 1),
        "small": (320, 320, 1),
    }
    assert found["a_large"].mean() > 0.99
    assert found["small"] == pytest.approx(np.full((320, 320, 1), 0.2), abs=1e-6)
    (tmp_path / "small.jpg").write_bytes(b"no picture")
    with pytest.raises(InvalidArgument, match="`--photographs` must hold pictures"):
        photographs_of_folder(str(tmp_path), 1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--levels=15,many"], "`--levels` must be numbers separated by commas"),
        (["--levels=0"], "`--levels` must be positive"),
        (
            ["--methods=magic"],
            "`--methods` must name some of energy, one_step, bm3d, bm3d_by_energy, non_local_means",
        ),
    ],
)
def test_wrong_flags_are_refused(flags, message, tmp_path, capsys):
    assert main([f"--workdir={tmp_path}", *flags]) == 2
    assert message in capsys.readouterr().err


def test_pictures_show_the_middle():
    images = np.arange(2 * 8 * 10).reshape(2, 8, 10, 1)
    np.testing.assert_array_equal(_middle(images, 4), images[:, 2:6, 3:7])
