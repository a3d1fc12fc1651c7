"""What pip installs: the files of the package, all of them and no others, and a command."""

import importlib
import os

from setuptools import Distribution
from setuptools.command.build_py import build_py
from setuptools.config.pyprojecttoml import read_configuration

from tests.helpers.small_runs import ROOT
from tf_mdsm import main as program


def packed_files(monkeypatch) -> set[str]:
    """Paths of the files that setuptools copies into a wheel, from the project's root."""
    monkeypatch.chdir(ROOT)
    distribution = Distribution({"script_name": "setup.py"})
    distribution.parse_config_files(["pyproject.toml"])
    command = build_py(distribution)
    command.finalize_options()
    paths = [path for _, _, path in command.find_all_modules()]
    for _, folder, _, names in command.get_data_files_without_manifest():
        paths += [os.path.join(folder, name) for name in names]
    return {os.path.relpath(path, ROOT) for path in paths}


def test_a_wheel_holds_all_files_of_the_package_and_no_others(monkeypatch):
    paths = (ROOT / "tf_mdsm").rglob("*")
    files = {str(path.relative_to(ROOT)) for path in paths if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    assert "tf_mdsm/evaluation/report.html.jinja" in files
    assert packed_files(monkeypatch) == files


def test_the_license_is_named_everywhere():
    project = read_configuration(ROOT / "pyproject.toml")["project"]
    assert project["license"] == "Apache-2.0"
    assert "\nlicense: Apache-2.0\n" in (ROOT / "CITATION.cff").read_text()
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
    assert "http://www.apache.org/licenses/LICENSE-2.0" in (ROOT / "NOTICE").read_text()


def test_the_command_is_the_program():
    scripts = read_configuration(ROOT / "pyproject.toml")["project"]["scripts"]
    ((name, entry),) = scripts.items()
    assert name == program._COMMAND
    module, function = entry.split(":")
    assert getattr(importlib.import_module(module), function) is program.main
