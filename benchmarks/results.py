"""Results of a benchmark: a JSON file that holds all rows measured so far, and tables of them."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.machine import describe_machine, describe_software
from tf_mdsm.system.atomic import write_json, write_text

__all__ = ["Results", "markdown_table"]

Row = dict[str, Any]


class Results:
    """Rows of measurements by their names, written to a JSON file as soon as they are added.

    So a benchmark that is stopped, even by SIGKILL, leaves the rows that it had measured, in a
    file that is always complete JSON. If a file is unfinished and was made by the same settings,
    machine and software, its rows are there at the start; a benchmark measures them again or
    skips them. Any other file stays as it is until the first row is added, which replaces it.

    Used in a `with` statement, it says where the rows are when the block is interrupted.

    The file holds `finished`, `settings`, `machine`, `software`, the facts, and `rows`.

    Args:
        path: the JSON file, `DIR/NAME.json`.
        settings: what the rows depend on: the command's flags, say. Values that JSON can hold.

    Attributes:
        rows: the rows so far.
    """

    def __init__(self, path: str, settings: Mapping[str, object]):
        self.path, self._finished = path, False
        self._origin = {
            "settings": dict(settings),
            "machine": describe_machine(),
            "software": describe_software(),
        }
        self._facts: dict[str, object] = {}
        self.rows: dict[str, Row] = self._unfinished_rows()

    @property
    def report(self) -> dict[str, Any]:
        """All that the file holds."""
        return {"finished": self._finished, **self._origin, **self._facts, "rows": self.rows}

    def set_facts(self, **facts: object) -> None:
        """Keeps values that concern all rows; they are written with the next row."""
        self._facts.update(facts)

    def add(self, name: str, row: Row) -> None:
        """Adds a row, or replaces the one of this name, and writes the file."""
        self.rows[name] = row
        self._write()

    def finish(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Marks the results as finished, and writes the file.

        Args:
            names: the rows in their order; None keeps the order in which they came.

        Returns:
            the report.
        """
        if names is not None:
            self.rows = {name: self.rows[name] for name in names}
        self._finished = True
        self._write()
        return self.report

    def write_table(self, text: str) -> None:
        """Writes Markdown to `DIR/NAME.md`, and prints it."""
        stem, _ = os.path.splitext(self.path)
        write_text(text, f"{stem}.md")
        print(text)

    def __enter__(self) -> "Results":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self.rows:
            print(f"rows so far: {len(self.rows)}, in {self.path}", file=sys.stderr)

    def _write(self) -> None:
        write_json(self.report, self.path)

    def _unfinished_rows(self) -> dict[str, Row]:
        try:
            with open(self.path, encoding="utf-8") as file:
                report = json.load(file)
        except (OSError, ValueError):
            return {}
        if not isinstance(report, dict) or report.get("finished") is not False:
            return {}
        # JSON has no tuples: what is compared has been through it.
        origin = json.loads(json.dumps(self._origin))
        same = all(report.get(name) == value for name, value in origin.items())
        return report.get("rows", {}) if same else {}


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; its first row is the heading."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "| --- " * len(rows[0]) + "|")
    return "\n".join([*lines, ""])
