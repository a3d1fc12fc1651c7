"""Writing a SavedModel: complete, or not at all, and with the answers of the model in memory."""

import json
import os
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.known_export import LIMIT, known_energy, served_energy, spelled
from tests.helpers.served_inputs import SHAPE, some_images
from tests.helpers.served_model import Model
from tf_mdsm.errors import RunError
from tf_mdsm.serving import saved_model


def write(served, folder, **provenance) -> None:
    saved_model.write_saved_model(served, str(folder), image_shape=SHAPE, provenance=provenance)


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_holds_the_model_its_origin_and_nothing_else(tmp_path):
    for name, age in (("old", 2 * 86_400), ("new", 0)):
        leftover = tmp_path / f".partial-folder-{name}"
        leftover.mkdir()
        os.utime(leftover, (time.time() - age,) * 2)
    write(served_energy(half=0.25), tmp_path / "3", step=7, config={"seed": 1})
    # The new temporary folder may belong to an export that is still running.
    assert sorted(os.listdir(tmp_path)) == [".partial-folder-new", "3"]
    assert (tmp_path / "3").stat().st_mode & 0o777 == 0o777 & ~current_umask()
    extra = tmp_path / "3" / "assets.extra"
    assert sorted(os.listdir(extra)) == ["tf_mdsm.json", "tf_serving_warmup_requests"]
    written = json.loads((extra / "tf_mdsm.json").read_text())
    assert written == {"max_batch_size": LIMIT, "step": 7, "config": {"seed": 1}}
    model, images = Model(str(tmp_path)), some_images(2)
    energy = model.run("energy", {"images": images})["energy"]
    np.testing.assert_allclose(energy, known_energy(images) / 2, rtol=1e-5)
    samples = model.run("sample", {"seed": np.arange(3)})["images"]
    np.testing.assert_array_equal(samples, spelled(range(3)))


def test_a_model_with_other_weights_is_not_written(tmp_path, monkeypatch):
    """The written model is loaded and compared before its folder appears."""
    save = tf.saved_model.save

    def save_then_change(served, *arguments, **options):
        save(served, *arguments, **options)
        (weight,) = served.variables
        weight.assign(1.01 * weight)

    monkeypatch.setattr(tf.saved_model, "save", save_then_change)
    # The sampled image, of seed 0, is black: its energy is 0 whatever the weight.
    with pytest.raises(RunError, match=r"not exported: energy: energy .* differs by 9\.9e-03"):
        write(served_energy(), tmp_path / "1")
    assert os.listdir(tmp_path) == []


def test_a_model_with_infinite_energies_is_not_written(tmp_path):
    with pytest.raises(RunError, match=r"not exported: \w+: energy is not finite"):
        write(served_energy(half=np.inf), tmp_path / "1")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=f"{tmp_path}/file/1 could not be written .*exists"):
        write(served_energy(), tmp_path / "file" / "1")


def test_an_error_of_tensorflow_while_writing_is_reported(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "no space\nleft")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(RunError, match=r"/1 could not be written \(no space left\)"):
        write(served_energy(), tmp_path / "1")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    def save(*_, **__):
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "mine").touch()

    monkeypatch.setattr(tf.saved_model, "save", save)
    monkeypatch.setattr(saved_model, "_require_same_answers", lambda *_: None)
    with pytest.raises(RunError, match="could not be written"):
        write(served_energy(), tmp_path / "1")
    assert os.listdir(tmp_path) == ["1"]
    assert os.listdir(tmp_path / "1") == ["mine"]
