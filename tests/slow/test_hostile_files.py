"""Damaged, wrong or malicious files at length: each is read or refused, whatever it holds."""

import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.hostile_files import all_readers

READERS = all_readers()


@pytest.mark.parametrize("name", READERS)
def test_a_valid_file_is_read(name, tmp_path):
    assert READERS[name].try_bytes(READERS[name].valid, str(tmp_path))


# Pillow warns about fields of damaged files.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_changed_bytes_are_read_or_refused(name, data):
    """A valid file is cut, lengthened, or gets other bytes anywhere: no error but a refusal."""
    content = bytearray(READERS[name].valid)
    size = len(content)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, size - 1))
        content[position : position + 1] = data.draw(st.binary(min_size=1, max_size=4))
    new_size = data.draw(st.integers(0, size + 8))
    with tempfile.TemporaryDirectory() as folder:
        READERS[name].try_bytes(bytes(content[:new_size]), folder)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=20, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(name, content):
    with tempfile.TemporaryDirectory() as folder:
        assert not READERS[name].try_bytes(content, folder)
