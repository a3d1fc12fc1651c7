"""What a process is told before TensorFlow's first operation, so that CPUs are fast."""

import ctypes
import os
import platform

__all__ = ["keep_freed_memory", "tune_process"]

# malloc.h's numbers, and what each is set to, in bytes.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = {_TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 2**26, _MMAP_THRESHOLD: 2**30}


def tune_process() -> None:
    """Keeps freed memory, and has convolutions by oneDNN on every x86 processor.

    TensorFlow itself takes oneDNN only where it finds instructions made for networks
    (AVX512_VNNI and later); where there is AVX2 alone its own convolutions are half as fast. What
    the environment says already (TF_ENABLE_ONEDNN_OPTS) stays.
    """
    keep_freed_memory()
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def keep_freed_memory() -> bool:
    """Makes this process keep the memory that it frees, for what it needs next.

    A training step frees its activations, some hundred megabytes, and the next one needs as much.
    Left alone, glibc's malloc gives such blocks back to the kernel, which has to clear every page
    of them again before it is used: up to half of a step's time on a CPU. Peak memory stays, as
    what is kept is used. Other C libraries are left as they are.

    Returns:
        whether it is so.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    taken = [mallopt(*setting) for setting in _SETTINGS.items()]
    return all(taken)
