"""What all tests share."""

import os

# Before TensorFlow is imported: quiet, and no search for accelerators.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=4, help="how often to kill a training run")
