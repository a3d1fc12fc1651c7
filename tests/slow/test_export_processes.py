"""Other programs that load an export: a fresh process, saved_model_cli, a C program."""

import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.served_inputs import some_images
from tests.helpers.served_model import Model
from tests.helpers.small_runs import ROOT, environment
from tf_mdsm.config.file import get_config
from tf_mdsm.runs.run import load_run
from tf_mdsm.samplers.chain import compile_chain


@pytest.fixture(scope="module")
def session(exported_run):
    """The export in a version-1 session of this process."""
    return Model(str(exported_run / "export"))


def test_a_fresh_process_needs_tensorflow_only(exported_run, tmp_path):
    """It needs neither this package nor Keras, and samples the same images, bit for bit."""
    program = f"""
import sys
import numpy as np
import tensorflow as tf

class Refused:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("tf_mdsm", "keras", "tf_keras"):
            raise ImportError(name)

sys.meta_path.insert(0, Refused())
before = set(sys.modules)  # TensorFlow itself imports parts of Keras.

loaded = tf.saved_model.load({str(exported_run / "export" / "1")!r})
samples = loaded.signatures["sample"](seed=tf.range(4, dtype=tf.int64))
new = {{name.split(".")[0] for name in set(sys.modules) - before}}
assert not new & {{"tf_mdsm", "keras", "tf_keras"}}, new
assert "tf_mdsm" not in sys.modules
np.savez("samples.npz", **{{key: value.numpy() for key, value in samples.items()}})
"""
    command = [sys.executable, "-c", program]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    run = load_run(get_config(str(exported_run)), str(exported_run))
    chain = compile_chain(run.model, run.method)(range(4))
    with np.load(tmp_path / "samples.npz") as samples:
        np.testing.assert_array_equal(samples["images"], np.clip(chain.images, 0, 1))


def test_saved_model_cli_runs_the_export(exported_run, session, tmp_path):
    images = some_images(2)
    np.save(tmp_path / "images.npy", images)
    tool = pathlib.Path(sys.executable).with_name("saved_model_cli")
    command = [str(tool), "run", "--dir", str(exported_run / "export" / "1"), "--tag_set", "serve"]
    command += ["--signature_def", "energy", "--inputs", f"images={tmp_path}/images.npy"]
    command += ["--outdir", str(tmp_path)]
    subprocess.run(command, env=environment(), capture_output=True, check=True, timeout=300)
    expected = session.run("energy", {"images": images})["energy"]
    np.testing.assert_allclose(np.load(tmp_path / "energy.npy"), expected, rtol=1e-5)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """`serving_session.c`, compiled and linked with the library of TensorFlow's Python package."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = pathlib.Path(tf.sysconfig.get_lib())
    path = tmp_path_factory.mktemp("program") / "serving_session"
    subprocess.run(
        [
            *(compiler, "-o", path, ROOT / "tests" / "helpers" / "serving_session.c"),
            *(f"-I{tf.sysconfig.get_include()}", f"-L{library}", f"-Wl,-rpath,{library}"),
            *("-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"),
        ],
        check=True,
    )
    return path


def test_a_c_program_loads_and_samples(exported_run, session, program):
    signature = session.signatures["sample"]
    output, index = signature.outputs["energy"].name.split(":")
    seeds = signature.inputs["seed"].name.split(":")[0]

    def run(count: int):
        arguments = [program, exported_run / "export" / "1", seeds, output, index, str(count)]
        return subprocess.run(
            list(map(str, arguments)),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )

    result = run(3)
    assert result.returncode == 0, result.stderr
    energies = np.array(result.stdout.split(), np.float32)
    expected = session.run("sample", {"seed": np.arange(3)})["energy"]
    np.testing.assert_array_equal(energies, expected)
    refused = run(-1)
    assert refused.returncode == 1
    assert "3 " in refused.stderr, "not the status INVALID_ARGUMENT"
    assert "`seed` must lie in [0, 2^62]. Received:] [-1]" in refused.stderr
