"""StableHLO exports of trained runs in processes that can import NumPy and jaxlib only."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.served_inputs import some_images, upper_half_known
from tests.helpers.small_runs import ROOT, call, environment, flags
from tf_mdsm.config.file import get_config
from tf_mdsm.randomness import integers
from tf_mdsm.runs.loaded_run import load_run
from tf_mdsm.serving.stablehlo_lowering import lower

SEEDS = np.array([0, 3, 2**53 + 1, 2**62, 7], np.int64)

# Whatever is not of Python, NumPy or jaxlib cannot be imported.
PROGRAM = """
import sys

ALLOWED = {"tf_mdsm", "numpy", "jaxlib", "ml_dtypes"}

class Refused:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Refused())
import numpy as np
from tf_mdsm.serving.stablehlo_model import StableHloModel, StableHloProgram, processor

"""

ANSWERS = """
model = StableHloModel(sys.argv[1])
with np.load("inputs.npz") as inputs:
    images, mask, seeds = inputs["images"], inputs["mask"], inputs["seeds"]
sampled, energies = model.sample(seeds)
np.savez(
    "answers.npz",
    sample_images=sampled,
    sample_energy=energies,
    energy=model.energy(images),
    score=model.score(images),
    denoise=model.denoise(images),
    noise_level=model.noise_level(images),
    inpaint=model.inpaint(images, mask, seeds),
)
"""

BITS = """
with open("bits", "rb") as file:
    artifact = file.read()
program = StableHloProgram.compile(
    artifact, inputs=["seed"], outputs=["bits"], constants={}, device=processor()
)
seeds = np.array([0, 3, 2**53 + 1, 2**62, 7], np.int64)
np.save("bits.npy", np.asarray(program({"seed": seeds})["bits"]))
"""


def run_without_tensorflow(program: str, folder, *arguments) -> None:
    """Runs a program in a folder."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM + program, *map(str, arguments)],
        cwd=folder,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def small_runs(tmp_path_factory):
    """Trained runs by name: the paper's network and chain, and the recommended ones."""
    folder = tmp_path_factory.mktemp("runs")
    kinds = {
        "resnet": {"network__name": "res6", "network__channels": 8},
        "unet": {
            "network__name": "unet",
            "network__head": "distance",
            "sampling__sampler": "multistep",
            "sampling__start": "mixture",
            "training__guide_step": 5,
        },
    }
    for name, fields in kinds.items():
        result = call(f"--workdir={folder / name}", *flags(training__num_steps=20, **fields))
        assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize("name", ["resnet", "unet"])
def test_a_process_without_tensorflow_gives_the_savedmodels_answers(small_runs, name, tmp_path):
    """Within 1e-5 of the largest value, for batches that are full and that are filled up."""
    workdir = shutil.copytree(small_runs / name, tmp_path / "run")
    for settings in (
        ["--config.export.format=stablehlo", "--config.export.batch_sizes=2,1"],
        ["--config.export.format=saved_model"],
    ):
        result = call(f"--workdir={workdir}", "--mode=export", *settings)
        assert result.returncode == 0, result.stderr
    exported = workdir / "export" / "stablehlo" / "1"
    described = json.loads((exported / "model.json").read_text())["provenance"]
    assert (described["step"], described["weights"]) == (20, "averaged")
    images, mask = some_images(5), upper_half_known(5)
    np.savez(tmp_path / "inputs.npz", images=images, mask=mask, seeds=SEEDS)
    run_without_tensorflow(ANSWERS, tmp_path, exported)
    loaded = tf.saved_model.load(str(workdir / "export" / "1")).signatures
    batch, seeds = tf.constant(images), tf.constant(SEEDS)
    sampled = loaded["sample"](seed=seeds)
    expected = {
        "sample_images": sampled["images"],
        "sample_energy": sampled["energy"],
        "energy": loaded["energy"](images=batch)["energy"],
        "score": loaded["score"](images=batch)["score"],
        "denoise": loaded["denoise"](images=batch)["images"],
        "noise_level": loaded["noise_level"](images=batch)["noise_level"],
        "inpaint": loaded["inpaint"](images=batch, mask=tf.constant(mask), seed=seeds)["images"],
    }
    with np.load(tmp_path / "answers.npz") as answers:
        for key, value in expected.items():
            scale = np.abs(value).max()
            np.testing.assert_allclose(answers[key], value, atol=1e-5 * scale, rtol=0, err_msg=key)


def test_seeds_give_the_same_random_bits_without_tensorflow(tmp_path):
    def bits(seed):
        return {"bits": integers(seed, (tf.constant(5), tf.constant(9)), "langevin", 1_000)}

    lowered = lower(bits, {"seed": tf.TensorSpec(SEEDS.shape, tf.int64)}, {})
    (tmp_path / "bits").write_bytes(lowered.artifact)
    run_without_tensorflow(BITS, tmp_path)
    expected = bits(tf.constant(SEEDS))["bits"].numpy()
    assert len(np.unique(expected)) > 4_900
    np.testing.assert_array_equal(np.load(tmp_path / "bits.npy"), expected)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("resnet", {"sampling.sampler": "ancestral"}),
        ("resnet", {"sampling.sampler": "coarse_to_fine"}),
        ("resnet", {"sampling.sampler": "mala"}),
        ("resnet", {"sampling.sampler": "hmc"}),
        ("resnet", {"sampling.sampler": "heun", "sampling.churn": "4"}),
        ("unet", {"sampling.sampler": "heun", "sampling.start": "gaussian"}),
        ("unet", {"guidance": "2", "sampling.guide_sigma_max": "1"}),
    ],
)
def test_every_sampler_is_exported(small_runs, name, changes, tmp_path):
    """The command compares every program with the model in memory before it ends."""
    workdir = shutil.copytree(small_runs / name, tmp_path / "run")
    result = call(
        f"--workdir={workdir}",
        "--mode=export",
        "--config.export.format=stablehlo",
        "--config.export.batch_sizes=2",
        *(f"--config.{field}={value}" for field, value in changes.items()),
    )
    assert (result.returncode, result.stdout) == (0, f"{workdir}/export/stablehlo/1\n"), (
        result.stderr
    )
    config = get_config(str(workdir))
    assert load_run(config, str(workdir)).step == 20
    assert len(os.listdir(workdir / "export" / "stablehlo" / "1")) == 8
