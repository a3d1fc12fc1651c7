"""The command line client and a server's warm-up, each in a process of its own."""

import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.readme import listings
from tests.helpers.serving import serving
from tests.helpers.small_runs import ROOT, environment
from tf_mdsm.serving import Client


def python(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("interface", ["grpc", "rest"])
def test_the_command_samples_and_prints_nothing(model_server, tmp_path, interface):
    output = tmp_path / "samples.npz"
    result = python(
        *("-m", "tf_mdsm.serving", "sample", f"--address={getattr(model_server, interface)}"),
        *("--num_images=5", "--seed=3", f"--output={output}"),
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    images, energies = Client(model_server.rest).sample(range(3, 8))
    with np.load(output) as arrays:
        np.testing.assert_array_equal(arrays["seeds"], range(3, 8))
        np.testing.assert_allclose(arrays["images"], images, atol=1 / 255)
        np.testing.assert_allclose(arrays["energies"], energies, rtol=1e-4)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_an_address_without_server_is_one_line(scheme, tmp_path):
    """Neither gRPC nor TensorFlow add lines of their own."""
    address, output = f"--address={scheme}://localhost:9", f"--output={tmp_path}/samples.png"
    result = python("-m", "tf_mdsm.serving", "sample", address, output)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"tf_mdsm.serving: {scheme}://localhost:9 is not available: ")


def test_a_client_by_rest_does_not_load_tensorflow(model_server):
    program = (
        "import sys; from tf_mdsm.serving import Client; client = Client(sys.argv[1]); "
        "assert client.sample([0])[0].shape == (1, 8, 8, 1); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert python("-c", program, model_server.rest).returncode == 0


@pytest.mark.parametrize("interface", ["grpc", "rest"])
def test_the_documented_test_of_a_server_passes(model_server, exported_run, interface):
    """The lines of docs/guide/serving.md, with the address and the export of this server."""
    address = getattr(model_server, interface)
    page = (ROOT / "docs" / "guide" / "serving.md").read_text().split("## Test your server")[1]
    program = listings(page)[0]
    for documented, here in {
        "grpc://localhost:8500": address,
        "runs/example_digits/export": str(exported_run / "export"),
    }.items():
        assert program.count(documented) == 1
        program = program.replace(documented, here)
    result = python("-c", program)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{address} refused the request: ")
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize("interface", ["grpc", "rest"])
def test_the_documented_measurement_runs(model_server, interface):
    """The lines of docs/guide/serving.md that time requests, with the address of this server."""
    page = (ROOT / "docs" / "guide" / "serving.md").read_text()
    program = listings(page.split("## Latency and throughput")[1])[0]
    assert program.count("grpc://localhost:8500") == 1
    address = getattr(model_server, interface)
    result = python("-c", program.replace("grpc://localhost:8500", address))
    assert result.returncode == 0, result.stderr
    seconds, images = result.stdout.splitlines()
    median, most, slowest = map(float, seconds.split(": ")[1].split())
    assert 0 < median <= most <= slowest
    assert float(images.split(": ")[1]) > 0


def test_a_server_answers_warm_up_requests_before_it_is_ready(exported_run):
    with serving(exported_run / "export", "--warm_up") as running:
        names = ("sample", "energy", "score", "denoise", "noise_level", "inpaint")
        assert running.runs() == dict.fromkeys(names, 1) | {"serving_default": 0}
