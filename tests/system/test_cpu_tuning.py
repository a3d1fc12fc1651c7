"""CPU tuning of the process: what is set, and what is left as it is."""

import ctypes
import os
import platform
import sys
import types

import pytest

import tf_mdsm
from tf_mdsm.system import cpu_tuning

# Numbers of malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD.
PARAMETERS = {-1: 2**31 - 1, -2: 2**26, -3: 2**30}


def c_library(monkeypatch, **functions):
    library = types.SimpleNamespace(**functions)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)


@pytest.mark.parametrize("accepted", [0, 1])
def test_malloc_is_told_to_keep_memory(monkeypatch, accepted):
    """It answers 1 for each parameter that it accepts."""
    calls = {}

    def mallopt(parameter, value):
        calls[parameter] = value
        return accepted if parameter == -3 else 1

    c_library(monkeypatch, mallopt=mallopt)
    assert cpu_tuning.keep_freed_memory() is bool(accepted)
    assert calls == PARAMETERS


def test_other_c_libraries_are_left_unchanged(monkeypatch):
    c_library(monkeypatch)
    assert not cpu_tuning.keep_freed_memory()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_glibc_accepts_the_parameters():
    assert cpu_tuning.keep_freed_memory()


@pytest.mark.parametrize(
    ("machine", "before", "after"),
    [("x86_64", None, "1"), ("AMD64", None, "1"), ("x86_64", "0", "0"), ("aarch64", None, None)],
)
def test_onednn_is_used_unless_the_environment_says_otherwise(monkeypatch, machine, before, after):
    name = "TF_ENABLE_ONEDNN_OPTS"
    monkeypatch.setenv(name, before or "")
    if before is None:
        monkeypatch.delenv(name)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    cpu_tuning.tune_process()
    assert os.environ.get(name) == after


INTRA, INTER = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"


@pytest.fixture
def threads(monkeypatch):
    """A process of two cores before TensorFlow is imported; sets the numbers of threads."""

    def set_threads(intra=None, inter=None):
        for name, value in ((INTRA, intra), (INTER, inter)):
            monkeypatch.setenv(name, value or "")
            if value is None:
                monkeypatch.delenv(name)

    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 7}, raising=False)
    set_threads()
    return set_threads


def test_two_cores_compute_two_parts_at_once(threads):
    assert cpu_tuning.num_parts_at_once() == 1
    cpu_tuning.compute_parts_at_once()
    assert (os.environ[INTRA], os.environ[INTER]) == ("1", "2")
    assert cpu_tuning.num_parts_at_once() == 2


@pytest.mark.parametrize("cores", [{0}, {0, 1, 2}, set(range(64))])
def test_other_numbers_of_cores_share_each_operation(threads, monkeypatch, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: cores, raising=False)
    cpu_tuning.compute_parts_at_once()
    assert INTRA not in os.environ
    assert INTER not in os.environ


def test_it_is_too_late_after_tensorflow(threads, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", types.ModuleType("tensorflow"))
    cpu_tuning.compute_parts_at_once()
    assert INTRA not in os.environ


@pytest.mark.parametrize(("intra", "inter"), [("2", None), ("1", None), (None, "3")])
def test_numbers_of_threads_in_the_environment_are_kept(threads, intra, inter):
    threads(intra, inter)
    cpu_tuning.compute_parts_at_once()
    assert (os.environ.get(INTRA), os.environ.get(INTER)) == (intra, inter)
    assert cpu_tuning.num_parts_at_once() == 1


@pytest.mark.parametrize(
    ("intra", "inter", "parts"),
    [("1", "4", 4), ("1", "1", 1), ("1", "0", 1), ("1", "many", 1), ("2", "4", 1)],
)
def test_parts_follow_from_the_numbers_of_threads(threads, intra, inter, parts):
    threads(intra, inter)
    assert cpu_tuning.num_parts_at_once() == parts


def test_the_first_use_of_a_public_name_tunes_the_process(monkeypatch):
    """Once, and nothing does when the package is only imported."""
    calls = []
    monkeypatch.setattr(cpu_tuning, "tune_process", lambda: calls.append("tuned"))
    tf_mdsm._prepare_process.cache_clear()
    assert tf_mdsm.__version__
    assert calls == []
    for _ in range(2):
        assert tf_mdsm.NoiseLevels
        assert tf_mdsm.default_config
    assert calls == ["tuned"]
