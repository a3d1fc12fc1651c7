"""The program in unusual surroundings: names of folders, environment variables, closed streams."""

import os
import subprocess

import pytest

from tests.helpers import small_runs as runs

SHORT = {
    "training__num_steps": 4,
    "training__checkpoint_every": 1,
    "optimizer__schedule": "constant",
}


def run(*arguments: object, **extra: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        runs.command(*arguments),
        cwd=runs.ROOT,
        env=runs.environment(**extra),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def odd_folder(tmp_path_factory):
    """A run of four steps in a folder whose path is a pattern."""
    folder = tmp_path_factory.mktemp("odd") / "lr[1e-3] *" / "é?"
    result = run(*runs.flags(**SHORT), f"--workdir={folder}", MPLBACKEND="module://not_installed")
    assert result.returncode == 0, result.stderr
    return folder


def test_a_folder_of_any_name_is_tidied_and_continued(odd_folder):
    steps = sorted(path.stem for path in (odd_folder / "checkpoints").glob("*.index"))
    assert steps == ["step-2", "step-3", "step-4"]
    result = run(*runs.flags(**SHORT | {"training__num_steps": 6}), f"--workdir={odd_folder}")
    assert "from step 4 to 6" in result.stderr


@pytest.mark.parametrize("mode", ["sample", "restore", "export"])
def test_every_mode_reads_it(odd_folder, mode):
    """With an output that cannot show the folder's name."""
    result = run(f"--workdir={odd_folder}", f"--mode={mode}", PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert "\\xe9" in result.stdout


def test_addresses_leave_nothing_behind(tmp_path):
    for address in ("gs://bucket/run", "file:///tmp/run", "s3://bucket/run", "hdfs://host/run"):
        result = subprocess.run(
            runs.command(f"--config={runs.ROOT}/configs/digits.py", f"--workdir={address}"),
            cwd=tmp_path,
            env=runs.environment(PYTHONPATH=str(runs.ROOT)),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 2, result.stderr
        assert "`--workdir` must be a path" in result.stderr
    assert os.listdir(tmp_path) == []


def test_help_without_docstrings():
    result = subprocess.run(
        [runs.command()[0], "-OO", "-m", "tf_mdsm.main", "--help"],
        cwd=runs.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "--workdir names the run's folder" in result.stdout
