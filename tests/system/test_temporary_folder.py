"""The folder of temporary files."""

import tempfile

import pytest

from tf_mdsm.system.temporary_folder import use_temporary_folder


@pytest.fixture(autouse=True)
def unknown(monkeypatch):
    """Python has not looked for a folder yet."""
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_the_usual_folder_is_kept(tmp_path):
    usual = tempfile.gettempdir()
    use_temporary_folder(str(tmp_path))
    assert tempfile.gettempdir() == usual


def test_without_one_the_given_folder_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])
    use_temporary_folder(str(tmp_path / "to" / "come"))
    assert tempfile.gettempdir() == str(tmp_path)
