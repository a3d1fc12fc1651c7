"""Several worker processes: training as on one machine, lost workers, signals."""

import contextlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.helpers import small_runs as runs
from tests.helpers.clusters import free_addresses, tf_config
from tf_mdsm.runs.train import train

# So many steps that a worker can be killed in the middle of the run.
STEPS = 120
CHANGES = {
    "training__num_steps": STEPS,
    "training__steps_per_call": 1,
    "training__checkpoint_every": 4,
    "training__sample_every": 80,
    "data__flip": True,
}


@contextlib.contextmanager
def worker_without_its_peer(index: int, seconds: float):
    """A process that connects as one of two workers, while the other one does not exist."""
    addresses = tuple(free_addresses(2))
    program = (
        "from tf_mdsm.distributed import strategies;"
        "from tf_mdsm.distributed.cluster_spec import ClusterSpec;"
        "print('imported', flush=True);"
        f"strategies._CONNECT_SECONDS = {seconds};"
        f"cluster = ClusterSpec('TF_CONFIG', {addresses}, {index});"
        "strategies._connect_workers(cluster, 0)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=runs.ROOT,
        env=runs.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "imported\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_lost_while_connecting_ends_the_others(index):
    with worker_without_its_peer(index, 3) as process:
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 1, stderr
    last = "tf_mdsm: a worker was lost while connecting; start all workers again"
    assert stderr.splitlines()[-1] == last
    assert "Traceback" not in stderr
    assert "Timeout" not in stderr


def test_ctrl_c_ends_a_worker_while_it_connects():
    with worker_without_its_peer(0, 600) as process:
        time.sleep(3)  # By now TensorFlow is waiting.
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == -signal.SIGINT, stderr
    assert "a worker was lost" not in stderr


@contextlib.contextmanager
def workers(workdir, **changes):
    """Starts two workers; kills those that still run at the end of the block."""
    addresses = free_addresses(2)
    strategy = {"training__strategy": "multi_worker_mirrored"}
    settings = {**CHANGES, **strategy, **changes}
    arguments = [*runs.flags(**settings), f"--workdir={workdir}"]
    processes = [
        subprocess.Popen(
            runs.command(*arguments),
            cwd=runs.ROOT,
            env=runs.environment(TF_CONFIG=tf_config({"worker": addresses}, index=index)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def run_to_the_end(workdir) -> list[str]:
    """Waits for two workers; returns what each printed to standard error."""
    with workers(workdir) as processes:
        stderr = [process.communicate(timeout=200)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], stderr
    return stderr


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """The folder of an uninterrupted run of two workers, and what each of them printed."""
    workdir = tmp_path_factory.mktemp("two")
    return workdir, run_to_the_end(workdir)


def assert_nearly_same(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        size = np.linalg.norm(theirs[name])
        assert np.linalg.norm(value - theirs[name]) <= 1e-5 * size, name


def test_two_workers_compute_what_one_device_computes(two_workers, tmp_path):
    train(runs.small_config(**CHANGES), str(tmp_path))
    workdir, _ = two_workers
    assert_nearly_same(runs.final_weights(workdir), runs.final_weights(tmp_path))
    ours, theirs = (dict(runs.events(folder, "loss")) for folder in (workdir, tmp_path))
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_two_workers_compute_what_two_devices_compute(two_workers, tmp_path):
    workdir, _ = two_workers
    program = (
        "import sys, tensorflow as tf; from tests.helpers.small_runs import small_config;"
        "from tf_mdsm.runs.train import train;"
        "tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0],"
        "[tf.config.LogicalDeviceConfiguration()] * 2);"
        f"train(small_config(**{CHANGES}), sys.argv[1])"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(command, cwd=runs.ROOT, env=runs.environment(), check=True, timeout=600)
    assert_nearly_same(runs.final_weights(workdir), runs.final_weights(tmp_path))


def test_only_the_chief_writes_files_and_logs(two_workers):
    workdir, (chief, other) = two_workers
    assert {path.name for path in workdir.iterdir()} == {
        *("checkpoints", "config.json", "samples", "tensorboard")
    }
    assert len(list((workdir / "tensorboard").iterdir())) == 1
    assert [path.name for path in (workdir / "samples").iterdir()] == ["step_00000080.png"]
    names = {path.name for path in (workdir / "checkpoints").iterdir()}
    files = {
        f"step-{step}.{e}"
        for step in (STEPS - 8, STEPS - 4, STEPS)
        for e in ("index", "data-00000-of-00001")
    }
    assert names == {
        "checkpoint",
        "checksums.json",
        "images.json",
        "lock",
        "statistics.npz",
        *files,
    }
    assert [step for step, _ in runs.events(workdir, "loss")] == list(range(4, STEPS + 1, 4))
    assert "2 CPU replica(s) on 2 workers" in chief
    assert f"step {STEPS}: finished" in chief
    for stderr in (chief, other):
        assert "waiting for 1 worker(s) at localhost:" in stderr
    assert len(other.splitlines()) == 1, other


def test_a_lost_worker_ends_the_run_and_a_restart_resumes_it(two_workers, tmp_path):
    uninterrupted, _ = two_workers
    with workers(tmp_path) as processes:
        runs.wait_for(lambda: runs.latest_step(tmp_path), processes[0])
        processes[1].kill()
        stderr = processes[0].communicate(timeout=100)[1]
        assert processes[0].returncode == 1, stderr
    message = r"\ntf_mdsm: step \d+: a worker was lost; start all workers again"
    assert re.search(message, stderr), stderr
    assert "Traceback" not in stderr
    killed_at = runs.latest_step(tmp_path)
    assert 0 < killed_at < STEPS
    run_to_the_end(tmp_path)
    runs.assert_same_weights(runs.final_weights(tmp_path), runs.final_weights(uninterrupted))
    assert runs.events(tmp_path, "loss") == runs.events(uninterrupted, "loss")


def test_a_signal_to_one_worker_stops_both_and_a_lost_chief_ends_the_other(tmp_path):
    # So many steps that the run cannot end before the signal comes.
    with workers(tmp_path, training__num_steps=100_000) as processes:
        runs.wait_for(lambda: runs.latest_step(tmp_path), processes[0])
        processes[1].send_signal(signal.SIGTERM)
        stderr = [process.communicate(timeout=100)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], stderr
    assert "stopped; run again to continue" in stderr[0]
    stopped_at = runs.latest_step(tmp_path)
    assert 0 < stopped_at < 100_000
    with workers(tmp_path, training__num_steps=100_000) as processes:
        runs.wait_for(lambda: runs.latest_step(tmp_path) > stopped_at, processes[0])
        processes[0].kill()
        stderr = processes[1].communicate(timeout=100)[1]
        assert processes[1].returncode == 1, (processes[1].returncode, stderr)
    assert "a worker was lost; start all workers again" in stderr
