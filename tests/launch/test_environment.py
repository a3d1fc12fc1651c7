"""`launch/environment.sh`: what is installed into .venv, once, with a pip that only records."""

import pathlib
import subprocess

import pytest

from tests.helpers.small_runs import ROOT

# Stands for the interpreter that creates .venv, and for the one in it.
PYTHON = """#!/bin/bash
case "$*" in
  "-m venv .venv")
    mkdir -p .venv/bin
    cp "$0" .venv/bin/python ;;
  "-m pip install "*)
    [ ! -e offline ] || exit 1
    echo "${*:4}" >> installed ;;
esac
"""
QUIET = "--quiet --disable-pip-version-check "
LOCKED = QUIET + "--require-hashes --no-deps -r requirements.lock"
PACKAGE = QUIET + "--no-deps --no-build-isolation --editable ."


@pytest.fixture
def project(tmp_path):
    """A copy of the files that the script reads."""
    for name in ("launch/environment.sh", "requirements.lock", "requirements.txt"):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text((ROOT / name).read_text())
    (tmp_path / "pyproject.toml").write_text("1")
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def installed(project: pathlib.Path, succeeds: bool = True) -> list[str]:
    """Sources the script from another folder; pip's arguments in each of its calls."""
    done = subprocess.run(
        ["bash", "-c", f"source {project}/launch/environment.sh && pwd"],
        cwd="/",
        env={"PYTHON": str(project / "python"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == succeeds, done.stderr
    assert not succeeds or done.stdout.splitlines()[-1] == str(project)
    log = project / "installed"
    calls = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return calls


def test_the_locked_dependencies_and_the_package_are_installed_once(project):
    assert installed(project) == [LOCKED, PACKAGE]
    assert installed(project) == []


@pytest.mark.parametrize(
    ("changed", "calls"),
    [
        ("requirements.lock", [LOCKED]),
        ("pyproject.toml", [PACKAGE]),
        ("requirements.txt", [PACKAGE]),
    ],
)
def test_a_changed_file_is_installed_again(project, changed, calls):
    installed(project)
    (project / changed).write_text("2")
    assert installed(project) == calls
    assert installed(project) == []


def test_after_a_failure_it_is_tried_again(project):
    (project / "offline").touch()
    assert installed(project, succeeds=False) == []
    (project / "offline").unlink()
    assert installed(project) == [LOCKED, PACKAGE]


def test_setuptools_which_builds_the_package_is_locked():
    assert "\nsetuptools==" in (ROOT / "requirements.lock").read_text()
