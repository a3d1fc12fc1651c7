"""What every module keeps to."""

import ast
import subprocess
import sys

import pytest
from small_runs import ROOT

PACKAGE = ROOT / "tf_mdsm"


def modules() -> list[str]:
    names = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(".".join(name.parts) for name in names if name.name != "__init__")


def test_configs_import_the_package_only():
    for path in (ROOT / "configs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module in ("ml_collections", "tf_mdsm.config"), path.name


def test_settings_are_checked_without_tensorflow():
    program = "import sys, tf_mdsm.main; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


def test_public_names_exist():
    import tf_mdsm

    for name in tf_mdsm.__all__:
        assert getattr(tf_mdsm, name) is not None
    with pytest.raises(AttributeError):
        _ = tf_mdsm.nothing


def test_modules_stay_small():
    for module in set(modules()) - {"config.defaults"}:  # A list, whatever its length.
        lines = len((PACKAGE / (module.replace(".", "/") + ".py")).read_text().splitlines())
        assert lines <= 260, f"{module} has {lines} lines; does it hold more than one idea?"
