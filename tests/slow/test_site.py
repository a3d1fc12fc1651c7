"""The site of the documents is built without a warning, and asks no other host."""

import re
import subprocess
import sys

from tests.helpers.small_runs import ROOT, environment

# The theme's own message, of its successor, is no warning about a page.
QUIET = {"NO_MKDOCS_2_WARNING": "1"}


def test_the_site_is_built_strictly(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={tmp_path}"],
        cwd=ROOT,
        env=environment(**QUIET),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    pages = [path.read_text() for path in tmp_path.rglob("*.html")]
    assert len(pages) > len(list(ROOT.glob("docs/**/*.md")))
    for page in pages:
        assert not re.search(r"<(?:script|link|img)\b[^>]*(?:src|href)=\"?https?://", page)
        assert not re.search(r"href=\"?[^\" >]*\.(?:py|sh|yml)\b", page)
