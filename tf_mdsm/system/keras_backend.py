"""The backend that Keras computes with: the package needs TensorFlow's."""

import json
import os
import sys

from tf_mdsm.errors import InvalidArgument

__all__ = ["require_tensorflow_backend"]

_NEEDED = "tensorflow"


def require_tensorflow_backend() -> None:
    """Refuses another backend of Keras than TensorFlow.

    Keras chooses its backend once in a process, when it is first imported: by the environment
    variable KERAS_BACKEND, otherwise by its file keras.json, otherwise TensorFlow. It is not
    imported here, since that would load the backend, which may not be installed.

    Raises:
        InvalidArgument: with what to do.
    """
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "config"):
        _refuse_other(
            "keras.config.backend()",
            keras.config.backend(),
            "start a new process, and set KERAS_BACKEND=tensorflow before Keras is imported",
        )
    elif chosen := os.environ.get("KERAS_BACKEND"):
        _refuse_other("KERAS_BACKEND", chosen, "set it so, or unset it")
    else:
        path = _settings_path()
        _refuse_other("backend", _backend_in(path), f"change {path}, or set KERAS_BACKEND")


def _refuse_other(field: str, backend: object, advice: str) -> None:
    """Raises InvalidArgument unless the backend is TensorFlow."""
    if backend != _NEEDED:
        raise InvalidArgument(field, f'be "{_NEEDED}" for tf_mdsm: {advice}', backend)


def _settings_path() -> str:
    """The file of Keras' settings, which may not exist."""
    home = os.path.expanduser("~")
    if not os.access(home, os.W_OK):
        home = "/tmp"  # noqa: S108 (as Keras does)
    folder = os.environ.get("KERAS_HOME", os.path.join(home, ".keras"))
    return os.path.expanduser(os.path.join(folder, "keras.json"))


def _backend_in(path: str) -> object:
    """The backend that a file of settings names; TensorFlow if Keras would not use the file."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file).get("backend", _NEEDED)
    except (OSError, ValueError, AttributeError):
        return _NEEDED
