"""The connection by REST: replies of other programs, errors for each status, no TensorFlow."""

import http.server
import importlib
import sys
import threading
from unittest import mock

import numpy as np
import pytest
import requests

from tests.helpers.known_export import spelled
from tf_mdsm.serving import Client, ServingError
from tf_mdsm.serving.rest_transport import RestTransport

JSON, HTML = "application/json", "text/html"
# What stands between `/v1/models/` and the end of a path: status, kind and text of its page.
PAGES = {
    "html/metadata": (200, HTML, "<html>Welcome</html>"),
    "empty/metadata": (200, HTML, ""),
    "json/metadata": (200, JSON, '{"hello": "you"}'),
    "list/metadata": (200, JSON, "[1, 2]"),
    "other/metadata": (200, JSON, '{"metadata": {"signature_def": {"signature_def": {}}}}'),
    "missing/metadata": (404, HTML, "<html>Not found</html>"),
    "quoted/metadata": (404, JSON, '{ "error": "it\\\'s gone" }'),
    "late/metadata": (504, JSON, '{ "error": "Timed out" }'),
    "moved/metadata": (302, HTML, ""),
    "json": (200, JSON, '{"hello": "you"}'),
    "loading": (
        200,
        JSON,
        '{"model_version_status": [{"version": "2", "state": "LOADING", '
        '"status": {"error_code": "OK", "error_message": ""}}]}',
    ),
}


# What the requests to these pages had as their header "Authorization".
authorizations = []


class _Page(http.server.BaseHTTPRequestHandler):
    """A web server that is not TensorFlow Serving."""

    def do_GET(self):
        authorizations.append(self.headers.get("Authorization"))
        status, kind, text = PAGES[self.path.removeprefix("/v1/models/")]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def pages():
    server = http.server.ThreadingHTTPServer(("localhost", 0), _Page)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("html", "is not TensorFlow Serving over http: it answers 200 with <html>Welcome</html>"),
        ("empty", "is not TensorFlow Serving over http: it answers 200 with nothing"),
        ("json", "is not TensorFlow Serving over http: its metadata have another format"),
        ("list", "is not TensorFlow Serving over http: its metadata have another format"),
        ("other", "is not an export of tf_mdsm: it has no signature energy with input images"),
        (
            "missing",
            "is not TensorFlow Serving over http: it answers 404 with <html>Not found</html>",
        ),
        ("quoted", "has no model quoted: .*gone"),
        ("late", "failed in the request: Timed out .*--rest_api_timeout_in_ms"),
        ("moved", "is not TensorFlow Serving over http: it answers 302"),
    ],
)
def test_metadata_of_another_program(pages, model, message):
    with pytest.raises(ServingError, match=message) as error:
        Client(pages, model=model).sample([0])
    status = PAGES[f"{model}/metadata"][0]
    assert error.value.status == (None if status == 200 else status)


def test_the_status_of_another_program(pages):
    with pytest.raises(ServingError, match="over http: its status has another format"):
        Client(pages, model="json").status()
    (status,) = Client(pages, model="loading").status()
    assert (status.version, status.state, status.message) == (2, "LOADING", "")


def test_a_password_of_the_address_or_of_netrc_is_sent_and_not_shown(pages, tmp_path, monkeypatch):
    """As Basic authentication, which a proxy before the server may ask for; else nothing is."""
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(ServingError, match=f"at {pages} is not"):
        Client(pages.replace("//", "//me:secret@"), model="json").status()
    Client(pages, model="loading").status()
    (tmp_path / "netrc").write_text("machine localhost login me password secret")
    Client(pages, model="loading").status()
    assert authorizations[-3:] == ["Basic bWU6c2VjcmV0", None, "Basic bWU6c2VjcmV0"]


@pytest.mark.parametrize(
    ("code", "reply", "message"),
    [
        (400, {"error": "why"}, "refused the request: why"),
        (429, {"error": "why"}, "refused the request: why"),
        (404, {"error": "why"}, "has no model tf_mdsm: why"),
        (409, {"error": "why"}, "failed in the request: why"),
        (499, {"error": "why"}, "failed in the request: why"),
        (500, {"error": "why"}, "failed in the request: why"),
        (501, {"error": "why"}, "failed in the request: why"),
        (503, {"error": "why"}, "is not available: why"),
        (504, {"error": "why"}, "failed in the request: why (its own limit: --rest_api_timeout"),
        (302, {"error": "why"}, "failed in the request: why"),
        (400, {"error": 3}, "over http: it answers 400"),
        (400, ["why"], "over http: it answers 400"),
    ],
)
def test_each_status_has_an_error(code, reply, message):
    transport = RestTransport("http://localhost:1", "tf_mdsm", 3.0, None)
    error = transport._error(code, reply)
    assert message in str(error)
    assert error.status == code


@pytest.mark.parametrize(
    "reply", [{}, [], {"outputs": {"images": [0.5]}}, {"outputs": [0.5]}, {"outputs": {"a": "b"}}]
)
def test_outputs_of_another_model(monkeypatch, reply):
    transport = RestTransport("http://localhost:1", "tf_mdsm", 3.0, None)
    monkeypatch.setattr(transport, "_call", lambda *_: reply)
    with pytest.raises(ServingError, match="signature sample has other outputs"):
        transport.predict("sample", {"seed": np.array([0])}, ("images", "energy"))


def test_a_model_name_is_not_a_path(server):
    with pytest.raises(ServingError):
        Client(server.rest, model="tf_mdsm/versions/1").status()
    assert requests.get(f"{server.rest}/v1/models/tf_mdsm/versions/1", timeout=10).ok


def test_rest_does_not_need_tensorflow(server):
    """The package is imported anew, where TensorFlow cannot be imported."""
    with mock.patch.dict(sys.modules):
        for name in [name for name in sys.modules if name.split(".")[0] == "tf_mdsm"]:
            del sys.modules[name]
        sys.modules["tensorflow"] = None
        fresh = importlib.import_module("tf_mdsm.serving")
        assert fresh.Client is not Client
        images, _ = fresh.Client(server.rest).sample([3])
        with pytest.raises(ImportError):
            fresh.Client(server.grpc)
    np.testing.assert_array_equal(images, spelled([3]))
