"""Writing StableHLO programs: complete, or not at all, with the answers of the model in memory."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.known_export import known_functions
from tests.helpers.served_inputs import SHAPE, some_images
from tf_mdsm.errors import RunError
from tf_mdsm.serving import stablehlo_export
from tf_mdsm.serving.energy_functions import EnergyFunctions
from tf_mdsm.serving.stablehlo_model import StableHloModel

SIGNATURES = ("sample", "energy", "score", "denoise", "noise_level", "inpaint")


def write(folder, batch_sizes=(1,), half=0.5, **changes):
    """Writes the known functions, some of them replaced."""
    factor = tf.Variable(half)
    functions = known_functions(factor)
    stablehlo_export.write_stablehlo(
        EnergyFunctions(**{**vars(functions), **changes}),
        str(folder),
        image_shape=SHAPE,
        batch_sizes=batch_sizes,
        weights={"factor": factor},
        provenance={"step": 7},
    )


def test_a_folder_holds_programs_weights_and_their_description(tmp_path):
    write(tmp_path / "1", batch_sizes=(2, 3))
    description = json.loads((tmp_path / "1" / "model.json").read_text())
    files = {f"{name}_{size}.stablehlo" for name in SIGNATURES for size in (2, 3)}
    assert set(os.listdir(tmp_path / "1")) == {*files, "model.json", "weights.npz"}
    assert description["image_shape"] == list(SHAPE)
    assert description["provenance"]["step"] == 7
    assert "jaxlib" in description["provenance"]
    programs = {program["file"]: program for program in description["programs"]}
    assert set(programs) == files
    energy = programs["energy_3.stablehlo"]
    assert (energy["signature"], energy["batch_size"]) == ("energy", 3)
    assert energy["arguments"] == {"images": {"shape": [3, *SHAPE], "dtype": "float32"}}
    assert (energy["weights"], energy["outputs"]) == (["factor"], ["energy"])
    assert description["weights"]["factor"] == {"shape": [], "dtype": "float32"}
    with np.load(tmp_path / "1" / "weights.npz") as arrays:
        assert set(arrays.files) == set(description["weights"])
        assert arrays["factor"] == 0.5


def test_tensors_that_several_functions_hold_are_kept_once(tmp_path):
    held = tf.random.stateless_normal([4, *SHAPE], [0, 1])
    write(
        tmp_path / "1", (1, 2), denoise_fn=lambda x: x / 2 + held[0], score_fn=lambda x: held[1] - x
    )
    description = json.loads((tmp_path / "1" / "model.json").read_text())
    constants = [name for name in description["weights"] if name.startswith("constant/")]
    shapes = [description["weights"][name]["shape"] for name in constants]
    assert shapes.count([4, *SHAPE]) == 1
    model, images = StableHloModel(tmp_path / "1"), some_images(2)
    np.testing.assert_allclose(model.denoise(images), images / 2 + held[0], rtol=1e-6)


def test_a_model_with_other_answers_is_not_written(tmp_path, monkeypatch):
    savez = np.savez

    def save_others(path, **arrays):
        savez(path, **{name: 1.01 * array for name, array in arrays.items()})

    monkeypatch.setattr(np, "savez", save_others)
    with pytest.raises(RunError, match=r"not exported: energy: energy .* differs by 1\.0e-02"):
        write(tmp_path / "1", sample_fn=lambda seed: tf.zeros([seed.shape[0] or 1, *SHAPE]))
    assert os.listdir(tmp_path) == []


def test_a_function_that_xla_does_not_know_is_named(tmp_path):
    def as_text(images):
        return tf.strings.to_number(tf.strings.as_string(tf.reduce_sum(images, [1, 2, 3])))

    with pytest.raises(RunError, match=r"not exported: sample cannot be lowered .*AsString"):
        write(tmp_path / "1", energy_fn=as_text)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=f"{tmp_path}/file/1 could not be written"):
        write(tmp_path / "file" / "1")
