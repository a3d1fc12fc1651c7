"""The backend that matplotlib draws with: pictures become files, so none with windows is needed."""

import os
import sys

__all__ = ["use_file_backend"]


def use_file_backend() -> None:
    """Makes matplotlib draw to files, whatever the environment variable MPLBACKEND says.

    Notebooks set the variable for the commands that a cell starts. Keras loads matplotlib, which
    fails where the notebook's own backend is not installed. A kernel keeps its backend, as does a
    process that has loaded matplotlib already. Must be called before Keras is imported.
    """
    if not {"ipykernel", "matplotlib"} & sys.modules.keys():
        os.environ["MPLBACKEND"] = "agg"
