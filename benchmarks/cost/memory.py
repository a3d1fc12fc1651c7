"""How much memory a process came to."""

__all__ = ["peak_mib"]


def peak_mib(process: int | str = "self") -> float | None:
    """The largest resident memory of a process (its id), in MiB; None once it is gone.

    `getrusage` would tell its parent's where that was larger: it counts from before the program
    was loaded.
    """
    try:
        with open(f"/proc/{process}/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) / 1024
    except (OSError, KeyError):
        return None
