"""The progress bar: on a terminal and in a notebook, and silent elsewhere."""

import io
import sys

import pytest

from tf_mdsm.system.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Cell(io.StringIO):
    """The stream of a notebook's cell: no terminal, and without a file descriptor."""

    __module__ = "ipykernel.iostream"


@pytest.mark.parametrize("stream", [Terminal(), Cell(), io.StringIO()])
def test_a_bar_is_shown_where_someone_looks(stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("training", 8, "step", done=2) as bar:
        bar.update(6)
    if isinstance(stream, Terminal | Cell):
        assert "training:  25%" in stream.getvalue()
        assert "8/8" in stream.getvalue()
    else:
        assert stream.getvalue() == ""
