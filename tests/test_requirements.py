"""requirements.lock: it holds every package of requirements.txt, and hashes of all files."""

import re

from tests.helpers.small_runs import ROOT

LOCK = (ROOT / "requirements.lock").read_text()


def pins(text: str) -> dict[str, set[str]]:
    """Returns the pinned versions of each package, by its normalized name."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE):
        versions.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(version)
    return versions


def test_the_lock_file_agrees_with_the_requirements():
    required, locked = pins((ROOT / "requirements.txt").read_text()), pins(LOCK)
    assert len(required) > 15
    for name, versions in required.items():
        assert locked.get(name) == versions, f"{name}: run the command in requirements.lock again"


def test_every_package_has_hashes():
    entries = re.split(r"^(?=[A-Za-z])", LOCK, flags=re.MULTILINE)[1:]
    assert len(entries) > len(pins((ROOT / "requirements.txt").read_text()))
    for entry in entries:
        assert "==" in entry.splitlines()[0], entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry.splitlines()[0]
