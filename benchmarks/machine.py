"""The machine and the software that a benchmark ran on, for its results."""

import importlib.metadata
import os
import platform
import subprocess

__all__ = ["describe_machine", "describe_software"]

# Instructions that decide how fast convolutions are, as Linux names them.
_VECTOR_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")

_PACKAGES = ("tensorflow", "keras", "numpy")


def describe_machine() -> dict[str, object]:
    """Processor, its vector instructions, the cores that this process may use, memory, system."""
    return {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "vector_instructions": [
            name for name in _VECTOR_INSTRUCTIONS if name in _cpuinfo("flags").split()
        ],
        "cores": _usable_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
    }


def describe_software() -> dict[str, object]:
    """Versions of Python and of the libraries, and the commit of this code where git knows it."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **versions, "commit": _commit()}


def _usable_cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpuinfo(field: str) -> str:
    """A field of Linux's description of the first processor; empty where there is none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == field:
                    return value.strip()
    except OSError:
        pass
    return ""


def _commit() -> str | None:
    """The commit's hash, with `-dirty` where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    # Git must not refresh its index meanwhile: other git commands may be running.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            command,
            cwd=os.path.dirname(__file__),
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
