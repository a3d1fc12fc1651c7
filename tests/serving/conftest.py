"""Model servers with known answers, in this process, for all tests of serving."""

import pytest

from tests.helpers.known_export import COLOR_SHAPE, write_known_export
from tests.helpers.serving import serving_here


@pytest.fixture(scope="session")
def known_export(tmp_path_factory):
    """The folder of an export whose answers are known, for images of 8 x 8 x 1."""
    return write_known_export(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="session")
def server(known_export):
    """A server of it that merges requests."""
    with serving_here(known_export, 64) as running:
        yield running


@pytest.fixture(scope="session")
def color_server(tmp_path_factory):
    """A server of 32 x 32 color images that takes large requests and does not merge them."""
    folder = write_known_export(tmp_path_factory.mktemp("color"), COLOR_SHAPE, 512)
    with serving_here(folder) as running:
        yield running


@pytest.fixture(params=["grpc", "rest"])
def interface(request):
    return request.param


@pytest.fixture
def address(server, interface):
    """The server's address of each interface in turn."""
    return getattr(server, interface)
