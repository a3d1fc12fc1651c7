"""Clients and a served export, by gRPC and REST, with a stand-in for TensorFlow Serving."""

import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from serving_runs import export_color_model, serving
from small_runs import ROOT, environment
from tensorflow_serving.apis import prediction_log_pb2, prediction_service_pb2_grpc

from benchmarks.cost import serving as serving_benchmark
from tf_mdsm.serving import Client, InvalidArgument, ServingError

SHAPE = (8, 8, 1)
INTERFACES = ("grpc", "rest")


@pytest.fixture(scope="module", params=INTERFACES)
def address(request, model_server):
    return getattr(model_server, request.param)


@pytest.fixture(scope="module")
def direct(exported_run):
    """Runs a signature of the export in this process: a function of its name and arrays."""
    loaded = tf.saved_model.load(f"{exported_run}/export/1")

    def run(name, **inputs):
        inputs = {key: tf.constant(value) for key, value in inputs.items()}
        outputs = loaded.signatures[name](**inputs)
        return {key: value.numpy() for key, value in outputs.items()}

    return run


@pytest.fixture(scope="module")
def color_server(tmp_path_factory):
    """A server of 32 x 32 color images that takes large requests and does not merge them."""
    with serving(export_color_model(tmp_path_factory.mktemp("color"), 512)) as running:
        yield running


def random_images(generator, count: int, shape=SHAPE) -> np.ndarray:
    return generator.uniform(size=(count, *shape)).astype(np.float32)


def half_known(count: int) -> np.ndarray:
    mask = np.zeros((count, 8, 8, 1), np.float32)
    mask[:, :4] = 1
    return mask


def assert_same_energy(ours, theirs):
    """Sums in batches of another size have another order, and other rounding errors."""
    np.testing.assert_allclose(ours, theirs, rtol=5e-6, atol=5e-6 * np.abs(theirs).max())


def assert_same_images(ours, theirs):
    np.testing.assert_allclose(ours, theirs, atol=1 / 255)


# --- Answers of the server


def test_a_client_gets_the_answers_of_the_export(address, direct):
    client = Client(address)
    assert client.image_shape == SHAPE
    images, energy = client.sample([3, 2**53 + 1, 2**62])
    expected = direct("sample", seed=np.array([3, 2**53 + 1, 2**62]))
    assert images.dtype == energy.dtype == np.float32
    assert_same_images(images, expected["images"])
    assert_same_energy(energy, expected["energy"])
    assert images.min() >= 0
    assert images.max() <= 1

    # Batches of three, which the server pads to four.
    noisy = random_images(np.random.default_rng(0), 3) * 3 - 1
    assert_same_energy(client.energy(noisy), direct("energy", images=noisy)["energy"])
    np.testing.assert_allclose(
        client.score(noisy), direct("score", images=noisy)["score"], rtol=1e-4, atol=1e-5
    )
    denoised = direct("denoise", images=noisy)["images"]
    np.testing.assert_allclose(client.denoise(noisy), denoised, atol=1e-5)
    assert denoised.max() > 1, "not clipped"

    known, mask = random_images(np.random.default_rng(1), 3), half_known(3)
    filled = client.inpaint(known, mask, seeds=[5, 6, 7])
    np.testing.assert_array_equal(filled[:, :4], known[:, :4])
    expected = direct("inpaint", images=known, mask=mask, seed=np.array([5, 6, 7]))
    assert_same_images(filled, expected["images"])


def test_seeds_are_sent_exactly(address):
    # Converted to floats, neighboring seeds would be equal.
    images, _ = Client(address).sample([2**53, 2**53 + 1, 2**62 - 1, 2**62])
    assert len(np.unique(images.reshape(4, -1), axis=0)) == 4
    again, _ = Client(address).sample(np.array([2**53 + 1], np.uint64))
    assert_same_images(again[0], images[1])


def test_large_requests_are_split_and_answers_are_joined_in_order(address, model_server):
    before = model_server.runs()["sample"]
    images, energy = Client(address, batch_size=7).sample(range(20))
    assert model_server.runs()["sample"] - before == 3
    expected, expected_energy = Client(address, batch_size=64).sample(range(20))
    assert images.shape == (20, *SHAPE)
    assert_same_images(images, expected)
    assert_same_energy(energy, expected_energy)


def test_status_and_version(address):
    (status,) = Client(address).status()
    assert (status.version, status.state, status.message) == (1, "AVAILABLE", "")
    assert Client(address, version=1).energy(np.zeros((1, *SHAPE))).shape == (1,)


@pytest.mark.parametrize("interface", INTERFACES)
def test_large_replies(color_server, interface):
    client = Client(getattr(color_server, interface), batch_size=512)
    assert client.image_shape == (32, 32, 3)
    images, energy = client.sample(range(64))
    assert images.shape == (64, 32, 32, 3)
    assert_same_energy(client.energy(images), energy)
    if interface == "rest":
        return
    # Replies above the default limit of gRPC, 4 MB.
    many = np.broadcast_to(images[:1], (400, 32, 32, 3))
    denoised = client.denoise(many)
    assert denoised.nbytes > 4 * 2**20
    np.testing.assert_allclose(denoised, client.denoise(many[:1]).repeat(400, 0), atol=1e-5)


def one_request(generator, number: int):
    """A method's name and its arguments: each of the five methods in turn."""
    count = int(generator.integers(1, 4))
    seeds = generator.integers(2**62, size=count)
    images = random_images(generator, count)
    requests_ = [
        ("sample", (seeds,)),
        ("energy", (images,)),
        ("score", (images,)),
        ("denoise", (images,)),
        ("inpaint", (images, half_known(count), seeds)),
    ]
    return requests_[number % 5]


def test_merged_requests_get_the_answers_of_single_requests(model_server, direct):
    """200 mixed requests of 8 simultaneous clients."""
    answers, before = {}, model_server.runs()
    start = threading.Barrier(8)

    def ask(number):
        generator = np.random.default_rng(number)
        client = model_server.clients()[number % 2]
        start.wait()
        for index in range(25):
            method, arguments = one_request(generator, index)
            answers[number, index] = method, arguments, getattr(client, method)(*arguments)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 200
    after = model_server.runs()
    runs = sum(after[name] - before[name] for name in after)
    assert runs < 200, "nothing was merged"
    names = {"inpaint": ("images", "mask", "seed"), "sample": ("seed",)}
    for method, arguments, answer in answers.values():
        inputs = dict(zip(names.get(method, ("images",)), arguments, strict=True))
        expected = direct(method, **inputs)
        if method == "energy":
            assert_same_energy(answer, expected["energy"])
        elif method == "score":
            np.testing.assert_allclose(answer, expected["score"], rtol=1e-4, atol=1e-5)
        else:
            images = answer[0] if method == "sample" else answer
            assert_same_images(images, expected["images"])


@pytest.mark.long
def test_a_server_that_merges_up_to_the_limit_of_the_export_answers_all_requests(tmp_path):
    """Four simultaneous clients send two images, then one, to an export that accepts three images.

    The server must neither merge two requests of two images nor pad three images to four.
    """
    options = ("--merge", "--max_batch_size=3")
    failures, start = [], threading.Barrier(4)

    def ask(client, count, expected):
        start.wait()
        try:
            for _ in range(10):
                energy = client.energy(images[:count])
                np.testing.assert_allclose(energy, expected[:count], rtol=1e-4, atol=1e-4)
        except (ServingError, AssertionError) as error:
            failures.append(error)

    images = random_images(np.random.default_rng(0), 2, (32, 32, 3))
    with serving(export_color_model(tmp_path, 3), *options) as running:
        clients = running.clients(batch_size=3) * 2
        expected, before = clients[0].energy(images), running.runs()["energy"]
        for count in (2, 1):
            threads = [threading.Thread(target=ask, args=(c, count, expected)) for c in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert failures == []
        assert running.runs()["energy"] - before < 80, "nothing was merged"


def test_an_invalid_request_fails_the_requests_it_is_merged_with(model_server):
    """This is why a client checks requests before it sends them."""
    failures, start = [], threading.Barrier(8)

    def ask(value):
        client = model_server.clients()[0]
        images = np.full((1, *SHAPE), value, np.float32)
        start.wait()
        for _ in range(10):
            try:
                client._transport.predict("energy", {"images": images}, ("energy",))
            except ServingError as error:
                failures.append((value, str(error)))

    values = [np.nan] + [0.5] * 7
    threads = [threading.Thread(target=ask, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(np.isnan(value) for value, _ in failures) == 10
    assert len(failures) > 10
    assert all("`images` must be finite" in message for _, message in failures)


def test_the_server_answers_the_warm_up_requests(exported_run, model_server):
    path = f"{exported_run}/export/1/assets.extra/tf_serving_warmup_requests"
    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    signatures = set()
    with grpc.insecure_channel(model_server.grpc.removeprefix("grpc://")) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for log in logs:
            request = log.predict_log.request
            signatures.add(request.model_spec.signature_name)
            # The records name no model, as the binary sends them to the model that it loads.
            request.model_spec.name = "tf_mdsm"
            reply = stub.Predict(request)
            assert all(
                np.isfinite(tf.make_ndarray(array)).all() for array in reply.outputs.values()
            )
    assert signatures >= {"sample", "energy", "score", "denoise", "inpaint"}


def test_rest_does_not_need_tensorflow(model_server):
    program = (
        "import sys; from tf_mdsm.serving import Client; client = Client(sys.argv[1]); "
        "assert client.sample([0])[0].shape == (1, 8, 8, 1); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", program, model_server.rest]
    assert subprocess.run(command, cwd=ROOT, env=environment()).returncode == 0


# --- Errors


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_an_address_without_server(scheme):
    address = f"{scheme}://localhost:{free_port()}"
    with pytest.raises(ServingError, match=f"{address} is not available: .*refused"):
        Client(address).sample([0])


def test_a_timeout(address):
    # Shorter than the time for which the server waits for requests to merge.
    with pytest.raises(ServingError, match=f"{address} gave no answer within 0.002 s"):
        Client(address, timeout=0.002).sample(range(16))


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
    with pytest.raises(ServingError, match="is not an export of tf_mdsm: it has no signature"):
        transport.input_sizes("classify", "images")
    with pytest.raises(ServingError, match=r"is not an export of tf_mdsm: .*other outputs"):
        transport.predict("sample", {"seed": np.array([0])}, ("images", "score"))


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


def test_requests_larger_than_the_limits(address, color_server):
    with pytest.raises(ServingError, match="larger than maximum input batch size 64"):
        Client(address, batch_size=65).sample(range(65))
    with pytest.raises(ServingError, match="`images` must be a batch of 1 to 512"):
        Client(color_server.grpc, batch_size=513).energy(np.zeros((513, 32, 32, 3)))


@pytest.mark.parametrize("interface", INTERFACES)
def test_the_port_of_the_other_interface(model_server, interface):
    """gRPC is sent to the REST port, and REST to the gRPC port."""
    address = {
        "grpc": model_server.rest.replace("http", "grpc"),
        "rest": model_server.grpc.replace("grpc", "http"),
    }[interface]
    with pytest.raises(ServingError, match=f"program at {address} is not TensorFlow Serving"):
        Client(address).sample([0])


PAGES = {
    "/v1/models/html/metadata": (200, "text/html", "<html>Welcome</html>"),
    "/v1/models/json/metadata": (200, "application/json", '{"hello": "you"}'),
    "/v1/models/missing/metadata": (404, "text/html", "<html>Not found</html>"),
    "/v1/models/quoted/metadata": (404, "application/json", '{ "error": "it\\\'s gone" }'),
    "/v1/models/late/metadata": (504, "application/json", '{ "error": "Timed out" }'),
    "/v1/models/moved/metadata": (302, "text/html", ""),
}


class _Page(http.server.BaseHTTPRequestHandler):
    """A web server that is not TensorFlow Serving."""

    def do_GET(self):
        status, kind, text = PAGES[self.path]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("html", "is not TensorFlow Serving over http: it answers 200 with <html>Welcome</html>"),
        ("json", "is not TensorFlow Serving over http: its metadata have another format"),
        (
            "missing",
            "is not TensorFlow Serving over http: it answers 404 with <html>Not found</html>",
        ),
        ("quoted", "has no model quoted: .*gone"),
        ("late", "failed in the request: Timed out .*--rest_api_timeout_in_ms"),
        ("moved", "is not TensorFlow Serving over http: it answers 302"),
    ],
)
def test_replies_of_another_program(model, message):
    page = http.server.ThreadingHTTPServer(("localhost", 0), _Page)
    threading.Thread(target=page.serve_forever, args=(0.01,), daemon=True).start()
    try:
        with pytest.raises(ServingError, match=message):
            Client(f"http://localhost:{page.server_port}", model=model).sample([0])
    finally:
        page.shutdown()
        page.server_close()


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([], "at least one"),
        ([-1], r"`seeds` must be integers in \[0, 2\^62\]. Received: -1"),
        ([0, 2**63 - 1], "Received: 9223372036854775807"),
        ([2**62 + 1], "Received: 4611686018427387905"),
        ([2**70], "be integers"),
        ([0.5], "be integers"),
        ([True], "be integers"),
        (["0"], "be integers"),
        ([[0]], "one integer per image"),
        (3, "one integer per image"),
    ],
)
def test_invalid_seeds_are_not_sent(model_server, seeds, message):
    before = model_server.runs()
    for client in model_server.clients():
        with pytest.raises(InvalidArgument, match=message):
            client.sample(seeds)
    assert model_server.runs() == before


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, *SHAPE)), r"`images` must be of shape \[B, 8, 8, 1\], B >= 1"),
        (np.zeros((1, 9, 8, 1)), r"of shape .* Received: \[1, 9, 8, 1\]"),
        (np.zeros(SHAPE), "of shape"),
        (np.full((2, *SHAPE), np.nan), "be finite. Received: image 0"),
        (np.full((2, *SHAPE), np.inf), "be finite"),
        (np.full((2, *SHAPE), 1e300), "be finite"),
        (np.zeros((1, *SHAPE), np.uint8), "be floats"),
        (np.zeros((1, *SHAPE), complex), "be floats"),
    ],
)
def test_invalid_images_are_not_sent(model_server, images, message):
    before = model_server.runs()
    for client in model_server.clients():
        for method in (client.energy, client.score, client.denoise):
            with pytest.raises(InvalidArgument, match=message):
                method(images)
        with pytest.raises(InvalidArgument, match=message):
            client.inpaint(images, half_known(1), [0])
    assert model_server.runs() == before


def test_invalid_inpainting_is_not_sent(model_server):
    images, mask = np.zeros((2, *SHAPE)), half_known(2)
    outside = images - mask
    before = model_server.runs()
    for client in model_server.clients():
        for arguments, message in [
            ((images, mask * 0.5, [0, 1]), "`mask` must be 1 .known. or 0 everywhere"),
            ((images, mask[:1], [0, 1]), r"`mask` must be of shape \[2, 8, 8, 1\]"),
            ((images, mask * np.nan, [0, 1]), "`mask` must be 1"),
            ((images, mask, [0]), r"`seeds` must be one integer per image \(2\)"),
            ((outside, mask, [0, 1]), r"`images` must lie in \[0, 1\] where they are known"),
        ]:
            with pytest.raises(InvalidArgument, match=message):
                client.inpaint(*arguments)
        # Unknown pixels may be any finite numbers.
        client.inpaint(images - (1 - mask), mask.astype(bool), [0, 1])
    assert model_server.runs()["inpaint"] == before["inpaint"] + 2


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"address": "localhost:8500"}, "address"),
        ({"address": "ftp://localhost:8500"}, "address"),
        ({"address": "grpc://localhost"}, "address"),
        ({"address": "https://localhost"}, "address"),
        ({"address": "http://localhost:8501/v1"}, "address"),
        ({"address": "http://localhost:99999"}, "address"),
        ({"address": None}, "address"),
        ({"model": ""}, "model"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": 1_000_001}, "timeout"),
        ({"timeout": 10**400}, "timeout"),
        ({"version": -1}, "version"),
        ({"version": 2**63}, "version"),
        ({"version": "newest"}, "version"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_invalid_arguments_of_a_client(options, field):
    with pytest.raises(InvalidArgument, match=f"`{field}` must"):
        Client(**{"address": "http://localhost:8501", **options})


def test_the_largest_timeout_and_version_can_be_sent(model_server):
    for client in model_server.clients(timeout=1_000_000, version=2**63 - 1):
        with pytest.raises(
            ServingError, match="has no model tf_mdsm in version 9223372036854775807"
        ):
            client.sample([0])


def test_a_model_name_is_not_a_path(model_server):
    with pytest.raises(ServingError):
        Client(model_server.rest, model="tf_mdsm/versions/1").status()
    assert requests.get(f"{model_server.rest}/v1/models/tf_mdsm/versions/1", timeout=10).ok


@pytest.mark.long
def test_the_benchmark_measures_both_interfaces(exported_run, tmp_path):
    output = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "benchmarks", "serving", "--repeats=1"]
    result = subprocess.run(
        [*command, f"--workdir={exported_run}", f"--output={output}"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    numbers = json.loads(output.read_text())
    assert set(numbers["rows"]) == {"1", "8"}
    for batch in numbers["rows"].values():
        assert set(batch["seconds"]) == {"in_process", "grpc", "rest"}
        assert all(len(seconds) == 1 for seconds in batch["seconds"].values())
        assert batch["median_ratio"]["in_process"] == 1
    assert set(numbers["first_request_seconds"]) == {"cold", "after_warm_up"}
    # Five requests; two of them sample images.
    assert numbers["warm_up_seconds"] > 0
    assert "export's loading" in result.stdout


def test_the_benchmark_refuses_invalid_arguments_first(exported_run, tmp_path, monkeypatch, capsys):
    """An export of another step than the checkpoint, and files that cannot be written."""
    for path in exported_run.iterdir():
        if path.name != "export":
            (tmp_path / path.name).symlink_to(path)
    shutil.copytree(exported_run / "export" / "1", tmp_path / "export" / "1")
    provenance = tmp_path / "export" / "1" / "assets.extra" / "tf_mdsm.json"
    provenance.write_text(json.dumps(json.loads(provenance.read_text()) | {"step": 7}))

    def start(*_):
        raise AssertionError("a server was started")

    monkeypatch.setattr(serving_benchmark, "server", start)
    for options, message in [
        ([], "`--workdir` must have the exported step 7 as its newest checkpoint"),
        (["--output=/nowhere/x.json"], "`--output` must be a file in a folder that can be"),
        ([f"--output={tmp_path}"], "`--output` must be a file in a folder that can be"),
    ]:
        assert serving_benchmark.main([f"--workdir={tmp_path}", *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("serving: ")
        assert message in line


def test_the_stand_in_answers_warm_up_requests(exported_run):
    with serving(exported_run / "export", "--warm_up") as running:
        names = ("sample", "energy", "score", "denoise", "inpaint")
        assert running.runs() == dict.fromkeys(names, 1) | {"serving_default": 0}
