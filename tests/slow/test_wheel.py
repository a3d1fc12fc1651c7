"""The wheel that pip builds: installed elsewhere, it trains and samples from another folder."""

import pathlib
import subprocess
import sys
import sysconfig
import zipfile

import pytest

from tests.helpers.small_runs import ROOT, environment, flags

SOURCES = ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "NOTICE", "tf_mdsm")
# An entrance of every floor, and a file that is no module.
PROGRAM = """
import importlib.resources
import tf_mdsm
from tf_mdsm.evaluation import report
assert tf_mdsm.EnergyModel and tf_mdsm.build_network
assert importlib.resources.files("tf_mdsm.evaluation").joinpath("report.html.jinja").is_file()
print(tf_mdsm.__file__)
"""


def run(*arguments: object, folder: pathlib.Path, **variables: str) -> str:
    """Runs a program in a folder, without this project on the path; what it printed."""
    variables = {**environment(), **variables}
    variables.pop("PYTHONPATH", None)
    done = subprocess.run(
        [*map(str, arguments)],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """The wheel, built from a copy of the sources, so that nothing is written beside them."""
    folder = tmp_path_factory.mktemp("wheel")
    run("cp", "-r", *(ROOT / name for name in SOURCES), folder, folder=folder)
    without_downloads = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run(
        *(sys.executable, "-m", "pip", "wheel", *without_downloads, "--wheel-dir=built", "."),
        folder=folder,
    )
    (path,) = (folder / "built").glob("tf_mdsm-*.whl")
    return path


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> pathlib.Path:
    """The folder of programs of an environment with the wheel, and with our dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, folder=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Dependencies are read from the environment of the tests; an editable tf_mdsm there is not,
    # since its own .pth file has no effect at this place.
    paths = {sysconfig.get_path("purelib"), *(p for p in sys.path if p.endswith("site-packages"))}
    (packages / "dependencies.pth").write_text("\n".join(sorted(paths)) + "\n")
    run(
        *(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"),
        *("--force-reinstall", "--ignore-installed", wheel),
        folder=folder,
    )
    return folder / "bin"


def test_the_wheel_holds_the_package_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        required = archive.read(metadata).decode()
        for name in ("LICENSE", "NOTICE"):
            place = metadata.replace("METADATA", f"licenses/{name}")
            assert archive.read(place) == (ROOT / name).read_bytes()
    assert "\nLicense-Expression: Apache-2.0\n" in required
    files = (path for path in (ROOT / "tf_mdsm").rglob("*") if path.is_file())
    assert names == {p.relative_to(ROOT).as_posix() for p in files if "__pycache__" not in p.parts}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert f"\nRequires-Dist: {line}\n" in required


def test_it_works_in_another_folder(programs, tmp_path):
    imported = run(programs / "python", "-c", PROGRAM, folder=tmp_path)
    assert pathlib.Path(imported.strip()).is_relative_to(programs.parent)
    assert "    tf-mdsm --config=" in run(programs / "tf-mdsm", "--help", folder=tmp_path)

    arguments = flags(training__num_steps=10)
    run(programs / "tf-mdsm", *arguments, "--workdir=run", folder=tmp_path)
    drawn = run(programs / "tf-mdsm", "--workdir=run", "--mode=sample", folder=tmp_path)
    written = [tmp_path / line for line in drawn.splitlines()]
    assert written
    assert all(path.exists() for path in written)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_of_keras_is_refused_in_one_sentence(programs, tmp_path, backend):
    """In a process of its own, where Keras has not been imported: it need not be installed."""
    program = (
        "import tf_mdsm\n"
        "try:\n    tf_mdsm.EnergyModel\n"
        "except ValueError as error:\n    print(error)\n"
    )
    answer = run(programs / "python", "-c", program, folder=tmp_path, KERAS_BACKEND=backend)
    assert answer.startswith('`KERAS_BACKEND` must be "tensorflow" for tf_mdsm: ')
    assert answer.count("\n") == 1


def test_the_help_needs_no_tensorflow(programs, tmp_path):
    """TensorFlow that ends the process when it is loaded."""
    (tmp_path / "tensorflow.py").write_text("raise SystemExit(99)")
    program = "import sys; from tf_mdsm.main import main; sys.exit(main(['tf-mdsm', '--help']))"
    assert "--mode=MODE" in run(programs / "python", "-c", program, folder=tmp_path)
