"""The command that draws the figures of docs/concepts/how_it_works.md."""

import re
import subprocess
import sys

from PIL import Image

from tests.helpers.small_runs import ROOT, environment

CONCEPTS = ROOT / "docs" / "concepts"


def test_the_command_draws_the_figures_of_the_page(tmp_path):
    """All that the page shows and no others; small, and of the size of those that are stored."""
    drawn = subprocess.run(
        [sys.executable, "-m", "docs.figures", f"--output={tmp_path}"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert drawn.returncode == 0, drawn.stderr
    page = (CONCEPTS / "how_it_works.md").read_text()
    shown = re.findall(r"!\[[^\]]+\]\((\w+\.png)\)", page)
    assert len(shown) == len(set(shown)) == 8
    assert {path.name for path in tmp_path.iterdir()} == set(shown)
    assert {path.name for path in CONCEPTS.glob("*.png")} == set(shown)
    assert len(drawn.stdout.splitlines()) == len(shown)
    for name in shown:
        assert (tmp_path / name).stat().st_size < 150_000
        with Image.open(tmp_path / name) as new, Image.open(CONCEPTS / name) as stored:
            assert new.size == stored.size
