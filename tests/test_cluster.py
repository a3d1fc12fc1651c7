"""Several machines: descriptions of a cluster, and training on two workers as on one machine."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest
import small_runs as runs
import tensorflow as tf
import tensorflow_datasets as tfds
import yaml
from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver

from tf_mdsm.config.flags import parse_command_line
from tf_mdsm.datasets import readers
from tf_mdsm.datasets.batches import training_batches
from tf_mdsm.distributed import cluster_sources, kubernetes, rendezvous, slurm, strategies
from tf_mdsm.distributed.cluster_sources import read_worker_rank
from tf_mdsm.distributed.cluster_spec import ClusterSpec
from tf_mdsm.distributed.workers import Workers
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.runs.train import train

TWO = {"worker": ["a:1", "b:2"]}
STEPS = 60
CHANGES = {
    "training__num_steps": STEPS,
    "training__steps_per_call": 1,
    "training__checkpoint_every": 4,
    "training__sample_every": 40,
    "data__flip": True,
}


def tf_config(jobs: dict, job: str = "worker", index: object = 0) -> str:
    return json.dumps({"cluster": jobs, "task": {"type": job, "index": index}})


@pytest.mark.parametrize(
    ("jobs", "job", "index", "expected"),
    [
        (TWO, "worker", 1, (1, 2)),
        ({"chief": ["c:1"], **TWO}, "chief", 0, (0, 3)),
        ({"chief": ["c:1"], **TWO}, "worker", 0, (1, 3)),
        ({"chief": ["c:1"]}, "chief", 0, (0, 1)),
        ({"worker": ["mdsm-worker-0.ns.svc:2222"], "ps": []}, "worker", "0", (0, 1)),
    ],
)
def test_rank_by_tf_config(monkeypatch, jobs, job, index, expected):
    monkeypatch.setenv("TF_CONFIG", tf_config(jobs, job, index))
    assert read_worker_rank("multi_worker_mirrored", "tf_config") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"must be set .* Received: nothing"),
        ("{", "must be {"),
        ("[]", "must be {"),
        (json.dumps({"cluster": TWO}), "must be {"),
        (json.dumps({"task": {"type": "worker", "index": 0}}), "must be {"),
        (tf_config({}), 'must describe a job "worker" or "chief"'),
        (tf_config({**TWO, "ps": ["p:1"]}), "jobs chief and worker only. Received: ps"),
        (tf_config({**TWO, "evaluator": ["p:1"]}), "chief and worker only. Received: evaluator"),
        (tf_config({"chief": ["a:1", "b:1"]}, "chief"), "have one chief"),
        (tf_config(TWO, "chief"), "give this process a job of worker. Received: chief"),
        (tf_config(TWO, index=2), r"its job's tasks \(2\). Received: 2"),
        (tf_config(TWO, ["worker"]), "give this process a job of worker. Received: .'worker'."),
        (tf_config(TWO, index=float("inf")), "must be {"),
        (tf_config(TWO, index=-1), r"its job's tasks \(2\). Received: -1"),
        (tf_config({"worker": ["a:1", "a:1"]}), "its own address. Received: a:1"),
        (tf_config({"chief": ["a:1"], "worker": ["a:1"]}), "its own address. Received: a:1"),
        (tf_config({"worker": ["a"]}), "a host:port. Received: a"),
        (tf_config({"worker": [7]}), "a host:port. Received: 7"),
    ],
)
def test_a_wrong_tf_config_is_refused(monkeypatch, text, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InvalidArgument, match=message) as caught:
        strategies.create_strategy("multi_worker_mirrored")
    assert caught.value.field == "TF_CONFIG"


@pytest.mark.parametrize("strategy", ["mirrored", "one_device"])
def test_several_workers_need_the_strategy_for_several_workers(monkeypatch, strategy):
    monkeypatch.setenv("TF_CONFIG", tf_config(TWO))
    for function in (strategies.create_strategy, read_worker_rank):
        with pytest.raises(InvalidArgument, match=f"one worker under the strategy {strategy}"):
            function(strategy, "tf_config")
    monkeypatch.setenv("TF_CONFIG", tf_config({"worker": ["a:1"]}))
    assert read_worker_rank(strategy, "tf_config") == (0, 1)


def test_without_a_description_there_is_one_worker(monkeypatch):
    for variable in cluster_sources.SOURCES.values():
        monkeypatch.delenv(variable, raising=False)
    for strategy in ("mirrored", "one_device", "multi_worker_mirrored", "tpu"):
        for source in ("tf_config", "slurm", "kubernetes"):
            assert read_worker_rank(strategy, source) == (0, 1)


@pytest.mark.parametrize("strategy", ["mirrored", "one_device", "multi_worker_mirrored"])
def test_an_empty_description_is_ignored(monkeypatch, strategy):
    """TF_CONFIG={}, and Slurm's variables in a batch script outside of any step."""
    monkeypatch.setenv("TF_CONFIG", "{}")
    assert read_worker_rank(strategy, "tf_config") == (0, 1)
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert read_worker_rank(strategy, "slurm") == (0, 1)


def test_workers_that_another_source_describes_are_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    described = r"config.training.cluster` must be slurm, .*SLURM_STEP_NODELIST.* tf_config"
    for function in (read_worker_rank, strategies.create_strategy):
        with pytest.raises(InvalidArgument, match=described):
            function("multi_worker_mirrored", "tf_config")
    monkeypatch.delenv("SLURM_STEP_NODELIST")
    monkeypatch.setenv("TF_CONFIG", tf_config(TWO))
    with pytest.raises(InvalidArgument, match="must be tf_config, which describes this process"):
        read_worker_rank("multi_worker_mirrored", "slurm")


def test_the_batch_size_must_be_divisible_by_the_replicas_of_all_workers(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config({"worker": ["a:1", "b:2", "c:3"]}))
    with pytest.raises(InvalidArgument, match=r"divisible by the number of replicas \(3\)"):
        strategies.create_strategy("multi_worker_mirrored", batch_size=16)


SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_JOB_ID": "5001",
    "SLURM_STEP_NODELIST": "n[9-10],m5",
    "SLURM_STEP_TASKS_PER_NODE": "2,1(x2)",
}


def test_rank_in_a_slurm_step(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    cluster = cluster_sources.read_cluster_spec("slurm")
    # In the order of ranks, which is not sorted by name: n9 has two tasks, then n10, then m5.
    assert cluster.addresses == ("n9:30576", "n9:30577", "n10:30576", "m5:30576")
    assert cluster.rank == 2
    assert read_worker_rank("multi_worker_mirrored", "slurm") == (2, 4)
    with pytest.raises(InvalidArgument, match="one worker under the strategy mirrored"):
        read_worker_rank("mirrored", "slurm")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SLURM_PROCID", None, "must be set .start the workers with srun"),
        ("SLURM_JOB_ID", None, "must be set"),
        ("SLURM_STEP_NODELIST", None, "must be set"),
        ("SLURM_STEP_TASKS_PER_NODE", None, "must be set"),
        ("SLURM_PROCID", "x", "be a number"),
        ("SLURM_PROCID", "4", r"below that of the workers \(4\). Received: 4"),
        ("SLURM_STEP_NODELIST", "n[9-", "list hosts as"),
        ("SLURM_STEP_NODELIST", "n[9-10]", "count the tasks of 2 node"),
        ("SLURM_STEP_TASKS_PER_NODE", "2(x", "list counts as"),
        ("SLURM_STEP_TASKS_PER_NODE", "1,1,17", "at most 16 tasks a node"),
    ],
)
def test_wrong_slurm_variables_are_refused(monkeypatch, name, value, message):
    for key, text in SLURM.items():
        monkeypatch.setenv(key, text)
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidArgument, match=message):
        strategies.create_strategy("multi_worker_mirrored", "slurm")


@pytest.mark.parametrize("nodes", ["n1", "n[1-3]", "n[08-11,14],m5", "gpu-a,gpu-b[1,3-4],x"])
def test_node_lists_expand_as_in_tensorflow(nodes):
    assert slurm.expand_node_list(nodes) == slurm_cluster_resolver.expand_hostlist(nodes)


@pytest.mark.parametrize("tasks", ["1", "2(x3)", "3(x2),2,1"])
def test_task_counts_expand_as_in_tensorflow(tasks):
    theirs = slurm_cluster_resolver.expand_tasks_per_node(tasks)
    assert slurm.expand_task_counts(tasks) == theirs


@pytest.mark.parametrize("module", ["cluster_sources", "rendezvous", "watchdog"])
def test_a_cluster_is_described_and_awaited_without_tensorflow(module):
    program = f"import sys, tf_mdsm.distributed.{module}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=runs.ROOT).returncode == 0


def pretend_to_be_a_pod(
    monkeypatch, tmp_path, pods: list[tuple], error: Exception | None = None
) -> None:
    """Makes this process the pod cifar-1 of two; its API lists pods as (name, phase, address)."""

    def listed(namespace: str, label_selector: str):
        assert (namespace, label_selector) == ("mine", "job-name=cifar")
        if error:
            raise error
        return types.SimpleNamespace(
            items=[
                types.SimpleNamespace(
                    metadata=types.SimpleNamespace(name=name, deletion_timestamp=None),
                    status=types.SimpleNamespace(phase=phase, pod_ip=address),
                )
                for name, phase, address in pods
            ]
        )

    package = types.ModuleType("kubernetes")
    api = types.SimpleNamespace(list_namespaced_pod=listed)
    package.client = types.SimpleNamespace(CoreV1Api=lambda: api, ApiException=Refused)
    package.config = types.SimpleNamespace(
        load_incluster_config=lambda: None, ConfigException=ValueError
    )
    monkeypatch.setitem(sys.modules, "kubernetes", package)
    (tmp_path / "namespace").write_text("mine\n")
    monkeypatch.setattr(kubernetes, "_NAMESPACE_FILE", str(tmp_path / "namespace"))
    monkeypatch.setattr(kubernetes, "_POD_SECONDS", 0.0)
    monkeypatch.setenv("TF_MDSM_PODS", "job-name=cifar")
    monkeypatch.setenv("TF_MDSM_WORKERS", "2")
    monkeypatch.setenv("TF_MDSM_POD", "cifar-1")


class Refused(Exception):
    status, reason = 403, "Forbidden"


A, B = ("cifar-0", "Running", "10.0.0.1"), ("cifar-1", "Running", "fd00::2")


def test_kubernetes_needs_its_package(monkeypatch, tmp_path):
    pretend_to_be_a_pod(monkeypatch, tmp_path, [A, B])
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(InvalidArgument, match="pip install kubernetes"):
        read_worker_rank("multi_worker_mirrored", "kubernetes")


def test_rank_among_pods(monkeypatch, tmp_path):
    """Ranks follow the names, in whatever order pods are listed; ended pods are ignored."""
    ended = [("cifar-00", "Failed", "10.0.0.8"), ("cifar-01", "Succeeded", "10.0.0.9")]
    pretend_to_be_a_pod(monkeypatch, tmp_path, [B, *ended, A])
    cluster = cluster_sources.read_cluster_spec("kubernetes")
    assert cluster.addresses == ("10.0.0.1:8470", "[fd00::2]:8470")
    assert read_worker_rank("multi_worker_mirrored", "kubernetes") == (1, 2)
    with pytest.raises(InvalidArgument, match="one worker under the strategy mirrored"):
        read_worker_rank("mirrored", "kubernetes")
    monkeypatch.setenv("TF_MDSM_POD", "other")
    with pytest.raises(InvalidArgument, match="be among the pods of job-name=cifar"):
        read_worker_rank("multi_worker_mirrored", "kubernetes")


@pytest.mark.parametrize("others", [[], [("cifar-0", "Pending", None)], [A, ("c", *A[1:])]])
def test_pods_that_do_not_run_in_time(monkeypatch, tmp_path, others):
    pretend_to_be_a_pod(monkeypatch, tmp_path, [B, *others])
    number = 3 if len(others) == 2 else 1
    with pytest.raises(RunError, match=f"job-name=cifar in mine: {number} of 2 run after"):
        read_worker_rank("multi_worker_mirrored", "kubernetes")


def test_an_account_without_the_right_to_list_pods_is_reported(monkeypatch, tmp_path):
    pretend_to_be_a_pod(monkeypatch, tmp_path, [A, B], Refused())
    with pytest.raises(RunError, match=r"cannot be listed \(403 Forbidden"):
        read_worker_rank("multi_worker_mirrored", "kubernetes")


def free_addresses(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("", 0))) for _ in range(count)]
        return [f"localhost:{server.getsockname()[1]}" for server in held]


def test_workers_wait_for_each_other():
    """Each returns when all listen, and can then listen again, as TensorFlow's server does."""
    addresses = tuple(free_addresses(3))
    all_returned = threading.Barrier(3)
    returned = []

    def worker(index: int) -> None:
        time.sleep(0.3 * index)
        rendezvous.wait_for_workers(ClusterSpec("TF_CONFIG", addresses, index), 30)
        returned.append(index)
        with socket.create_server(("", int(addresses[index].split(":")[1]))):
            all_returned.wait(30)

    threads = [threading.Thread(target=worker, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(returned) == [0, 1, 2]
    assert not all_returned.broken


def test_a_worker_that_never_appears_is_named():
    addresses = free_addresses(2)
    waiting = ClusterSpec("TF_CONFIG", tuple(addresses), 0)
    missing = re.escape(f"worker 1 at {addresses[1]} did not appear in 0.1 seconds")
    with pytest.raises(RunError, match=missing):
        rendezvous.wait_for_workers(waiting, 0.1)


def test_a_port_in_use_is_named():
    with socket.create_server(("", 0)) as other:
        own = f"localhost:{other.getsockname()[1]}"
        waiting = ClusterSpec("TF_CONFIG", (own, "localhost:1"), 0)
        with pytest.raises(RunError, match=f"cannot listen at {own}"):
            rendezvous.wait_for_workers(waiting, 0.1)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
def test_workers_listen_by_ipv4_and_ipv6():
    with contextlib.ExitStack() as stack:
        (address,) = free_addresses(1)
        port = int(address.split(":")[1])
        stack.enter_context(rendezvous._listen(address, 2))
        for host in ("127.0.0.1", "[::1]"):
            assert rendezvous._is_listening(f"{host}:{port}"), host


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


@pytest.mark.parametrize("index", [0, pytest.param(1, marks=pytest.mark.long)])
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


def test_workers_notice_different_numbers(monkeypatch):
    workers_of_run = Workers(tf.distribute.get_strategy())
    assert workers_of_run.agree_on([10])
    workers_of_run.rank, workers_of_run.world_size = 0, 2
    for theirs, same in ((10, True), (7, False)):
        monkeypatch.setattr(
            workers_of_run,
            "_sum_over_workers",
            lambda mine, theirs=theirs: mine + tf.constant([3, theirs], tf.int64),
        )
        assert workers_of_run.agree_on([3, 10]) == same


@pytest.mark.parametrize(
    ("error", "world_size", "message"),
    [
        (OSError("no space left"), 1, "step 3: no space left"),
        (tf.errors.UnavailableError(None, None, "gone"), 1, "step 3: gone"),
        (tf.errors.UnavailableError(None, None, "gone"), 2, "step 3: a worker was lost; start all"),
        (tf.errors.InternalError(None, None, "Collective ops is aborted"), 2, "a worker was lost"),
        (tf.errors.InternalError(None, None, "no memory"), 2, "step 3: no memory"),
    ],
)
def test_errors_name_the_moment_and_a_lost_worker(error, world_size, message):
    workers_of_run = Workers(tf.distribute.get_strategy())
    workers_of_run.world_size = world_size
    with pytest.raises(RunError, match=message), workers_of_run.errors_at("step 3"):
        raise error


def test_a_tpu_that_cannot_be_reached_is_refused(monkeypatch):
    for name in ("TPU_NAME", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "TPU_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InvalidArgument, match=r"config.training.tpu` must name a TPU"):
        strategies.create_strategy("tpu")


def test_a_tpu_is_initialized_before_its_strategy_is_created(monkeypatch):
    calls = []

    def note(name, result=None):
        return lambda *arguments, **named: calls.append((name, arguments, named)) or result

    strategy = types.SimpleNamespace(num_replicas_in_sync=8)
    resolvers = tf.distribute.cluster_resolver
    monkeypatch.setattr(resolvers, "TPUClusterResolver", note("resolve", "resolver"))
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", note("connect"))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", note("initialize"))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", note("strategy", strategy))
    assert strategies.create_strategy("tpu", tpu="pod", batch_size=16) is strategy
    assert calls == [
        ("resolve", (), {"tpu": "pod"}),
        ("connect", ("resolver",), {}),
        ("initialize", ("resolver",), {}),
        ("strategy", ("resolver",), {}),
    ]
    with pytest.raises(InvalidArgument, match=r"divisible by the number of replicas \(8\)"):
        strategies.create_strategy("tpu", tpu="pod", batch_size=12)


@pytest.mark.parametrize(("replicas", "workers"), [(2, 2), (4, 2), (6, 3)])
def test_workers_get_their_shares_of_the_same_batches(replicas, workers):
    images = np.arange(50, dtype=np.float32).reshape(50, 1, 1, 1)
    local = replicas // workers

    def first(count: int, **settings: int) -> list[np.ndarray]:
        batches = training_batches(images, batch_size=12, seed=3, first_step=5, **settings)
        return list(batches.take(count).as_numpy_iterator())

    all_batches = first(2)
    shares = [
        first(2 * local, num_replicas=replicas, worker=worker, num_workers=workers)
        for worker in range(workers)
    ]
    for step in (0, 1):
        parts = [share for served in shares for share in served[step * local : (step + 1) * local]]
        np.testing.assert_array_equal(np.concatenate(parts), all_batches[step])


@pytest.mark.parametrize("by_another", [True, False])
def test_tfds_data_that_another_worker_has_prepared_are_used(tmp_path, monkeypatch, by_another):
    """When two workers prepare one folder, TFDS fails to rename the slower one's result."""
    prepared = []

    def fail_to_rename(*_, **__):
        prepared.append(by_another)
        raise OSError("Directory not empty")

    builder = types.SimpleNamespace(
        download_and_prepare=fail_to_rename,
        is_prepared=lambda: prepared == [True],
        info=types.SimpleNamespace(features={"image": None}),
        as_dataset=lambda **_: tf.data.Dataset.from_tensors({"image": tf.zeros([2, 2, 1])}),
    )
    monkeypatch.setattr(tfds, "builder", lambda *_, **__: builder)
    if by_another:
        assert len(list(readers.read_tfds("mnist", "train", str(tmp_path)))) == 1
    else:
        with pytest.raises(InvalidArgument, match="Directory not empty"):
            readers.read_tfds("mnist", "train", str(tmp_path))


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


@pytest.mark.long
def test_two_workers_compute_what_two_devices_compute(two_workers, tmp_path):
    workdir, _ = two_workers
    program = (
        "import sys, tensorflow as tf; from small_runs import small_config;"
        "from tf_mdsm.runs.train import train;"
        "tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0],"
        "[tf.config.LogicalDeviceConfiguration()] * 2);"
        f"train(small_config(**{CHANGES}), sys.argv[1])"
    )
    environment = runs.environment(PYTHONPATH=f"{runs.ROOT}:{runs.ROOT / 'tests'}")
    command = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(command, cwd=runs.ROOT, env=environment, check=True, timeout=600)
    assert_nearly_same(runs.final_weights(workdir), runs.final_weights(tmp_path))


def test_only_the_chief_writes_files_and_logs(two_workers):
    workdir, (chief, other) = two_workers
    assert {path.name for path in workdir.iterdir()} == {
        *("checkpoints", "config.json", "samples", "tensorboard")
    }
    assert len(list((workdir / "tensorboard").iterdir())) == 1
    assert [path.name for path in (workdir / "samples").iterdir()] == ["step_00000040.png"]
    names = {path.name for path in (workdir / "checkpoints").iterdir()}
    files = {f"step-{step}.{e}" for step in (52, 56, 60) for e in ("index", "data-00000-of-00001")}
    assert names == {"checkpoint", "checksums.json", "lock", "statistics.npz", *files}
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


def test_launcher_needs_the_number_of_workers():
    result = subprocess.run(
        ["bash", "launch/workers.sh", "--config=x"], cwd=runs.ROOT, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "How many workers?" in result.stderr


def test_launcher_passes_on_output_and_exit_status(tmp_path):
    """A wrong setting: every worker prints one line, and the status is 2."""
    arguments = ["2", "--config=configs/digits.py", "--config.training.batch_size=0"]
    result = subprocess.run(
        ["bash", "launch/workers.sh", *arguments, f"--workdir={tmp_path}/run"],
        cwd=runs.ROOT,
        env=runs.environment(PYTHON=sys.executable),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 2
    lines = sorted(result.stderr.splitlines())
    wrong = "tf_mdsm: `config.training.batch_size` must lie in [1, 1048576]. Received: 0"
    assert lines == [f"[0] {wrong}", f"[1] {wrong}"]
    assert not (tmp_path / "run").exists()


def check_flags(command: list[str]) -> None:
    """The program accepts the arguments in a launch file, which train on several workers."""
    assert command[:3] == ["python", "-m", "tf_mdsm.main"]
    parsed = parse_command_line(command[2:], modes=["train"])
    assert parsed.mode == "train"
    assert parsed.workdir.startswith(("/", "runs/"))
    given = dict(argument.lstrip("-").split("=", 1) for argument in command[3:])
    assert set(given) <= {"config", "workdir"} | {n for n in given if n.startswith("config.")}
    assert given["config.training.strategy"] == "multi_worker_mirrored"


def test_kubeflow_manifest():
    text = (runs.ROOT / "launch" / "kubernetes" / "train.yaml").read_text()
    parts = {part["kind"]: part for part in yaml.safe_load_all(text)}
    assert set(parts) == {"TFJob", "PersistentVolumeClaim"}
    job = parts["TFJob"]
    assert job["apiVersion"] == "kubeflow.org/v1"
    assert set(job["spec"]["tfReplicaSpecs"]) == {"Worker"}
    worker = job["spec"]["tfReplicaSpecs"]["Worker"]
    assert worker["restartPolicy"] == "OnFailure"
    pod = worker["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == "tensorflow"
    check_flags(container["command"] + container["args"])
    (volume,) = pod["volumes"]
    claim = parts["PersistentVolumeClaim"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    (mount,) = container["volumeMounts"]
    workdir = next(a for a in container["args"] if a.startswith("--workdir="))
    assert workdir.removeprefix("--workdir=").startswith(mount["mountPath"])
    assert mount["name"] == volume["name"]


def test_plain_kubernetes_manifest():
    text = (runs.ROOT / "launch" / "kubernetes" / "pods.yaml").read_text()
    parts = {part["kind"]: part for part in yaml.safe_load_all(text)}
    assert set(parts) == {"ServiceAccount", "Role", "RoleBinding", "Job"}
    assert parts["Role"]["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    account, role = (parts[kind]["metadata"]["name"] for kind in ("ServiceAccount", "Role"))
    assert parts["RoleBinding"]["roleRef"]["name"] == role
    assert [subject["name"] for subject in parts["RoleBinding"]["subjects"]] == [account]
    job = parts["Job"]["spec"]
    pod = job["template"]["spec"]
    assert pod["serviceAccountName"] == account
    (container,) = pod["containers"]
    check_flags(container["command"] + container["args"])
    assert "--config.training.cluster=kubernetes" in container["args"]
    variables = {entry["name"]: entry for entry in container["env"]}
    assert variables["TF_MDSM_PODS"]["value"] == f"job-name={parts['Job']['metadata']['name']}"
    assert int(variables["TF_MDSM_WORKERS"]["value"]) == job["parallelism"] == job["completions"]
    named = variables["TF_MDSM_POD"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert named == "metadata.name"


def test_slurm_script():
    text = (runs.ROOT / "launch" / "slurm.sbatch").read_text().replace("\\\n", " ")
    words = next(line for line in text.splitlines() if "srun --" in line).split()
    program = [word.strip('"') for word in words[words.index("python") :] if word != '"$@"']
    check_flags(program)
    assert "--config.training.cluster=slurm" in program
    assert '--cpus-per-task="$SLURM_CPUS_PER_TASK"' in words


@pytest.mark.parametrize("name", ["workers.sh", "slurm.sbatch"])
def test_scripts_parse(name):
    subprocess.run(["bash", "-n", f"launch/{name}"], cwd=runs.ROOT, check=True)


def test_the_image_contains_what_the_program_needs():
    lines = (runs.ROOT / "launch" / "Dockerfile").read_text().splitlines()
    sources = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert {"requirements.txt", "tf_mdsm", "configs"} <= set(sources)
    for source in sources:
        assert (runs.ROOT / source).exists(), source
