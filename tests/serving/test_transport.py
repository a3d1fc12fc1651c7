"""What both connections to a server do alike: its status, its refusals, and errors of one line."""

import contextlib
import random
import re
import socket
import struct
import threading
import time

import numpy as np
import pytest
import requests

from tests.helpers.known_export import spelled
from tests.helpers.model_server import HTTP, start
from tests.helpers.readme import listings
from tests.helpers.served_inputs import SHAPE, int_seeds, some_images, upper_half_known
from tests.helpers.served_model import Core, Refusal
from tests.helpers.serving import Server
from tests.helpers.small_runs import ROOT
from tf_mdsm.serving import Client, InvalidArgument, ServingError, VersionStatus
from tf_mdsm.serving.grpc_transport import GrpcTransport
from tf_mdsm.serving.rest_transport import RestTransport
from tf_mdsm.serving.transport import clean_message, without_credentials


def connection(**changes) -> RestTransport:
    options = {"address": "http://localhost:1", "model": "mine", "timeout": 0.5, "version": None}
    return RestTransport(**{**options, **changes})


# --- Messages


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", "it gave no reason"),
        ("  two\n  lines  \t of words\n", "two lines of words"),
        ("kept\n[[{{node a}}]]\n  [[b]]\nkept too", "kept kept too"),
        ("[[{{node a}}]]", "it gave no reason"),
        (
            "assertion failed: [`seed` must be 1. Received:] [-1]",
            "`seed` must be 1. Received: [-1]",
        ),
        ("assertion failed: [something else]", "assertion failed: [something else]"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 300 + " …"),
    ],
)
def test_a_message_is_one_short_line(message, expected):
    assert clean_message(message) == expected


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://localhost:8501", "http://localhost:8501"),
        ("https://me:secret@host:443", "https://host:443"),
        ("https://me:se@cret@host:443", "https://host:443"),
        ("'https://me:secret@host'", "'https://host'"),
        ("https://me:se/cret@host:443", "https://host:443"),
        ("None", "None"),
    ],
)
def test_messages_show_no_password(address, shown):
    assert without_credentials(address) == shown


def test_each_error_names_the_server_and_the_reason():
    ours = connection(version=7)
    at = "http://localhost:1"
    assert [
        str(error)
        for error in (
            ours.unavailable_error("a\nb"),
            ours.timeout_error(),
            ours.unknown_model_error("a\nb"),
            ours.refused_error("a\nb"),
            ours.failed_error("a\nb"),
            ours.wrong_server_error("a\nb"),
            ours.wrong_model_error("a\nb"),
        )
    ] == [
        f"{at} is not available: a b",
        f"{at} gave no answer within 0.5 s",
        f"{at} has no model mine in version 7: a b",
        f"{at} refused the request: a b",
        f"{at} failed in the request: a b",
        f"the program at {at} is not TensorFlow Serving over http: a b",
        f"model mine at {at} is not an export of tf_mdsm: a b",
    ]
    assert "has no model mine: a" in str(connection().unknown_model_error("a"))


@pytest.mark.parametrize(
    ("field", "valid", "invalid"),
    [
        ("timeout", [1e-3, 1, 1_000_000], [0, -1, 1_000_001, float("nan"), float("inf"), "1"]),
        ("version", [None, 0, 2**63 - 1], [-1, 2**63, 1.5, "1"]),
    ],
)
def test_ranges_of_timeout_and_version(field, valid, invalid):
    for value in valid:
        assert getattr(connection(**{field: value}), field) == value
    for value in invalid:
        with pytest.raises(InvalidArgument, match=f"`{field}` must be a"):
            connection(**{field: value})


# --- Answers of a server


def test_status_and_version(address):
    assert Client(address).status() == [VersionStatus(1, "AVAILABLE", "")]
    assert Client(address, version=1).status() == [VersionStatus(1, "AVAILABLE", "")]
    assert Client(address, version=1).energy(np.zeros((1, *SHAPE))).shape == (1,)


def test_unknown_model_version_and_signature(address):
    with pytest.raises(ServingError, match=r"has no model other: .*other"):
        Client(address, model="other").sample([0])
    with pytest.raises(ServingError, match=r"has no model other"):
        Client(address, model="other").status()
    with pytest.raises(ServingError, match=r"has no model tf_mdsm in version 7: .*7"):
        Client(address, version=7).sample([0])
    transport = Client(address)._transport
    with pytest.raises(ServingError, match=r'refused the request: .*"classify" not found'):
        transport.predict("classify", {"images": np.zeros((1, *SHAPE), np.float32)}, ("energy",))
    with pytest.raises(ServingError, match="an export of tf_mdsm: it has no signature") as error:
        transport.input_sizes("classify", "images")
    assert error.value.status is None
    with pytest.raises(ServingError, match=r"is not an export of tf_mdsm: .*other outputs"):
        transport.predict("sample", {"seed": np.array([0])}, ("images", "score"))


def test_the_largest_timeout_and_version_can_be_sent(address):
    with pytest.raises(ServingError, match="has no model tf_mdsm in version 9223372036854775807"):
        Client(address, timeout=1_000_000, version=2**63 - 1).sample([0])


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("sample", {"seed": [-1]}, "`seed` must lie in .*-1"),
        ("energy", {"images": np.full((1, *SHAPE), np.nan)}, "`images` must be finite"),
        ("energy", {"images": np.zeros((1, 9, 8, 1))}, r"`images` must be .*\[1 9 8 1\]"),
        (
            "inpaint",
            {
                "images": np.zeros((1, *SHAPE)),
                "mask": np.full((1, *SHAPE), 0.5),
                "seed": [0],
            },
            "`mask` must be 1",
        ),
        ("energy", {"seed": [0]}, "input size does not match signature"),
    ],
)
def test_the_graph_refuses_invalid_inputs_of_other_clients(address, signature, inputs, message):
    arrays = {
        name: np.asarray(value, np.int64 if name == "seed" else np.float32)
        for name, value in inputs.items()
    }
    with pytest.raises(ServingError, match=f"refused the request: {message}") as refusal:
        Client(address)._transport.predict(signature, arrays, ("images",))
    assert "\n" not in str(refusal.value)


def test_requests_larger_than_the_limits(server, color_server, interface):
    """The limit of a server that merges requests, and the export's of one that does not."""
    with pytest.raises(ServingError, match="larger than maximum input batch size 64"):
        Client(getattr(server, interface), batch_size=65).sample(range(65))
    with pytest.raises(ServingError, match="`seed` must be a batch of 1 to 512"):
        Client(getattr(color_server, interface), batch_size=513).sample(range(513))


# --- No answer


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_an_address_without_server(scheme):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    address = f"{scheme}://localhost:{port}"
    with pytest.raises(ServingError, match=f"{address} is not available: .*refused") as error:
        Client(address).sample([0])
    assert error.value.status == "UNAVAILABLE"


def test_a_timeout(address):
    # Shorter than the time for which the server waits for requests to merge.
    with pytest.raises(ServingError, match=f"{address} gave no answer within 0.002 s") as error:
        Client(address, timeout=0.002).sample(range(16))
    assert error.value.status == "DEADLINE_EXCEEDED"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize("reply", [b"", HEAD, HEAD + b'{"outputs": '])
@pytest.mark.parametrize("end", ["closes", "resets", "waits"])
def test_a_reply_that_stops_half_way(reply, end):
    """By REST: the server dies while it answers, or never finishes."""
    with socket.create_server(("localhost", 0)) as listener:
        address = f"http://localhost:{listener.getsockname()[1]}"
        asked = threading.Event()

        def answer() -> None:
            with listener.accept()[0] as caller:
                caller.recv(65536)
                caller.sendall(reply)
                if end == "resets":
                    # Closed at once, whatever was not sent yet.
                    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if end == "waits":
                    asked.wait(10)

        server = threading.Thread(target=answer)
        server.start()
        ours = connection(address=address)
        with pytest.raises(ServingError) as error:
            ours.predict("sample", {"seed": np.zeros(1, np.int64)}, ("images",))
        asked.set()
        server.join()
    reason, status = (
        ("gave no answer within 0.5 s", "DEADLINE_EXCEEDED")
        if end == "waits"
        else ("is not available: it closed the connection", "UNAVAILABLE")
    )
    assert str(error.value) == f"{address} {reason}"
    assert error.value.status == status


def test_the_port_of_the_other_interface(server, interface):
    """gRPC is sent to the REST port, and REST to the gRPC port."""
    address = {
        "grpc": server.rest.replace("http", "grpc"),
        "rest": server.grpc.replace("grpc", "http"),
    }[interface]
    with pytest.raises(ServingError, match=f"program at {address} is not TensorFlow Serving"):
        Client(address).sample([0])


# --- Statuses of wrong requests, sent as they are. docs/reference/signatures.md lists them.


INVALID = {"grpc": "INVALID_ARGUMENT", "rest": 400}
# A JSON number has no type: the server reads it as the type that the signature names.
INVALID_BY_GRPC = {"grpc": "INVALID_ARGUMENT", "rest": 200}
UNKNOWN = {"grpc": "NOT_FOUND", "rest": 404}


def inpainting(**changes) -> dict[str, np.ndarray]:
    valid = {"images": some_images(2), "mask": upper_half_known(2), "seed": int_seeds(0, 1)}
    return {**valid, **changes}


WRONG_REQUESTS = {
    "images of another size": ("energy", {"images": some_images(2)[:, :5]}, INVALID),
    "no axis of the batch": ("energy", {"images": some_images(1)[0]}, INVALID),
    "a pixel that is not a number": ("energy", {"images": some_images(2) * np.nan}, INVALID),
    "an infinite pixel": ("energy", {"images": some_images(2) + np.inf}, INVALID),
    "no image": ("energy", {"images": some_images(0)}, INVALID),
    "more images than a request may hold": ("energy", {"images": some_images(65)}, INVALID),
    "more seeds than a request may hold": ("sample", {"seed": np.arange(65)}, INVALID),
    "float64": ("energy", {"images": some_images(2).astype(np.float64)}, INVALID_BY_GRPC),
    "uint8": ("energy", {"images": np.zeros((2, *SHAPE), np.uint8)}, INVALID_BY_GRPC),
    "text": ("energy", {"images": np.array(["a", "b"])}, INVALID),
    "seeds of int32": ("sample", {"seed": np.arange(2, dtype=np.int32)}, INVALID_BY_GRPC),
    "seeds that are no integers": ("sample", {"seed": np.array([0.5])}, INVALID),
    "a seed out of range": ("sample", {"seed": int_seeds(-1)}, INVALID),
    "a mask between 0 and 1": ("inpaint", inpainting(mask=upper_half_known(2) / 2), INVALID),
    "known pixels outside [0, 1]": ("inpaint", inpainting(images=some_images(2) + 1), INVALID),
    "another number of seeds": ("inpaint", inpainting(seed=int_seeds(0, 1, 2)), INVALID),
    "another number of masks": ("inpaint", inpainting(mask=upper_half_known(3)), INVALID),
    "an input that is missing": ("inpaint", {"images": some_images(2)}, INVALID),
    "an unknown signature": (
        "draw",
        {"seed": int_seeds(0)},
        {"grpc": "FAILED_PRECONDITION", "rest": 400},
    ),
}


def status_of(server, interface, signature, inputs, model="tf_mdsm", version=None):
    """The status that the client's error has; 200 if there is no error."""
    kind = {"grpc": GrpcTransport, "rest": RestTransport}[interface]
    transport = kind(getattr(server, interface), model, 30.0, version)
    with contextlib.closing(transport):
        try:
            transport.predict(signature, inputs, ("energy",))
        except ServingError as error:
            return error.status
    return 200


@pytest.mark.parametrize("what", WRONG_REQUESTS)
def test_a_wrong_request_has_a_status(server, interface, what):
    signature, inputs, expected = WRONG_REQUESTS[what]
    assert status_of(server, interface, signature, inputs) == expected[interface]


@pytest.mark.parametrize(("model", "version"), [("tf_mdsm", 7), ("other", None)])
def test_an_unknown_model_or_version_has_a_status(server, interface, model, version):
    inputs = {"seed": int_seeds(0)}
    status = status_of(server, interface, "sample", inputs, model, version)
    assert status == UNKNOWN[interface]


def test_the_page_on_signatures_lists_these_statuses():
    page = (ROOT / "docs" / "reference" / "signatures.md").read_text()
    table = page.split("## Wrong requests")[1]
    for expected in (INVALID, UNKNOWN, WRONG_REQUESTS["an unknown signature"][2]):
        assert f"| {expected['grpc']} | {expected['rest']} |" in table


def test_the_page_shows_the_refusal_of_too_many_images(server, color_server):
    """What the client says and the body by REST, of a server that merges and of one that does
    not; the page has the smaller limit of both."""
    page = (ROOT / "docs" / "reference" / "signatures.md").read_text()
    section = page.split("## Too many images")[1]
    for running, limit in ((server, 64), (color_server, 512)):
        with pytest.raises(ServingError) as error:
            Client(running.rest, batch_size=limit + 1).sample(range(limit + 1))
        told = str(error.value).removeprefix(running.rest)
        assert told.replace("512", "64").replace("513", "65") in section
        body = {"signature_name": "sample", "inputs": {"seed": list(range(limit + 1))}}
        url = f"{running.rest}/v1/models/tf_mdsm:predict"
        answer = requests.post(url, json=body, timeout=30)
        assert answer.status_code == 400
        sentence = answer.text.split("\\n")[0]  # The next line names a node of the graph.
        assert sentence.replace("512", "64").replace("513", "65") in section


# --- Statuses that no request of a test provokes, sent by the stand-in server on purpose


class FailingCore(Core):
    """Answers every request for metadata with an error of this code."""

    def __init__(self, code):
        self.code = code

    def require(self, name, version):
        raise Refusal(self.code, "why")


@pytest.mark.parametrize("code", HTTP, ids=lambda code: code.name)
def test_each_status_of_the_server_reaches_the_client(code, interface):
    """With a sentence that docs/guide/serving.md has in its table of errors."""
    by_grpc, by_rest, ports = start(FailingCore(code))
    address = getattr(Server.at(ports), interface)
    try:
        with Client(address) as client, pytest.raises(ServingError) as error:
            client.sample([0])
    finally:
        by_grpc.stop(None)
        by_rest.shutdown()
        by_rest.server_close()
    status = {"grpc": code.name, "rest": HTTP[code]}[interface]
    assert error.value.status == status
    column = ["grpc", "rest"].index(interface)
    rows = [row for row in error_table() if str(status) in row[column]] or error_table()
    patterns = [re.escape(words).replace("…", ".*") for row in rows for words in row[3].split("; ")]
    assert any(re.fullmatch(pattern, str(error.value)) for pattern in patterns)


def test_the_table_of_errors_agrees_with_the_server():
    """The number by REST stands beside the code, except for the server's own limit of time."""
    for code, number in HTTP.items():
        for by_grpc, by_rest, *_ in error_table():
            if code.name in by_grpc and code.name != "DEADLINE_EXCEEDED":
                assert str(number) in by_rest, code


# --- The loop of docs/guide/serving.md that sends a call again


def error_table() -> list[list[str]]:
    """The cells of each line of the table of errors: gRPC, REST, repeat, sentence, what helps."""
    page = (ROOT / "docs" / "guide" / "serving.md").read_text()
    section = page.split("## Errors")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.*\| (?:yes|once|no) \|.*) \|$", section, re.MULTILINE)
    return [[cell.strip() for cell in f" {line}".split("|")] for line in lines]


def documented_loop() -> tuple[str, dict]:
    """The section of the page, and the names that its program defines."""
    page = (ROOT / "docs" / "guide" / "serving.md").read_text()
    section = page.split("## Errors")[1].split("\n## ")[0]
    program = listings(section)[0]
    names = {}
    exec(program.split("\n\nseeds = ")[0], names)  # noqa: S102
    return section, names


@pytest.fixture
def repeated(monkeypatch):
    """The page's function, and the seconds that it waits, without waiting."""
    clock, waited = [0.0], []

    def sleep(seconds):
        waited.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(random, "uniform", lambda least, most: most)
    return documented_loop()[1]["repeated"], waited


def refused_first(times: int, status: str | int | None):
    """A call that fails so many times, and then returns 7."""
    errors = [ServingError("no", status=status)] * times

    def call() -> int:
        if errors:
            raise errors.pop()
        return 7

    return call


def test_the_loop_follows_from_the_table():
    _, names = documented_loop()
    statuses = {"yes": [], "once": [], "no": []}
    for grpc, rest, answer, *_ in error_table():
        statuses[answer] += re.findall(r"[A-Z_]{6,}", f"{grpc} {rest}")
        statuses[answer] += map(int, re.findall(r"\d+", rest))
    assert names["AGAIN"] == set(statuses["yes"])
    assert names["ONCE"] == set(statuses["once"])
    assert not (names["AGAIN"] | names["ONCE"]) & set(statuses["no"])
    assert len(statuses["no"]) > 5


@pytest.mark.parametrize("status", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", 409, 429, 503])
def test_the_loop_sends_a_call_again_after_a_while(repeated, status):
    function, waited = repeated
    assert function(refused_first(times=2, status=status)) == 7
    assert waited == [1, 2]


def test_the_loop_waits_for_a_random_time(repeated, monkeypatch):
    function, waited = repeated
    drawn = []
    monkeypatch.setattr(random, "uniform", lambda *bounds: drawn.append(bounds) or 0.7)
    assert function(refused_first(times=1, status=503)) == 7
    assert (drawn, waited) == ([(0.5, 1)], [0.7])


def test_the_loop_gives_up(repeated):
    function, waited = repeated
    with pytest.raises(ServingError):
        function(refused_first(times=100, status=503))
    assert 30 < sum(waited) <= 60


def test_the_loop_repeats_once_what_is_refused(server, interface, repeated):
    function, waited = repeated
    with Client(getattr(server, interface), batch_size=65) as client:
        with pytest.raises(ServingError, match="refused the request"):
            function(client.sample, range(65))
        assert waited == [1]
        images, _ = function(client.sample, [3])
    np.testing.assert_array_equal(images, spelled([3]))
    assert waited == [1]


@pytest.mark.parametrize("status", ["DEADLINE_EXCEEDED", "NOT_FOUND", 404, 504, 302, None])
def test_the_loop_does_not_repeat_what_stays_wrong(repeated, status):
    function, waited = repeated
    with pytest.raises(ServingError):
        function(refused_first(times=100, status=status))
    assert waited == []


def test_the_lines_that_send_many_images_run(server):
    """With the loop, one request after the other."""
    section, _ = documented_loop()
    program = listings(section)[0]
    names = {}
    exec(program.replace("http://localhost:8501", server.rest), names)  # noqa: S102
    np.testing.assert_array_equal(names["images"], spelled(range(1000)))
