"""A project in which a script of `launch/` runs with an interpreter that only records."""

import pathlib
import subprocess

from tests.helpers.small_runs import ROOT

# An interpreter that writes its arguments to the file LOG. A training reaches its last step, 20. If
# WAIT is set, it prints its process number, waits for a signal and saves step 10, as the program
# does: a second SIGTERM or SIGINT would end it before, and after SIGINT its exit status is 130.
TRAINING = """#!/bin/bash
printf '%s\\n' "$*" >> "$LOG"
if [[ "$*" != *--config=* || "$*" == *--mode=* ]]; then exit; fi
step=20 stopped=
if [ -n "${WAIT:-}" ]; then
  trap 'trap - TERM; stopped=0' TERM
  trap 'trap - INT; stopped=130' INT
  trap 'stopped=0' HUP USR1
  echo "training $$"
  while [ -z "$stopped" ]; do sleep 0.02; done
  sleep 0.2
  step=10
fi
arguments="$*"
run="${arguments##*--workdir=}"
mkdir -p "$run/checkpoints"
printf '{\\n  "training": {\\n    "num_steps": 20\\n  }\\n}\\n' > "$run/config.json"
echo "model_checkpoint_path: \\"step-$step\\"" > "$run/checkpoints/checkpoint"
exit "${stopped:-0}"
"""


def script_project(folder: pathlib.Path, script: str, python: str) -> pathlib.Path:
    """Copies a script into a project whose environment is ready.

    Args:
        folder: where the project is made.
        script: the script's name in `launch/`.
        python: text of the environment's interpreter, a script of bash.

    Returns:
        the project's folder.
    """
    project = folder / "project"
    for name in ("launch/environment.sh", f"launch/{script}"):
        copy = project / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((ROOT / name).read_text())
    for name in ("requirements.lock", "requirements.txt", "pyproject.toml"):
        (project / name).write_text("1")
    interpreter = project / ".venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text(python)
    interpreter.chmod(0o755)
    return project


def start(
    project: pathlib.Path, script: str, *arguments: str, **environment: str
) -> subprocess.Popen:
    """The script, called from another folder, in a group of processes of its own."""
    return subprocess.Popen(
        ["bash", str(project / "launch" / script), *arguments],
        cwd=project.parent,
        env={"PATH": "/usr/bin:/bin", "LOG": str(project / "log"), "PYTHON": "true", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def training_of(script: subprocess.Popen) -> int:
    """The process number of a script's training that waits for a signal."""
    for line in script.stdout:
        if line.startswith("training "):
            return int(line.split()[1])
    raise AssertionError("the script ended before the training")


def programs(project: pathlib.Path) -> list[str]:
    """The calls of the program itself, from its interpreter's LOG."""
    calls = (project / "log").read_text().splitlines()
    return [call for call in calls if call.startswith("-m tf_mdsm.main")]
