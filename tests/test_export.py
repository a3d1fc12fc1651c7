"""The exported model: other programs that load it get the answers of the model in memory."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from small_runs import call, environment
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import prediction_log_pb2

from tf_mdsm.config.file import get_config
from tf_mdsm.errors import RunError
from tf_mdsm.runs.export import export
from tf_mdsm.runs.run import load_run
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.training.checkpoints import restore_weights

SHAPE = (8, 8, 1)


class Session:
    """A version-1 session with an export, fed without checks of shapes, as a server does."""

    def __init__(self, folder):
        with tf.Graph().as_default():
            self._session = tf.compat.v1.Session()
            meta = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        self.signatures = meta.signature_def

    def run(self, name: str, **inputs) -> dict[str, np.ndarray]:
        signature = self.signatures[name]
        outputs = list(signature.outputs)
        options = config_pb2.CallableOptions(
            feed=[signature.inputs[key].name for key in inputs],
            fetch=[signature.outputs[key].name for key in outputs],
        )
        answers = self._session._make_callable_from_options(options)(*inputs.values())
        return dict(zip(outputs, answers, strict=True))


@pytest.fixture(scope="module")
def session(exported_run):
    return Session(exported_run / "export" / "1")


@pytest.fixture(scope="module")
def live(exported_run):
    """The model in memory, and its sampler."""
    config = get_config(str(exported_run))
    run = load_run(config, str(exported_run))
    return run.model, run.sampler


def some_images(count: int, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(1).uniform(size=(count, *SHAPE)).astype(np.float32)


def upper_half_known(count: int) -> np.ndarray:
    mask = np.zeros((count, *SHAPE[:2], 1), np.float32)
    mask[:, :4] = 1
    return mask


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def int_seeds(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def test_a_session_gives_the_answers_of_the_model_in_memory(session, live):
    model, sampler = live
    noisy = some_images(5, scale=3.0) - 1.0
    for name, key, expected in [
        ("energy", "energy", model.energy(noisy)),
        ("score", "score", model.score(noisy)),
        ("denoise", "images", model.denoise(noisy)),
    ]:
        scale = np.abs(expected).max()
        answer = session.run(name, images=noisy)[key]
        np.testing.assert_allclose(answer, expected, atol=1e-5 * scale, err_msg=name)
    samples = session.run("sample", seed=np.arange(4))
    chain = compile_chain(sampler)(range(4))
    np.testing.assert_array_equal(samples["images"], np.clip(chain.images, 0, 1))
    np.testing.assert_allclose(samples["energy"], model.energy(samples["images"]), rtol=1e-5)
    default = session.run("serving_default", seed=np.arange(4))
    np.testing.assert_array_equal(default["images"], samples["images"])


def test_averaged_weights_are_exported(session, live):
    model, _ = live
    images = some_images(3)
    raw = np.asarray(model.network(images))
    served = session.run("energy", images=images)["energy"]
    assert np.abs(served - raw).max() > 1e-4 * np.abs(raw).max()


def test_an_image_depends_on_its_seed_only(session):
    together = session.run("sample", seed=int_seeds(3, 1, 3, 2**62))["images"]
    np.testing.assert_array_equal(together[0], together[2])
    single = session.run("sample", seed=int_seeds(2**62))["images"]
    np.testing.assert_allclose(together[3], single[0], atol=1e-4)
    assert np.abs(together[0] - together[1]).max() > 0.01


def test_known_pixels_are_returned_exactly(session):
    images, mask = some_images(2), upper_half_known(2)
    filled = session.run("inpaint", images=images, mask=mask, seed=int_seeds(0, 1))["images"]
    np.testing.assert_array_equal(filled[:, :4], images[:, :4])
    assert filled.min() >= 0
    assert filled.max() <= 1
    assert np.abs(filled[:, 4:] - images[:, 4:]).max() > 0.01
    # The values of unknown pixels do not matter.
    other = np.where(mask > 0.5, images, 1e3).astype(np.float32)
    again = session.run("inpaint", images=other, mask=mask, seed=int_seeds(0, 1))["images"]
    np.testing.assert_array_equal(again, filled)


IMAGES, MASK, SEEDS = some_images(2), upper_half_known(2), int_seeds(5, 6)
NOT_FINITE = IMAGES.copy()
NOT_FINITE[1, 2, 3] = np.nan


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        (
            "sample",
            {"seed": int_seeds(-1, 3)},
            r"`seed` must lie in \[0, 2\^62\]. Received:\] \[-1\]",
        ),
        ("sample", {"seed": int_seeds(2**62 + 1)}, "`seed` must lie in"),
        ("sample", {"seed": int_seeds(2**63 - 1)}, "`seed` must lie in"),
        ("sample", {"seed": int_seeds()}, "`seed` must be a batch of 1 to 64"),
        (
            "sample",
            {"seed": np.arange(65)},
            r"`seed` must be a batch of 1 to 64. Received:\] \[65\]",
        ),
        ("sample", {"seed": int_seeds(1, 2)[None]}, r"`seed` must be int64 \[B\]"),
        ("sample", {"seed": np.float64([1.0])}, "double"),
        ("serving_default", {"seed": int_seeds(-1)}, "`seed` must lie in"),
        ("energy", {"images": IMAGES[:, 1:]}, r"float32 \[B, 8, 8, 1\]. Received:\] \[2 7 8 1\]"),
        ("energy", {"images": IMAGES[0]}, r"`images` must be float32 \[B, 8, 8, 1\]"),
        ("energy", {"images": np.float32(1)}, r"`images` must be float32 \[B, 8, 8, 1\]"),
        ("energy", {"images": IMAGES.repeat(3, 3)}, r"`images` must be float32 \[B, 8, 8, 1\]"),
        ("energy", {"images": NOT_FINITE}, r"`images` must be finite. Received:\] \[nan\]"),
        ("score", {"images": NOT_FINITE}, "`images` must be finite"),
        ("denoise", {"images": np.inf * IMAGES}, "`images` must be finite"),
        ("denoise", {"images": some_images(65)}, "`images` must be a batch of 1 to 64"),
        ("score", {"images": IMAGES[:0]}, "`images` must be a batch of 1 to 64"),
        ("inpaint", {"images": IMAGES, "mask": 0.5 * MASK, "seed": SEEDS}, "`mask` must be 1"),
        ("inpaint", {"images": IMAGES, "mask": np.nan * MASK, "seed": SEEDS}, "`mask` must be 1"),
        (
            "inpaint",
            {"images": IMAGES, "mask": MASK[:1], "seed": SEEDS},
            "`mask` must hold one mask",
        ),
        (
            "inpaint",
            {"images": IMAGES, "mask": MASK[..., 0], "seed": SEEDS},
            "`mask` must be float",
        ),
        ("inpaint", {"images": 3 * IMAGES, "mask": MASK, "seed": SEEDS}, r"must lie in \[0, 1\]"),
        ("inpaint", {"images": IMAGES, "mask": MASK, "seed": SEEDS[:1]}, "`seed` must hold one"),
        ("inpaint", {"images": NOT_FINITE, "mask": MASK, "seed": SEEDS}, "must be finite"),
    ],
)
def test_invalid_inputs_are_refused_with_a_reason(session, name, inputs, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        session.run(name, **inputs)
    assert np.isfinite(session.run("energy", images=IMAGES)["energy"]).all()


def test_a_fresh_process_needs_tensorflow_only(exported_run, live, tmp_path):
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
    chain = compile_chain(live[1])(range(4))
    with np.load(tmp_path / "samples.npz") as samples:
        np.testing.assert_array_equal(samples["images"], np.clip(chain.images, 0, 1))


def test_saved_model_cli_runs_the_export(exported_run, session, tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    tool = pathlib.Path(sys.executable).with_name("saved_model_cli")
    command = [str(tool), "run", "--dir", str(exported_run / "export" / "1"), "--tag_set", "serve"]
    command += ["--signature_def", "energy", "--inputs", f"images={tmp_path}/images.npy"]
    command += ["--outdir", str(tmp_path)]
    subprocess.run(command, env=environment(), capture_output=True, check=True, timeout=300)
    expected = session.run("energy", images=IMAGES)["energy"]
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
            *(compiler, "-o", path, pathlib.Path(__file__).parent / "serving_session.c"),
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
    np.testing.assert_array_equal(energies, session.run("sample", seed=np.arange(3))["energy"])
    refused = run(-1)
    assert refused.returncode == 1
    assert "3 " in refused.stderr, "not the status INVALID_ARGUMENT"
    assert "`seed` must lie in [0, 2^62]. Received:] [-1]" in refused.stderr


def test_the_sampler_is_chosen_at_export(exported_run, tmp_path):
    """Settings of sampling and the largest batch size are set on the command line."""
    workdir = tmp_path / "run"
    shutil.copytree(exported_run, workdir)
    for name, age in (("old", 2 * 86_400), ("new", 0)):
        leftover = workdir / "export" / f".partial-folder-{name}"
        leftover.mkdir()
        os.utime(leftover, (time.time() - age,) * 2)
    changes = {"sampling.start": "gaussian", "sampling.hot_steps": 1, "export.max_batch_size": 2}
    result = call(
        f"--workdir={workdir}",
        "--mode=export",
        *(f"--config.{name}={value}" for name, value in changes.items()),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{workdir}/export/2\n"
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 2, result.stderr
    # The new temporary folder may belong to an export that is still running.
    assert sorted(os.listdir(workdir / "export")) == [".partial-folder-new", "1", "2"]
    assert (workdir / "export" / "2").stat().st_mode & 0o777 == 0o777 & ~current_umask()
    config = get_config(str(workdir))
    config.sampling.update(start="gaussian", hot_steps=1)
    expected = compile_chain(load_run(config, str(workdir)).sampler)(range(2)).images
    session = Session(workdir / "export" / "2")
    samples = session.run("sample", seed=np.arange(2))["images"]
    np.testing.assert_array_equal(samples, np.clip(expected, 0, 1))
    with pytest.raises(tf.errors.InvalidArgumentError, match="1 to 2"):
        session.run("sample", seed=np.arange(3))
    written = json.loads((workdir / "export" / "2" / "assets.extra" / "tf_mdsm.json").read_text())
    assert (written["step"], written["weights"]) == (10, "averaged")
    assert written["config"]["sampling"]["start"] == "gaussian"


def test_an_existing_version_is_refused(exported_run):
    before = {path: path.stat().st_mtime_ns for path in exported_run.rglob("*")}
    result = call(f"--workdir={exported_run}", "--mode=export", "--config.export.version=1")
    assert result.returncode == 2
    assert "`config.export.version` must be one that does not exist yet" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert before == {path: path.stat().st_mtime_ns for path in exported_run.rglob("*")}


def test_export_without_checkpoint_is_refused(exported_run, tmp_path):
    shutil.copy(exported_run / "config.json", tmp_path)
    result = call(f"--workdir={tmp_path}", "--mode=export")
    assert result.returncode == 2
    assert "must hold a checkpoint (train first)" in result.stderr
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_gaussian_start_needs_statistics_of_the_images(exported_run, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(exported_run, workdir)
    (workdir / "checkpoints" / "statistics.npz").unlink()
    result = call(f"--workdir={workdir}", "--mode=export", "--config.sampling.start=gaussian")
    assert result.returncode == 2
    assert "`config.sampling.start` must be isotropic" in result.stderr


def test_a_written_model_with_other_answers_is_not_exported(exported_run, tmp_path, monkeypatch):
    """The written model is loaded and compared before its folder appears."""
    workdir = tmp_path / "run"
    shutil.copytree(exported_run, workdir)
    save = tf.saved_model.save

    def save_then_change(served, *arguments, **options):
        save(served, *arguments, **options)
        for variable in served._weights:
            variable.assign(1.01 * variable)

    monkeypatch.setattr(tf.saved_model, "save", save_then_change)
    with pytest.raises(RunError, match=r"not exported: .* differs by"):
        export(get_config(str(workdir)), str(workdir))
    assert os.listdir(workdir / "export") == ["1"]


def test_a_model_with_infinite_energies_is_not_exported(exported_run, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    shutil.copytree(exported_run, workdir)

    def restore_then_steepen(folder, model, which):
        step = restore_weights(folder, model, which)
        for variable in model.inference_network.variables:
            variable.assign(100.0 * variable)
        return step

    monkeypatch.setattr("tf_mdsm.runs.run.restore_weights", restore_then_steepen)
    with pytest.raises(RunError, match=r"not exported: sample: .* is not finite"):
        export(get_config(str(workdir)), str(workdir))
    assert os.listdir(workdir / "export") == ["1"]


def test_warm_up_requests_cover_every_signature(exported_run, session):
    folder = exported_run / "export" / "1" / "assets.extra"
    records = tf.data.TFRecordDataset(str(folder / "tf_serving_warmup_requests"))
    names = set()
    for record in records.as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        answer = session.run(request.model_spec.signature_name, **inputs)
        assert all(np.isfinite(value).all() for value in answer.values())
        names.add(request.model_spec.signature_name)
    assert names == {"sample", "energy", "score", "denoise", "inpaint"}
