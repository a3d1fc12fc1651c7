"""The progress bar: on a terminal, and silent elsewhere."""

import io
import sys

import pytest

from tf_mdsm.system.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_a_bar_is_shown_on_a_terminal_only(stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("training", 8, "step", done=2) as bar:
        bar.update(6)
    if stream.isatty():
        assert "training:  25%" in stream.getvalue()
        assert "8/8" in stream.getvalue()
    else:
        assert stream.getvalue() == ""
