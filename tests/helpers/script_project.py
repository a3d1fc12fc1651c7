"""A project in which a script of `launch/` runs with an interpreter that only records."""

import pathlib

from tests.helpers.small_runs import ROOT


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
