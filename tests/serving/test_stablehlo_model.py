"""StableHLO exports in use: any number of images, wrong arguments, damaged folders."""

import json
import shutil
import sys
import weakref

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.known_export import (
    energy_tolerance,
    known_energy,
    known_functions,
    known_noise_level,
    spelled,
)
from tests.helpers.served_inputs import SHAPE, some_images, upper_half_known
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.serving import stablehlo_model
from tf_mdsm.serving.stablehlo_export import write_stablehlo
from tf_mdsm.serving.stablehlo_model import StableHloModel

SEEDS = [2**53, 2**53 + 1, 2**62 - 1, 2**62, 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Programs for one image and for three, of functions with known answers."""
    folder = tmp_path_factory.mktemp("export") / "1"
    factor = tf.Variable(0.5)
    write_stablehlo(
        known_functions(factor),
        str(folder),
        image_shape=SHAPE,
        batch_sizes=(3, 1),
        weights={"factor": factor},
        provenance={},
    )
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return StableHloModel(folder)


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_any_number_of_images(model, count):
    """Batches of three and of one; what fills up a batch is dropped."""
    images = 4 * some_images(count) - 1
    np.testing.assert_allclose(model.energy(images), known_energy(images), rtol=energy_tolerance())
    np.testing.assert_array_equal(model.score(images), -images)
    np.testing.assert_array_equal(model.denoise(images), images / 2)
    levels = model.noise_level(images)
    np.testing.assert_allclose(levels, known_noise_level(images), rtol=energy_tolerance())


def test_samples_follow_from_their_seeds(model):
    images, energies = model.sample(SEEDS)
    assert images.dtype == energies.dtype == np.float32
    np.testing.assert_array_equal(images, spelled(SEEDS))
    np.testing.assert_array_equal(energies, known_energy(images))


def test_inpainting_keeps_known_pixels(model):
    images, mask = some_images(5), upper_half_known(5)
    filled = model.inpaint(images, mask, SEEDS)
    np.testing.assert_array_equal(filled[:, :4], images[:, :4])
    np.testing.assert_array_equal(filled[:, 4:], spelled(SEEDS)[:, 4:])


def test_arrays_of_any_layout_are_read(model):
    """Views, other orders in memory, read-only and big-endian arrays."""
    images = some_images(6)
    expected = known_energy(images)
    read_only = images.copy()
    read_only.flags.writeable = False
    turned = np.asfortranarray(images)
    for array in (read_only, turned, images.astype(">f4"), images[::-1][::-1], images.tolist()):
        given = np.asarray(array)
        np.testing.assert_allclose(model.energy(given), expected, rtol=energy_tolerance())


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint32, bool])
@pytest.mark.parametrize("shape", [(), (5,), (300, 40, 5)])
def test_xla_lets_go_of_numpys_memory_at_once(monkeypatch, shape, dtype):
    """A thread of its own that does so while Python is ending would abort the process."""
    copies, copy_of = [], stablehlo_model._unaligned_copy

    def remembered(array):
        copy = copy_of(array)
        copies.append(weakref.ref(copy))
        return copy

    monkeypatch.setattr(stablehlo_model, "_unaligned_copy", remembered)
    array = (100 * np.random.default_rng(0).random(shape)).astype(dtype)
    buffer = stablehlo_model._to_device(array, stablehlo_model.processor())
    assert [copy() for copy in copies] == [None]
    np.testing.assert_array_equal(np.asarray(buffer), array)


def test_wrong_arguments_are_refused_as_by_the_client(model):
    with pytest.raises(InvalidArgument, match=r"`images` must be of shape \[B, 8, 8, 1\]"):
        model.energy(some_images(1)[:, 1:])
    with pytest.raises(InvalidArgument, match="`seeds` must be integers"):
        model.sample([0.5])


def test_what_is_no_export_is_refused(tmp_path, copy):
    with pytest.raises(InvalidArgument, match="`folder` must be a StableHLO export of tf_mdsm"):
        StableHloModel(tmp_path)
    description = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**description, "format": 2}))
    with pytest.raises(InvalidArgument, match=r"hold an export of format 1\. .* format 2"):
        StableHloModel(copy)
    (copy / "model.json").write_text("[1]")
    with pytest.raises(InvalidArgument, match="`folder` must be a StableHLO export"):
        StableHloModel(copy)


def test_a_signature_that_was_not_exported_is_refused(copy):
    description = json.loads((copy / "model.json").read_text())
    description["programs"] = [p for p in description["programs"] if p["signature"] != "sample"]
    (copy / "model.json").write_text(json.dumps(description))
    with pytest.raises(InvalidArgument, match=r"`signature` must be one that was .*sample"):
        StableHloModel(copy).sample([1])


def test_damaged_files_are_named(copy):
    (copy / "energy_1.stablehlo").write_bytes(b"MLnothing")
    with pytest.raises(RunError, match=r"energy_1\.stablehlo cannot be compiled"):
        StableHloModel(copy).energy(some_images(1))
    (copy / "energy_1.stablehlo").unlink()
    with pytest.raises(RunError, match=r"energy_1\.stablehlo cannot be compiled .*No such file"):
        StableHloModel(copy).energy(some_images(1))
    (copy / "weights.npz").write_bytes(b"nothing")
    with pytest.raises(InvalidArgument, match=r"weights\.npz"):
        StableHloModel(copy).energy(some_images(3))


def test_without_jaxlib_the_error_says_how_to_install_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "jaxlib", None)
    with pytest.raises(InvalidArgument, match=r"`folder` must be run with jaxlib.*pip install"):
        StableHloModel(folder)
