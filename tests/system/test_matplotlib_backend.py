"""The backend of matplotlib: files, except in a notebook's own process."""

import os
import sys
import types

import pytest

from tf_mdsm.system.matplotlib_backend import use_file_backend


@pytest.fixture
def backend(monkeypatch):
    """A process in which a notebook has set the variable, and nothing is loaded."""
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for name in ("matplotlib", "ipykernel"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("backend")
def test_a_command_draws_to_files():
    use_file_backend()
    assert os.environ["MPLBACKEND"] == "agg"


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", ["matplotlib", "ipykernel"])
def test_a_notebook_keeps_its_own(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    use_file_backend()
    assert os.environ["MPLBACKEND"].startswith("module://")
