"""Public names of a package, each imported from its module when it is first used.

So `import tf_mdsm` takes no time, and a wrong call of the command line is refused before
TensorFlow is loaded.
"""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["import_when_used"]


def import_when_used(
    package: str, names: Mapping[str, Sequence[str]], modules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The functions `__getattr__` and `__dir__`, and the list `__all__`, of a package.

    Args:
        package: the package's `__name__`.
        names: the public names in each of its modules. None is the name of a module.
        modules: modules and packages in it that are reached as attributes without an import.
    """
    homes = {name: module for module, of_module in names.items() for name in of_module}

    def import_name(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *modules})

    return import_name, list_names, sorted(homes)
