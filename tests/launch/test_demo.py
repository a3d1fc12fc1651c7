"""`launch/demo.sh`: what it installs and starts, with an interpreter that only records."""

import subprocess

import pytest

from tests.helpers.script_project import script_project

PYTHON = """#!/bin/bash
printf '%s\\n' "$*" >> "$LOG"
"""


@pytest.fixture
def project(tmp_path):
    """A copy of the script in a project whose environment is ready."""
    return script_project(tmp_path, "demo.sh", PYTHON)


def started(project, *arguments: str) -> tuple[int, list[str]]:
    """The exit status, and what the environment's interpreter was given; called elsewhere."""
    log = project / "log"
    done = subprocess.run(
        ["bash", str(project / "launch" / "demo.sh"), *arguments],
        cwd=project.parent,
        env={"PATH": "/usr/bin:/bin", "LOG": str(log), "PYTHON": "true"},
        capture_output=True,
        text=True,
    )
    return done.returncode, log.read_text().splitlines() if log.exists() else []


def test_the_extra_is_installed_and_the_demonstration_started(project):
    status, calls = started(project, "runs/digits", "--port=9", "--images=my images")
    here = project.parent
    assert status == 0
    assert any(call.endswith("--editable .[demo]") for call in calls)
    assert calls[-1] == (f"-m tf_mdsm.demo {here}/runs/digits --port=9 --images={here}/my images")


def test_an_address_is_passed_on(project):
    _, calls = started(project, "grpc://localhost:8500", "--model=x")
    assert calls[-1] == "-m tf_mdsm.demo grpc://localhost:8500 --model=x"


def test_without_a_source_it_says_what_to_name(project):
    assert started(project) == (2, [])
