"""Peak memory of a process."""

__all__ = ["peak_mib"]


def peak_mib(process: int | str = "self") -> float | None:
    """The largest resident memory that a process has had, in MiB; None if it has ended.

    `getrusage` is not used: it counts from before the process loaded its program, so it may give
    the parent's memory where that was larger.

    Args:
        process: a process id; "self" for this process.
    """
    try:
        with open(f"/proc/{process}/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) / 1024
    except (OSError, KeyError):
        return None
