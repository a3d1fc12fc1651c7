"""The text of `--help`: the docstring of a program's file."""

import ast
import pathlib

__all__ = ["help_text"]


def help_text(file: str) -> str:
    """The docstring at the head of a Python file, which `python -OO` does not keep in memory."""
    source = pathlib.Path(file).read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""
