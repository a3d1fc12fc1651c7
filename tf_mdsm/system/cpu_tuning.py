"""Settings of the process that make TensorFlow fast on CPUs: memory, oneDNN and threads."""

import ctypes
import os
import platform
import sys

__all__ = ["compute_parts_at_once", "keep_freed_memory", "num_parts_at_once", "tune_process"]

# TensorFlow's own environment variables: the threads of one operation, and how many operations it
# computes at once.
_THREADS_OF_OPERATION, _OPERATIONS_AT_ONCE = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"

# The number of cores on which parts of a batch at once were measured to be faster.
_CORES_FOR_PARTS = 2

# Numbers of the parameters of mallopt (malloc.h), and the value of each in bytes.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_MALLOC_PARAMETERS = {_TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**26, _MMAP_THRESHOLD: 2**30}


def tune_process() -> None:
    """Makes this process keep freed memory, and use oneDNN's convolutions on x86 processors.

    Must be called before TensorFlow is imported.

    By itself TensorFlow uses oneDNN only on processors with instructions for neural networks
    (AVX512_VNNI and later). With AVX2 alone its own convolutions run at half the speed of
    oneDNN's. If the environment variable TF_ENABLE_ONEDNN_OPTS is set, it is left unchanged.
    """
    keep_freed_memory()
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def keep_freed_memory() -> bool:
    """Makes this process keep the memory that it frees, and use it for the next allocations.

    A training step frees its activations, some hundred megabytes, and the next step needs as
    much. By default glibc's malloc returns blocks of that size to the kernel, which has to clear
    every page before it hands it out again: up to half of the time of a step on a CPU. The peak
    of memory stays the same, because kept memory is used again. Other C libraries are left
    unchanged.

    Returns:
        Whether the process keeps freed memory now.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    accepted = [mallopt(*parameter) for parameter in _MALLOC_PARAMETERS.items()]
    return all(accepted)


def compute_parts_at_once() -> None:
    """Makes TensorFlow compute each operation on one core, and one operation on each core.

    An energy model then divides a batch into as many parts as there are cores, and TensorFlow
    computes the parts at the same time (`num_parts_at_once`). By default all cores share each
    operation and wait for each other at its end. A step has hundreds of operations, most of them
    shorter than a millisecond, so the waiting takes a large part of its time.

    This suits a process that computes gradients of energies and little else: what is not divided
    runs on one core. It is done on two cores only, where it was measured; there a part of a batch
    is still large. Nothing is changed if the environment sets one of TensorFlow's numbers of
    threads, or if TensorFlow has been imported.
    """
    is_too_late = "tensorflow" in sys.modules
    is_set = _THREADS_OF_OPERATION in os.environ or _OPERATIONS_AT_ONCE in os.environ
    if is_too_late or is_set or _usable_cores() != _CORES_FOR_PARTS:
        return
    os.environ[_THREADS_OF_OPERATION] = "1"
    os.environ[_OPERATIONS_AT_ONCE] = str(_CORES_FOR_PARTS)


def num_parts_at_once() -> int:
    """The number of parts of a batch that TensorFlow computes at the same time, at least 1.

    It is the number of operations at once if the environment allows each of them one thread, as
    `compute_parts_at_once` sets it, and 1 otherwise.
    """
    at_once = os.environ.get(_OPERATIONS_AT_ONCE, "")
    if os.environ.get(_THREADS_OF_OPERATION) != "1" or not at_once.isdecimal():
        return 1
    return max(1, int(at_once))


def _usable_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
