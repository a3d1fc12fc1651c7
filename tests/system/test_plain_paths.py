"""Names of folders without characters that make a pattern."""

import os

import pytest

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system import plain_paths
from tf_mdsm.system.plain_paths import plain_name


def test_a_plain_path_is_its_own_name(tmp_path):
    with plain_name(str(tmp_path)) as name:
        assert name == str(tmp_path)


@pytest.mark.parametrize("character", "*?[]\\")
def test_the_name_leads_to_the_folder(tmp_path, character):
    folder = tmp_path / f"a{character}b"
    folder.mkdir()
    before = os.listdir("/proc/self/fd")
    with plain_name(str(folder)) as name:
        assert not set("*?[]\\") & set(name)
        with open(os.path.join(name, "file"), "w", encoding="utf-8") as file:
            file.write("text")
    assert (folder / "file").read_text() == "text"
    assert len(os.listdir("/proc/self/fd")) == len(before), "the folder stayed open"


def test_a_system_without_such_names_refuses(tmp_path, monkeypatch):
    folder = tmp_path / "[a]"
    folder.mkdir()
    monkeypatch.setattr(plain_paths, "_OPEN_FOLDERS", "/nowhere")
    with (
        pytest.raises(InvalidArgument, match=r"--workdir.*must have no \*"),
        plain_name(str(folder)),
    ):
        pass
