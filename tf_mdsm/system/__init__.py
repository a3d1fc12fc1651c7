"""Everything that deals with the operating system: files, locks, signals, memory, terminal."""

from tf_mdsm.public_names import import_when_used

__getattr__, __dir__, __all__ = import_when_used(
    __name__,
    {
        "cpu_tuning": ["tune_process"],
    },
)
