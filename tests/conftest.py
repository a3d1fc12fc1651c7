"""What all tests share."""

import os

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


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=2, help="how often to kill a training run")
    parser.addoption("--long", action="store_true", help="also the tests that are marked long")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes long: run with --long"))


@pytest.fixture(scope="session")
def exported_run(tmp_path_factory):
    """The folder of a short training run with a version of its model exported as `export/1`."""
    import small_runs

    from tf_mdsm.runs.export import export
    from tf_mdsm.runs.train import train

    config = small_runs.small_config(training__num_steps=10)
    workdir = tmp_path_factory.mktemp("exported")
    train(config, str(workdir))
    assert export(config, str(workdir)) == [str(workdir / "export" / "1")]
    return workdir


@pytest.fixture(scope="session")
def model_server(exported_run):
    """A server of it that merges requests."""
    from serving_runs import serving

    with serving(exported_run / "export", "--merge") as running:
        yield running
