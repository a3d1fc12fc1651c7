"""Training runs that several tests of this folder look at."""

import pathlib

import pytest

from tests.conftest import made_once


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> pathlib.Path:
    """The folder of an uninterrupted run of 40 steps. Tests copy it before they change it."""
    from tests.helpers.small_runs import small_config
    from tf_mdsm.runs.train import train

    return made_once(tmp_path_factory, "whole", lambda folder: train(small_config(), str(folder)))
