"""Paths of this machine's file system, told from addresses and from names that are not UTF-8."""

import os
import re

from tf_mdsm.errors import InvalidArgument

__all__ = ["LOCAL_PATH", "is_local_path", "local_path"]

LOCAL_PATH = "be a path in UTF-8 of this machine's file system, and no address"

# "gs://bucket/folder", "file:///folder": a scheme and slashes. TensorFlow opens such names
# over the network, and Python takes them for folders below the current one.
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+:/")


def is_local_path(path: str) -> bool:
    """Whether Python and TensorFlow find the same file under a path.

    They do not for addresses, and for names whose bytes are not those of UTF-8.
    """
    try:
        same_bytes = os.fsencode(path) == path.encode()
    except UnicodeEncodeError:
        return False
    return same_bytes and not _ADDRESS.match(path)


def local_path(field: str, path: str | os.PathLike) -> str:
    """The path, with "~" replaced by the user's home folder.

    Args:
        field: argument or flag that named the path, for error messages.
        path: the path as typed.

    Raises:
        InvalidArgument: about `field`, if it is no path of this machine's file system.
    """
    text = os.fspath(path)
    if not is_local_path(text):
        raise InvalidArgument(field, LOCAL_PATH, ascii(text)[1:-1])
    return os.path.expanduser(text)
