"""The accelerator's benchmark, rehearsed on a CPU: prepare, run without TensorFlow, collect."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.accelerator import collect, prepare, run
from tests.helpers.small_runs import ROOT, call, environment

pytest.importorskip("jax")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accelerator") / "folder"
    assert prepare.main([f"--output={folder}", "--cases=small"]) == 0
    return folder


def train(case, folder, output, seconds):
    """Trains for at most some seconds on a CPU, in a process that cannot load TensorFlow."""
    blocked = output / "blocked"
    blocked.mkdir()
    for name in ("tensorflow", "keras"):
        (blocked / f"{name}.py").write_text("raise ImportError('there is no such package here')")
    module = "benchmarks.accelerator.jobs"
    done = subprocess.run(
        [sys.executable, "-m", module, f"train:{case}", str(folder), str(output), str(seconds)],
        cwd=ROOT,
        env=environment(PYTHONPATH=f"{blocked}{os.pathsep}{ROOT}", JAX_PLATFORMS="cpu"),
        capture_output=True,
        text=True,
        check=True,
    )
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    job = {f"train:{case}": {"status": "done", "findings": findings}}
    (output / "results.json").write_text(json.dumps(job))
    return output


@pytest.fixture(scope="module")
def results(folder, tmp_path_factory):
    return train("small", folder, tmp_path_factory.mktemp("results"), 60)


def finding(results, key):
    """The findings with a key, in the order in which they were told."""
    (job,) = json.loads((results / "results.json").read_text()).values()
    return [found for found in job["findings"] if key in found]


def require_the_same_computation(results):
    (check,) = [found for found in finding(results, "check") if "worst_gradient" in found]
    # Sums over 64 pixels and 16 images, in another order: some hundred roundings of 6e-8.
    assert check["relative_error_of_losses"] < 1e-5
    assert check["worst_relative_error_of_gradients"] < 1e-4


def test_it_computes_what_tensorflow_computes(results):
    require_the_same_computation(results)


def test_it_trains_alike_twice_and_learns(results):
    (twice,) = [found for found in finding(results, "check") if found["check"] == "determinism"]
    assert twice["equal_arrays"] == twice["arrays"]
    (trained,) = finding(results, "trained_steps")
    losses = np.array(trained["losses"])[:, 0]
    assert losses[-20:].mean() < 0.9 * losses[0]


def test_the_run_folder_draws_the_same_images(folder, results, tmp_path):
    workdir = tmp_path / "run"
    flags = [f"--folder={folder}", f"--results={results}", f"--workdir={workdir}"]
    assert collect.main([*flags, "--case=small"]) == 0
    assert json.loads((workdir / "accelerator.json").read_text())["heun, 1024 images"] > 0
    answer = call("--mode=sample", f"--workdir={workdir}", "--config.sampling.num_samples=32")
    assert answer.returncode == 0, answer.stderr
    paths = (workdir / "samples" / "heun_32.npz", results / "small_heun.npz")
    ours, theirs = (np.load(path)["images"][:32].astype(int) for path in paths)
    # Rounded to 1/255 after nine gradients by two compilers.
    assert np.abs(ours - theirs).max() <= 2


def test_photographs_a_denoiser_at_first_and_a_guide(tmp_path):
    """The recipe's 40 steps, two of them of a plain denoiser; no images are drawn."""
    folder, output, workdir = tmp_path / "folder", tmp_path / "output", tmp_path / "run"
    output.mkdir()
    assert prepare.main([f"--output={folder}", "--cases=small_patches"]) == 0
    results = train("small_patches", folder, output, 600)
    require_the_same_computation(results)
    (trained,) = finding(results, "trained_steps")
    assert trained["trained_steps"] == 40
    flags = [f"--folder={folder}", f"--results={results}", f"--workdir={workdir}"]
    assert collect.main([*flags, "--case=small_patches"]) == 0
    steps = sorted(path.name for path in workdir.glob("checkpoints/**/*.index"))
    assert steps == ["step-20.index", "step-40.index"]
    assert not (workdir / "accelerator.json").exists()


def test_run_gives_each_job_a_process(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    flags = [f"--folder={folder}", f"--output={tmp_path}", "--jobs=describe:small=60"]
    assert run.main(flags) == 0
    assert "describe:small: done" in capsys.readouterr().out
    (found,) = json.loads((tmp_path / "results.json").read_text())["describe:small"]["findings"]
    assert found["platform"] == "cpu"
