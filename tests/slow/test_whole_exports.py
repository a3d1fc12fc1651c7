"""Whole exports by the command line, of the networks that are trained: res6 and a U-Net."""

import json
import os
import shutil
import time

import numpy as np
import pytest

from tests.helpers.served_inputs import some_images
from tests.helpers.served_model import Model, Refusal
from tests.helpers.small_runs import call, small_config
from tf_mdsm.config.file import get_config
from tf_mdsm.runs.loaded_run import load_run
from tf_mdsm.runs.run import export, load
from tf_mdsm.runs.train import train
from tf_mdsm.samplers.chain import compile_chain

NETWORKS = {
    "res6": {"network__name": "res6", "network__channels": 2},
    "unet": {"network__name": "unet", "network__channels": 4, "network__head": "distance"},
}


@pytest.mark.parametrize("network", NETWORKS)
def test_an_exported_network_gives_the_answers_of_the_model_in_memory(network, tmp_path):
    """Samples bit for bit; energies, scores and denoised images up to rounding."""
    train(small_config(training__num_steps=2, **NETWORKS[network]), str(tmp_path))
    result = call(f"--workdir={tmp_path}", "--mode=export")
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/export/1\n"), result.stderr
    session = Model(str(tmp_path / "export"))
    run, noisy = load_run(get_config(str(tmp_path)), str(tmp_path)), some_images(5, scale=3.0) - 1
    for name, key, function in [
        ("energy", "energy", run.model.energy),
        ("score", "score", run.model.score),
        ("denoise", "images", run.model.denoise),
        ("noise_level", "noise_level", run.model.noise_level),
    ]:
        expected = np.asarray(function(noisy))
        answer = session.run(name, {"images": noisy})[key]
        np.testing.assert_allclose(
            answer, expected, atol=1e-5 * np.abs(expected).max(), err_msg=name
        )
    samples = session.run("sample", {"seed": np.arange(4)})["images"]
    expected = compile_chain(run.model, run.method)(range(4)).images
    np.testing.assert_array_equal(samples, np.clip(expected, 0, 1))


@pytest.mark.parametrize("export_format", ["saved_model", "stablehlo"])
def test_a_network_that_computes_in_bfloat16_is_exported(export_format, tmp_path):
    """A session rounds to 8 bits in other places than eager calls do."""
    pytest.importorskip("jaxlib")
    bfloat16 = {"training__precision": "mixed_bfloat16", "training__num_steps": 3}
    train(small_config(**bfloat16, **NETWORKS["unet"]), str(tmp_path))
    result = call(
        f"--workdir={tmp_path}", "--mode=export", f"--config.export.format={export_format}"
    )
    assert result.returncode == 0, result.stderr


def test_the_sampler_is_chosen_at_export(exported_run, tmp_path):
    """Settings of sampling and the largest batch size are set on the command line."""
    workdir = shutil.copytree(exported_run, tmp_path / "run")
    leftover = workdir / "export" / ".partial-folder-old"
    leftover.mkdir()
    os.utime(leftover, (time.time() - 2 * 86_400,) * 2)
    changes = {"sampling.start": "gaussian", "sampling.hot_steps": 1, "export.max_batch_size": 2}
    result = call(
        f"--workdir={workdir}",
        "--mode=export",
        *(f"--config.{name}={value}" for name, value in changes.items()),
    )
    assert (result.returncode, result.stdout) == (0, f"{workdir}/export/2\n"), result.stderr
    # What is written, and that it is compared with the model in memory.
    assert len(result.stderr.splitlines()) == 2, result.stderr
    assert sorted(os.listdir(workdir / "export")) == ["1", "2"]
    config = get_config(str(workdir))
    config.sampling.update(start="gaussian", hot_steps=1)
    run = load_run(config, str(workdir))
    expected = compile_chain(run.model, run.method)(range(2)).images
    session = Model(str(workdir / "export"))
    samples = session.run("sample", {"seed": np.arange(2)})["images"]
    np.testing.assert_array_equal(samples, np.clip(expected, 0, 1))
    with pytest.raises(Refusal, match="1 to 2"):
        session.run("sample", {"seed": np.arange(3)})
    # The statistics are among the weights, not in the graph, whose size is limited.
    graph = (workdir / "export" / "2" / "saved_model.pb").read_bytes()
    for statistics in run.method.start.variables:
        assert statistics.numpy().tobytes() not in graph
    written = json.loads((workdir / "export" / "2" / "assets.extra" / "tf_mdsm.json").read_text())
    assert (written["step"], written["weights"]) == (10, "averaged")
    assert written["config"]["sampling"]["start"] == "gaussian"


def test_an_export_from_python_answers_as_the_run(small_run, tmp_path):
    run = load(small_run)
    export(run, tmp_path / "served" / "3")
    session, noisy = Model(str(tmp_path / "served")), some_images(5, scale=3.0) - 1
    assert session.version == 3
    energy = session.run("energy", {"images": noisy})["energy"]
    np.testing.assert_allclose(energy, run.model.energy(noisy), rtol=1e-5)
    samples = session.run("sample", {"seed": np.arange(4)})["images"]
    np.testing.assert_array_equal(np.round(255 * samples), run.sample(4))
