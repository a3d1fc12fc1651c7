"""`launch/serve.sh`, with a program `docker` that only records its arguments."""

import http.server
import json
import os
import pathlib
import shutil
import subprocess
import threading

import pytest

from tests.helpers.serving_settings import KIT, SCRIPT, batching, container, model
from tf_mdsm.config import default_config

PROGRAMS = ("bash", "sed", "basename", "dirname", "grep", "cat", "curl", "touch", "mkdir", "cp")
DOCKER = """#!/bin/bash
printf '%s\\n' "$*" >> "$FAKE/calls"
case "$1 $2" in
  "info "*) exit "${FAKE_INFO:-0}" ;;
  "container inspect")
    [ -f "$FAKE/started" ] || exit 1
    echo "${FAKE_RUNNING:-true}" ;;
  "create "*)
    printf '%s\\n' "$@" > "$FAKE/given"
    echo 0123abcd ;;
  "start "*)
    [ -z "${FAKE_START_ERROR:-}" ] || { echo "$FAKE_START_ERROR" >&2; exit 125; }
    touch "$FAKE/started" ;;
  "logs "*) echo "no such model" ;;
esac
"""


@pytest.fixture
def fake(tmp_path):
    """A folder with the recording `docker` and all other programs that the script may use."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).symlink_to(shutil.which(name))
    # The script waits for a server without taking time.
    (programs / "sleep").symlink_to(shutil.which("true"))
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    return tmp_path


@pytest.fixture
def run_folder(tmp_path):
    for version in ("1", "2", "10", "draft"):
        folder = tmp_path / "run" / "export" / version
        (folder / "assets.extra").mkdir(parents=True)
        (folder / "saved_model.pb").touch()
        write_limit(folder, 64 if version == "10" else 2)
    return tmp_path / "run"


def write_limit(version_folder: pathlib.Path, limit: object) -> None:
    """Writes the settings of an export to the file where the export keeps them."""
    config = default_config().to_dict()
    config["export"]["max_batch_size"] = limit
    path = version_folder / "assets.extra" / "tf_mdsm.json"
    path.write_text(json.dumps({"step": 10, "config": config}, indent=2))


def serve(fake: pathlib.Path, *arguments, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(SCRIPT), *map(str, arguments)],
        env={"PATH": str(fake / "bin"), "FAKE": str(fake), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


class _Status(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        assert self.path == "/v1/models/tf_mdsm"
        self.send_response(200)
        self.end_headers()
        states = ["LOADING", "AVAILABLE"]
        self.wfile.write(f'{{"state": "{states[min(self.server.num_requests, 1)]}"}}'.encode())
        self.server.num_requests += 1

    def log_message(self, *_):
        pass


@pytest.fixture
def rest_port():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Status)
    server.num_requests = 0
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_serve_starts_the_server_and_prints_how_to_use_it(fake, run_folder, rest_port):
    result = serve(fake, run_folder, "--name=mine", f"--rest_port={rest_port}", "--", "--gpus=all")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "version 10 of" in result.stdout
    assert f"http://127.0.0.1:{rest_port}/v1/models/tf_mdsm:predict" in result.stdout
    assert "--address=grpc://127.0.0.1:8500" in result.stdout
    given = (fake / "given").read_text().split("\n")[:-1]
    image = given.index(container()["image"])
    assert given[image + 1 :] == container()["args"]
    assert given[:image] == [
        "create",
        "--name",
        "mine",
        "--publish",
        "127.0.0.1:8500:8500",
        "--publish",
        f"127.0.0.1:{rest_port}:8501",
        "--mount",
        f"type=bind,source={run_folder}/export,target={model().base_path},readonly",
        "--mount",
        f"type=bind,source={KIT},target=/etc/tf_serving,readonly",
        "--gpus=all",
    ]
    assert not (run_folder / "serving").exists()


@pytest.mark.parametrize(
    ("limit", "sizes"),
    [(1, [1]), (2, [1, 2]), (48, [1, 2, 4, 8, 16, 32, 48]), (128, [2**n for n in range(8)])],
)
def test_serve_fits_batches_to_the_export(fake, run_folder, rest_port, limit, sizes):
    write_limit(run_folder / "export" / "10", limit)
    result = serve(fake, run_folder, f"--rest_port={rest_port}")
    assert (result.returncode, result.stderr) == (0, "")
    folder = run_folder / "serving"
    mounted = f"type=bind,source={folder},target=/etc/tf_serving,readonly"
    assert mounted in (fake / "given").read_text().split("\n")
    fitted, kit = batching(folder), batching()
    assert fitted.max_batch_size.value == limit
    assert list(fitted.allowed_batch_sizes) == sizes
    assert fitted.batch_timeout_micros.value == kit.batch_timeout_micros.value
    assert fitted.num_batch_threads.value == kit.num_batch_threads.value
    assert fitted.max_enqueued_batches.value == kit.max_enqueued_batches.value
    for name in ("models.config", "monitoring.config"):
        assert (folder / name).read_text() == (KIT / name).read_text()


def test_serve_keeps_to_the_versions_that_are_named(fake, run_folder, rest_port):
    """Their smallest limit is that of the batches."""
    arguments = f"--rest_port={rest_port}", "--versions=10,2"
    result = serve(fake, run_folder, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert "version 10,2 of" in result.stdout
    folder = run_folder / "serving"
    assert f"source={folder},target=/etc/tf_serving" in (fake / "given").read_text()
    assert list(model(folder).model_version_policy.specific.versions) == [10, 2]
    assert batching(folder).max_batch_size.value == 2
    # Without a name, the newest version again.
    (fake / "started").unlink()
    write_limit(run_folder / "export" / "10", 3)
    result = serve(fake, run_folder, f"--rest_port={rest_port}")
    assert (result.returncode, result.stderr) == (0, "")
    assert (folder / "models.config").read_text() == (KIT / "models.config").read_text()
    assert batching(folder).max_batch_size.value == 3


def test_serve_merges_no_requests_if_it_is_told_so(fake, run_folder, rest_port):
    result = serve(fake, run_folder, f"--rest_port={rest_port}", "--batching=false")
    assert (result.returncode, result.stderr) == (0, "")
    given = (fake / "given").read_text().split("\n")[:-1]
    merging = {
        "--enable_batching=true",
        "--batching_parameters_file=/etc/tf_serving/batching.config",
    }
    assert merging < set(container()["args"])
    expected = [argument for argument in container()["args"] if argument not in merging]
    assert given[given.index(container()["image"]) + 1 :] == expected


def test_serve_passes_flags_to_the_server_in_place_of_its_own(fake, run_folder, rest_port):
    given_flags = ("--rest_api_timeout_in_ms=3600000", "--tensorflow_intra_op_parallelism=2")
    options = [f"--server_flag={flag}" for flag in given_flags]
    result = serve(fake, run_folder, f"--rest_port={rest_port}", *options, "--", "--memory=4g")
    assert (result.returncode, result.stderr) == (0, "")
    given = (fake / "given").read_text().split("\n")[:-1]
    image = given.index(container()["image"])
    own = [flag for flag in container()["args"] if not flag.startswith("--rest_api_timeout_in_ms")]
    assert given[image + 1 :] == [*own, *given_flags]
    assert given[image - 1] == "--memory=4g"


def test_serve_reads_the_limit_of_a_model_that_no_run_made(fake, run_folder, rest_port):
    path = run_folder / "export" / "10" / "assets.extra" / "tf_mdsm.json"
    path.write_text(json.dumps({"max_batch_size": 16, "step": None, "config": None}, indent=2))
    result = serve(fake, run_folder, f"--rest_port={rest_port}")
    assert (result.returncode, result.stderr) == (0, "")
    assert batching(run_folder / "serving").max_batch_size.value == 16


@pytest.mark.parametrize("limit", ["many", 0, 1_000_000, None])
def test_serve_refuses_an_export_without_a_limit(fake, run_folder, limit):
    write_limit(run_folder / "export" / "10", limit)
    result = serve(fake, run_folder)
    assert result.returncode == 1
    assert "tf_mdsm.json must name a max_batch_size" in result.stderr
    os.remove(run_folder / "export" / "10" / "assets.extra" / "tf_mdsm.json")
    result = serve(fake, run_folder)
    assert result.returncode == 1
    assert "which says how many images a request may hold; export again" in result.stderr
    assert not (fake / "calls").exists()


def test_serve_removes_a_container_that_does_not_start(fake, run_folder):
    result = serve(fake, run_folder, FAKE_START_ERROR="port is already allocated")
    assert result.returncode == 1
    assert result.stderr == "port is already allocated\nserve.sh: docker could not start it\n"
    assert (fake / "calls").read_text().endswith("start 0123abcd\nrm --force 0123abcd\n")


def test_serve_gives_up_after_the_waiting_time(fake, run_folder):
    result = serve(fake, run_folder, "--rest_port=9", "--patience=0")
    assert result.returncode == 1
    assert "not ready after 0 s; docker logs tf_mdsm says why" in result.stderr


def test_serve_reports_a_server_that_ends(fake, run_folder):
    result = serve(fake, run_folder, "--rest_port=9", FAKE_RUNNING="false")
    assert result.returncode == 1
    assert "no such model\nserve.sh: the server ended" in result.stderr
    assert (fake / "calls").read_text().endswith("rm --force tf_mdsm\n")


def test_serve_names_what_is_missing(fake, run_folder):
    assert "no exported version in" in serve(fake, run_folder.parent).stderr
    assert "--mode=export" in serve(fake, run_folder.parent).stderr
    assert "does not answer" in serve(fake, run_folder, FAKE_INFO="1").stderr
    assert "no exported version 3 in" in serve(fake, run_folder, "--versions=2,3").stderr
    (fake / "started").touch()
    assert "there is a container tf_mdsm already" in serve(fake, run_folder).stderr
    os.remove(fake / "bin" / "docker")
    result = serve(fake, run_folder)
    assert result.returncode == 1
    assert result.stderr == "serve.sh: docker is needed and not installed\n"
    assert not (fake / "given").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a run's folder"),
        (["/nowhere"], "there is no folder /nowhere"),
        (["RUN", "RUN"], "one run's folder is served"),
        (["RUN", "--port=1"], "unknown option --port=1"),
        (["RUN", "--name="], "--name must be given a value"),
        (["RUN", "--rest_port=http"], "a port must be a number"),
        (["RUN", "--patience=long"], "--patience must be a number of seconds"),
        (["RUN", "--versions=newest"], "--versions must be numbers between commas: newest"),
        (["RUN", "--batching=no"], "--batching must be true or false: no"),
        (["RUN", "--server_flag=threads=2"], "--server_flag must be like --server_flag=--NAME="),
        (["RUN", "--server_flag=--version"], "--server_flag must be like --server_flag=--NAME="),
    ],
)
def test_serve_refuses_wrong_calls(fake, run_folder, arguments, message):
    result = serve(fake, *[str(run_folder) if word == "RUN" else word for word in arguments])
    assert result.returncode == 2
    assert message in result.stderr
    assert not (fake / "calls").exists()


def test_serve_prints_its_help(fake):
    result = serve(fake, "--help")
    assert result.returncode == 0
    assert "launch/serve.sh WORKDIR" in result.stdout
