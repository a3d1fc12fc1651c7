"""Clients by gRPC and REST: the answers of a served export, split requests, wrong arguments."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.known_export import (
    COLOR_SHAPE,
    energy_tolerance,
    known_energy,
    known_functions,
    known_noise_level,
    spelled,
    write_known_export,
)
from tests.helpers.served_inputs import SHAPE, some_images, upper_half_known
from tests.helpers.served_model import Model
from tests.helpers.serving import serving_here
from tf_mdsm.serving import Client, InvalidArgument, ServingError
from tf_mdsm.serving.signatures import ServedEnergy
from tf_mdsm.serving.transport import Transport

SEEDS = [2**53, 2**53 + 1, 2**62 - 1, 2**62, 3]


def run_in_threads(function, arguments) -> None:
    """Calls a function with each argument in a thread of its own, all at the same time."""
    threads = [threading.Thread(target=function, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- Answers


@pytest.fixture(scope="module")
def direct(exported_run):
    """The export of a trained run, in a session of this process."""
    return Model(str(exported_run / "export"))


def test_a_server_process_gives_the_answers_of_a_trained_model(model_server, direct, interface):
    """A real process that merges requests serves a trained run's export."""
    client = Client(getattr(model_server, interface))
    assert client.image_shape == SHAPE
    images, energy = client.sample([3, 2**53 + 1, 2**62])
    expected = direct.run("sample", {"seed": np.array([3, 2**53 + 1, 2**62])})
    np.testing.assert_allclose(images, expected["images"], atol=1 / 255)
    # Batches of three, which the server pads to four: sums have another order.
    np.testing.assert_allclose(energy, expected["energy"], rtol=5e-6, atol=5e-6)
    noisy = some_images(3, scale=3.0) - 1
    for method, key, tolerance in [
        (client.energy, "energy", 5e-6),
        (client.score, "score", 1e-5),
        (client.denoise, "images", 1e-5),
        (client.noise_level, "noise_level", 1e-5),
    ]:
        expected = direct.run(method.__name__, {"images": noisy})[key]
        largest = np.abs(expected).max()
        np.testing.assert_allclose(method(noisy), expected, atol=tolerance * largest)
    known, mask, seeds = some_images(3), upper_half_known(3), np.array([5, 6, 7])
    filled = client.inpaint(known, mask, seeds)
    np.testing.assert_array_equal(filled[:, :4], known[:, :4])
    expected = direct.run("inpaint", {"images": known, "mask": mask, "seed": seeds})
    np.testing.assert_allclose(filled, expected["images"], atol=1 / 255)


def test_numbers_are_sent_exactly(address):
    """Converted to floats, neighboring seeds would be equal."""
    client = Client(address)
    assert client.image_shape == SHAPE
    images, energy = client.sample(SEEDS)
    assert images.dtype == energy.dtype == np.float32
    np.testing.assert_array_equal(images, spelled(SEEDS))
    np.testing.assert_array_equal(energy, known_energy(images))
    noisy = some_images(3, scale=3.0) - 1
    np.testing.assert_allclose(
        client.energy(noisy), known_energy(noisy), rtol=energy_tolerance(), atol=0
    )
    np.testing.assert_array_equal(client.score(noisy), -noisy)
    # Denoised images are not clipped.
    np.testing.assert_array_equal(client.denoise(4 * noisy), 2 * noisy)
    known, mask = some_images(5), upper_half_known(5)
    filled = client.inpaint(known, mask.astype(bool), SEEDS)
    np.testing.assert_array_equal(filled, np.where(mask == 1, known, spelled(SEEDS)))


def test_large_requests_are_split_and_answers_are_joined_in_order(address, server):
    before = server.runs()["sample"]
    images, energy = Client(address, batch_size=7).sample(range(20))
    assert server.runs()["sample"] - before == 3
    np.testing.assert_array_equal(images, spelled(range(20)))
    np.testing.assert_array_equal(energy, known_energy(images))


def test_all_inputs_of_a_request_are_split_alike(address):
    known, mask = some_images(5), upper_half_known(5)
    mask[3:] = 1 - mask[3:]
    filled = Client(address, batch_size=2).inpaint(known, mask, SEEDS)
    np.testing.assert_array_equal(filled, np.where(mask == 1, known, spelled(SEEDS)))


def test_large_replies(color_server, interface):
    client = Client(getattr(color_server, interface), batch_size=512)
    assert client.image_shape == COLOR_SHAPE
    images, energy = client.sample(range(64))
    np.testing.assert_array_equal(images, spelled(range(64), COLOR_SHAPE))
    np.testing.assert_array_equal(energy, known_energy(images))


def one_request(generator, number: int):
    """A method's name, its arguments, and the arrays of its answer: each method in turn."""
    count = int(generator.integers(1, 4))
    seeds = generator.integers(2**62, size=count)
    images = generator.uniform(size=(count, *SHAPE)).astype(np.float32)
    mask = upper_half_known(count)
    return [
        ("sample", (seeds,), (spelled(seeds), known_energy(spelled(seeds)))),
        ("energy", (images,), (known_energy(images),)),
        ("score", (images,), (-images,)),
        ("denoise", (images,), (images / 2,)),
        ("noise_level", (images,), (known_noise_level(images),)),
        ("inpaint", (images, mask, seeds), (np.where(mask == 1, images, spelled(seeds)),)),
    ][number % 6]


def test_merged_requests_get_the_answers_of_single_requests(server):
    """Mixed requests of 8 simultaneous clients, two to a client: 80 by gRPC and 80 by REST."""
    answers, before = [], server.runs()
    clients = server.clients() * 4
    start = threading.Barrier(8)

    def ask(number):
        generator = np.random.default_rng(number)
        start.wait()
        for index in range(20):
            method, arguments, expected = one_request(generator, index)
            answer = getattr(clients[number], method)(*arguments)
            answers.append((answer if method == "sample" else (answer,), expected))

    run_in_threads(ask, range(8))
    assert len(answers) == 160
    after = server.runs()
    assert sum(after[name] - before[name] for name in after) < 160, "nothing was merged"
    for answer, expected in answers:
        for ours, theirs in zip(answer, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=energy_tolerance())


def test_a_server_that_merges_up_to_the_limit_of_the_export_answers_all_requests(tmp_path):
    """Four simultaneous clients send two images, then one, to an export that accepts three images.

    The server must neither merge two requests of two images nor pad three images to four.
    """
    images, failures, start = some_images(2), [], threading.Barrier(4)

    def ask(work):
        client, count = work
        start.wait()
        try:
            for _ in range(10):
                np.testing.assert_array_equal(client.denoise(images[:count]), images[:count] / 2)
        except (ServingError, AssertionError) as error:
            failures.append(error)

    with serving_here(write_known_export(tmp_path, max_batch_size=3), 3) as running:
        clients = running.clients(batch_size=3) * 2
        for count in (2, 1):
            run_in_threads(ask, [(client, count) for client in clients])
        assert failures == []
        assert running.runs()["denoise"] < 80, "nothing was merged"


# --- What is not sent


def test_invalid_requests_are_not_sent(server):
    invalid, valid, mask = np.full((2, *SHAPE), np.nan), np.zeros((2, *SHAPE)), upper_half_known(2)
    before = server.runs()
    for client in server.clients():
        for method, arguments, message in [
            (client.sample, ([-1],), "`seeds` must be integers"),
            (client.energy, (invalid,), "`images` must be finite"),
            (client.score, (invalid,), "`images` must be finite"),
            (client.denoise, (invalid,), "`images` must be finite"),
            (client.inpaint, (invalid, mask, [0, 1]), "`images` must be finite"),
            (client.inpaint, (valid, mask * 0.5, [0, 1]), "`mask` must be 1"),
            (client.inpaint, (valid - mask, mask, [0, 1]), "`images` must lie in"),
            (client.inpaint, (valid, mask, [0, -1]), "`seeds` must be integers"),
            (client.inpaint, (valid, mask, [0]), r"`seeds` must be one integer per image \(2\)"),
        ]:
            with pytest.raises(InvalidArgument, match=message):
                method(*arguments)
    assert server.runs() == before


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"address": "localhost:8500"}, "address"),
        ({"address": "ftp://localhost:8500"}, "address"),
        ({"address": "grpc://localhost"}, "address"),
        ({"address": "https://localhost"}, "address"),
        ({"address": "grpc://me:secret@localhost:8500"}, "address"),
        ({"address": "http://localhost:8501/v1"}, "address"),
        ({"address": "http://localhost:99999"}, "address"),
        ({"address": None}, "address"),
        ({"model": ""}, "model"),
        ({"model": 3}, "model"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": 1_000_001}, "timeout"),
        ({"timeout": 10**400}, "timeout"),
        ({"version": -1}, "version"),
        ({"version": 2**63}, "version"),
        ({"version": "newest"}, "version"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.5}, "batch_size"),
    ],
)
def test_invalid_arguments_of_a_client(options, field):
    with pytest.raises(InvalidArgument, match=f"`{field}` must") as error:
        Client(**{"address": "http://localhost:8501", **options})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("scheme", ["grpc", "http", "https"])
def test_an_address_may_end_in_a_slash(scheme):
    with Client(f"{scheme}://localhost:8501/") as client:
        assert client._transport.address == f"{scheme}://localhost:8501"


# --- A model that is no export


class Answers(Transport):
    """A connection that gives the answers that a test chooses, and counts what it is asked."""

    def __init__(self, sizes, outputs=None):
        super().__init__("http://localhost:1", "tf_mdsm", 1.0, None)
        self.sizes, self.outputs = sizes, outputs
        self.num_sizes, self.closed = 0, False

    def predict(self, signature, inputs, outputs):
        return self.outputs

    def input_sizes(self, signature, name):
        self.num_sizes += 1
        return self.sizes

    def status(self):
        raise NotImplementedError

    def close(self):
        self.closed = True


def client_of(transport: Transport) -> Client:
    client = Client("http://localhost:1")
    client._transport = transport
    return client


@pytest.mark.parametrize("sizes", [[-1, 8, 8], [-1, -1, 8, 1], [-1, 8, 8, 0], []])
def test_a_model_of_other_inputs_is_no_export(sizes):
    with pytest.raises(ServingError, match="is not an export of tf_mdsm: its images have the"):
        client_of(Answers(sizes)).sample([0])


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (3, 8, 8, 3), (3,)])
def test_a_model_of_other_outputs_is_no_export(shape):
    client = client_of(Answers([-1, *SHAPE], {"images": np.zeros(shape)}))
    with pytest.raises(ServingError, match=r"images of shape \[.*\] for 3 images"):
        client.denoise(np.zeros((3, *SHAPE)))


def test_the_shape_of_images_is_asked_once_and_a_block_closes_the_connection():
    transport = Answers([-1, *SHAPE], {"energy": np.zeros(1, np.float32)})
    with client_of(transport) as client:
        for _ in range(3):
            client.energy(np.zeros((1, *SHAPE)))
        assert not transport.closed
    assert transport.num_sizes == 1
    assert transport.closed


def test_a_model_of_any_size(tmp_path, interface):
    """Its images have any size, its samples that of the signature `inpaint`."""
    factor = tf.Variable(0.5)
    served = ServedEnergy(
        known_functions(factor),
        image_shape=(None, None, SHAPE[2]),
        sample_shape=SHAPE,
        max_batch_size=8,
        weights={"factor": factor},
    )
    tf.saved_model.save(served, f"{tmp_path}/1", signatures=served.signatures)
    with serving_here(str(tmp_path)) as server:
        client = Client(getattr(server, interface))
        assert client.image_shape == (None, None, SHAPE[2])
        assert client.sample_shape == SHAPE
        images = some_images(2)[:, :5]
        np.testing.assert_array_equal(client.denoise(images), images / 2)
        np.testing.assert_array_equal(client.sample(SEEDS)[0], spelled(SEEDS))
