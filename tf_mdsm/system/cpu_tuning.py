"""Settings of the process that make TensorFlow fast on CPUs: memory allocation and oneDNN."""

import ctypes
import os
import platform

__all__ = ["keep_freed_memory", "tune_process"]

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
