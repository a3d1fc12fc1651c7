"""Notebooks, executed by Jupyter's own kernel of this interpreter.

python -m tests.helpers.notebooks FILE     executes a notebook, and keeps its outputs
"""

import os
import pathlib
import sys
import tempfile

from tests.helpers.small_runs import ROOT, environment

# Metadata by which every program that opens notebooks finds a kernel.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def variables(folder: pathlib.Path) -> dict[str, str]:
    """Environment variables of a kernel that keeps its files in a folder and finds the package."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **environment(),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def execute(notebook, folder: pathlib.Path, timeout: int = 240) -> None:
    """Runs all cells of a notebook in a folder; their outputs are kept in it."""
    import nbclient

    client = nbclient.NotebookClient(
        notebook, timeout=timeout, resources={"metadata": {"path": str(folder)}}
    )
    client.create_kernel_manager()
    launcher = [sys.executable, "-m", "ipykernel_launcher"]
    client.km.kernel_cmd = [*launcher, "-f", "{connection_file}"]
    client.execute()


def texts(notebook) -> list[str]:
    """What each code cell printed."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(o.get("text", "") for o in cell.outputs) for cell in cells]


def clean(notebook) -> None:
    """Leaves of the outputs what a reader wants: no messages, no times, no second format."""
    notebook.metadata = METADATA
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            for output in cell.outputs:
                output.get("data", {}).pop("image/jpeg", None)


def main(path: pathlib.Path) -> None:
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.environ.update(variables(folder))
        execute(notebook, folder, timeout=600)
    clean(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
