"""The cache's folders: filled once for each content and use, complete or not at all."""

import pathlib

import numpy as np
import pytest

from tf_mdsm.datasets.image_cache import open_cached
from tf_mdsm.errors import InvalidArgument


@pytest.fixture
def source(tmp_path):
    """Arguments about a file of images, as `fingerprint_source` takes them."""
    np.savez(tmp_path / "data.npz", images=np.zeros((2, 3, 3), np.uint8))
    return {"source": "npz", "path": str(tmp_path / "data.npz")}


def open_text(cache, source, text="one", use="a", fill=None) -> str:
    """The text that the cache keeps for a source and a use: `text` if it is filled now."""

    def write(folder: str) -> None:
        (pathlib.Path(folder) / "text").write_text(text)

    return open_cached(
        str(cache),
        source,
        key=lambda found: [use, found.content],
        fill=fill or write,
        open_folder=lambda folder: (pathlib.Path(folder) / "text").read_text(),
    )


def test_a_folder_is_filled_once_for_each_content_and_use(tmp_path, source):
    cache = tmp_path / "cache"
    assert open_text(cache, source, "one") == "one"
    assert open_text(cache, source, "two") == "one"
    assert open_text(cache, source, "three", use="b") == "three"
    np.savez(source["path"], images=np.ones((2, 3, 3), np.uint8))
    assert open_text(cache, source, "four") == "four"
    np.savez(source["path"], images=np.zeros((2, 3, 3), np.uint8))
    assert open_text(cache, source, "five") == "one"


def test_an_error_leaves_no_folder(tmp_path, source):
    def fail(folder: str) -> None:
        (pathlib.Path(folder) / "text").write_text("half")
        raise InvalidArgument("path", "hold images", "none")

    with pytest.raises(InvalidArgument, match="`path` must hold images"):
        open_text(tmp_path / "cache", source, fill=fail)
    assert list((tmp_path / "cache").iterdir()) == []
    assert open_text(tmp_path / "cache", source) == "one"


def test_a_process_that_was_faster_is_no_error(tmp_path, source):
    """Its folder is used."""
    cache = tmp_path / "cache"

    def slow(folder: str) -> None:
        assert open_text(cache, source, "the other's") == "the other's"
        (pathlib.Path(folder) / "text").write_text("ours")

    assert open_text(cache, source, fill=slow) == "the other's"


def test_a_cache_that_is_a_file_is_refused(tmp_path, source):
    (tmp_path / "cache").write_text("")
    with pytest.raises(InvalidArgument, match="`cache` must be a folder that can be written"):
        open_text(tmp_path / "cache", source)


def test_a_folder_without_its_files_is_refused(tmp_path, source):
    cache = tmp_path / "cache"
    open_text(cache, source)
    (file,) = cache.glob("*/text")
    file.unlink()
    with pytest.raises(InvalidArgument, match=r"`cache` must be a folder that can be .* read"):
        open_text(cache, source)
