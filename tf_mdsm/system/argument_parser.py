"""Parsing of command lines whose mistakes are answered like all other wrong arguments."""

import argparse
from typing import NoReturn

from tf_mdsm.errors import InvalidArgument

__all__ = ["ArgumentParser"]


class ArgumentParser(argparse.ArgumentParser):
    """A parser that raises `InvalidArgument` instead of printing the usage and exiting."""

    def error(self, message: str) -> NoReturn:
        """Raises the error that argparse found."""
        raise InvalidArgument("the command line", "be valid (see --help)", message)
