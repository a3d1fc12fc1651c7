"""The benchmark of samplers: distances against closed forms, and the command on a small run."""

import gzip
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from scipy import linalg
from small_runs import ROOT, environment

from benchmarks.classifier import frechet_distance, load_labels
from benchmarks.sampler_quality import gradients_taken, main
from tf_mdsm.build import build_images
from tf_mdsm.config import default_config
from tf_mdsm.errors import InvalidArgument


def normal(count, size, seed=0):
    return np.random.default_rng(seed).standard_normal((count, size))


def test_no_distance_to_itself():
    features = normal(500, 16)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
    dead = features * (np.arange(16) > 3)
    assert frechet_distance(dead, dead) == pytest.approx(0, abs=1e-6)


def test_distance_of_shifted_and_scaled_features():
    """|shift|^2 + (scale - 1)^2 tr C."""
    features = normal(500, 8) * np.arange(1, 9)
    expected = 8 * 3.0**2 + np.trace(np.cov(features.T))
    assert frechet_distance(features, 2 * features - features.mean(0) + 3.0) == pytest.approx(
        expected, rel=1e-9
    )


def test_distance_is_that_of_the_matrix_root():
    ours, theirs = normal(400, 8) @ normal(8, 8, 1), normal(300, 8, 2) @ normal(8, 8, 3)
    (m1, c1), (m2, c2) = ((f.mean(0), np.cov(f.T)) for f in (ours, theirs))
    expected = np.sum((m1 - m2) ** 2) + np.trace(c1 + c2 - 2 * linalg.sqrtm(c1 @ c2).real)
    assert frechet_distance(ours, theirs) == pytest.approx(expected, rel=1e-6)


def test_fewer_images_than_features_are_refused():
    with pytest.raises(InvalidArgument, match="as many images as features"):
        frechet_distance(normal(15, 16), normal(100, 16))


def test_labels_of_idx_files(tmp_path):
    labels = np.arange(7, dtype=np.uint8)
    content = b"\0\0\x08\x01" + len(labels).to_bytes(4, "big") + labels.tobytes()
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(content)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))
    for found in load_labels("idx", str(tmp_path), 0.1):
        np.testing.assert_array_equal(found, labels)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(content[:-1])
    with pytest.raises(InvalidArgument, match="IDX files of labels"):
        load_labels("idx", str(tmp_path), 0.1)


def test_labels_of_digits_belong_to_their_images():
    """A linear classifier finds nearly all of them, and would find a tenth of shuffled ones."""
    from sklearn.linear_model import LogisticRegression

    labels, held_out_labels = load_labels("digits", "", 0.1)
    config = default_config()
    config.data.update(source="digits", name="", image_size=8, channels=1)
    sets = build_images(config)
    training, held_out = (images.reshape(len(images), -1) for images in sets)
    model = LogisticRegression(max_iter=500).fit(training, labels)
    assert model.score(held_out, held_out_labels) > 0.9


def test_other_sources_have_no_labels():
    with pytest.raises(InvalidArgument, match="data with labels"):
        load_labels("synthetic", "", 0.1)


def test_gradients_of_images_that_arrive_early():
    energies = np.array([[5.0, 5.0], [4.0, 5.0], [3.0, 5.0], [3.0, 5.0]])
    np.testing.assert_array_equal(gradients_taken(energies, 9, "coarse_to_fine"), [4, 2])
    np.testing.assert_array_equal(gradients_taken(energies, 9, "heun"), [9, 9])


def test_the_command(exported_run, tmp_path, capsys):
    """Table, numbers and plot; what has been drawn is not drawn again."""
    workdir = tmp_path / "run"
    shutil.copytree(exported_run, workdir, ignore=shutil.ignore_patterns("export"))
    arguments = ["", f"--workdir={workdir}", "--num_samples=64"]
    only = "--only=heun 5 gaussian,coarse_to_fine beta 1.0 h0 0.03 gaussian"
    assert main([*arguments, only]) == 0
    folder = workdir / "benchmark"
    report = json.loads((folder / "sampler_quality.json").read_text())
    heun, ascent = report["settings"]
    assert heun["gradients"] == 9
    assert 2 <= ascent["gradients"] <= 201
    assert heun["distance"] > report["held_out_distance"] > 0
    assert heun["seconds"] > 0
    assert (folder / "sampler_quality.png").stat().st_size > 1_000
    drawn = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert len(drawn) == 2
    assert main([*arguments, only, "--without_times"]) == 0
    assert drawn == {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    capsys.readouterr()
    for wrong, message in (
        ([*arguments, "--only=nothing"], "`--only` must"),
        (["", f"--workdir={tmp_path}"], "`--workdir` must"),
        (["", f"--workdir={workdir}", "--num_samples=9"], "`--num_samples` must"),
    ):
        assert main(wrong) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_the_module_runs():
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.sampler_quality", "--help"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
