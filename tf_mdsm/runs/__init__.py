"""One file a mode of the program, and the builders from a configuration to objects."""

from tf_mdsm.public_names import import_when_used

__getattr__, __dir__, __all__ = import_when_used(
    __name__,
    {
        "folder": ["RunFolder"],
        "run": ["Run"],
    },
)
