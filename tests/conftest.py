"""What all tests share: settings of the process, a limit of time, and runs that are made once."""

import fcntl
import os
import pathlib
import shutil
import time

import pytest

from tf_mdsm.system.cpu_tuning import tune_process

# Before TensorFlow is imported: quiet, and no search for accelerators.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Several files at a time: threads that wait for each other's cores take up to twice the time.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

tune_process()

SLOW = pathlib.Path(__file__).parent / "slow"
# Seconds that a test outside of tests/slow may keep one processor busy, fixtures not counted: in a
# process alone (-n0), and beside other work, which was seen to make it three times as many.
LIMIT_SECONDS = 20.0 if "PYTEST_XDIST_WORKER" in os.environ else 5.0


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="also the tests of tests/slow")
    parser.addoption("--kills", type=int, default=2, help="how often to kill a training run")


def pytest_ignore_collect(collection_path, config):
    """Leaves tests/slow out, unless --all is given or an argument names it."""
    if collection_path != SLOW or config.getoption("--all"):
        return None
    named = [pathlib.Path(str(argument).split("::")[0]).resolve() for argument in config.args]
    return not any(path == SLOW or SLOW in path.parents for path in named)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fails a test outside of tests/slow that takes longer than `LIMIT_SECONDS`."""
    begin = _processor_seconds()
    yield
    seconds = _processor_seconds() - begin
    if SLOW not in item.path.parents and seconds > LIMIT_SECONDS:
        pytest.fail(
            f"took {seconds:.1f} s of a processor, more than {LIMIT_SECONDS:.0f}: "
            "make it cheaper, or move it to tests/slow",
            pytrace=False,
        )


def _processor_seconds() -> float:
    """Seconds that this process and its ended children have kept a processor busy."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def pytest_xdist_make_scheduler(config, log):
    """One file after the other to a free worker; all files that use the server to one of them."""
    from xdist.scheduler import LoadScopeScheduling

    class FileScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return "serving" if "serving" in file else file

    return FileScheduling(config, log)


def made_once(tmp_path_factory, name: str, make) -> pathlib.Path:
    """The folder that `make(folder)` fills; all workers of a test session share it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, complete = root / name, root / f"{name}.complete"
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            complete.touch()
    return folder


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """The folder of a short training run. Tests copy it before they change it."""
    from tests.helpers.small_runs import small_config
    from tf_mdsm.runs.train import train

    return made_once(
        tmp_path_factory,
        "small_run",
        lambda folder: train(small_config(training__num_steps=10), str(folder)),
    )


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The folder of an uninterrupted run of the small recipe, to compare others with."""
    from tests.helpers.small_runs import small_config
    from tf_mdsm.runs.train import train

    return made_once(tmp_path_factory, "whole", lambda folder: train(small_config(), str(folder)))


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of that run, which a test may change."""
    return shutil.copytree(whole, tmp_path / "copied")


@pytest.fixture(scope="module")
def workdir(small_run, tmp_path_factory):
    """A copy of that run for the tests of one file, which may add to it."""
    return shutil.copytree(small_run, tmp_path_factory.mktemp("copied") / "run")


@pytest.fixture(scope="session")
def exported_run(small_run, tmp_path_factory):
    """A copy of that run with a version of its model exported as `export/1`."""
    from tf_mdsm.config.file import get_config
    from tf_mdsm.runs.export import export

    def make(folder):
        shutil.copytree(small_run, folder, dirs_exist_ok=True)
        written = export(get_config(str(folder)), str(folder))
        assert written == [str(folder / "export" / "1")]

    return made_once(tmp_path_factory, "exported_run", make)


@pytest.fixture(scope="session")
def model_server(exported_run):
    """A server of it that merges requests."""
    from tests.helpers.serving import serving

    with serving(exported_run / "export", "--merge") as running:
        yield running
