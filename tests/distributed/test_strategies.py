"""Strategies by name: their devices, and the batches that they can share."""

import signal
import types

import pytest
import tensorflow as tf

from tests.helpers.clusters import TWO_WORKERS, tf_config
from tf_mdsm.distributed import strategies
from tf_mdsm.distributed.cluster_spec import ClusterSpec
from tf_mdsm.errors import InvalidArgument, RunError


@pytest.mark.parametrize(
    ("name", "kind"),
    [("mirrored", tf.distribute.MirroredStrategy), ("one_device", tf.distribute.OneDeviceStrategy)],
)
def test_strategies_of_one_machine(name, kind):
    strategy = strategies.create_strategy(name, batch_size=7)
    assert isinstance(strategy, kind)
    assert strategy.num_replicas_in_sync == 1


def test_several_devices_share_a_batch(monkeypatch):
    """A strategy for one device takes the first of them, and any batch."""
    devices = tf.config.list_logical_devices("CPU") * 3
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: devices)
    assert len(strategies.local_devices()) == 3
    with pytest.raises(InvalidArgument, match=r"divisible by the number of replicas \(3\)"):
        strategies.create_strategy("mirrored", batch_size=16)
    assert strategies.create_strategy("one_device", batch_size=16).num_replicas_in_sync == 1


def test_a_missing_description_of_the_workers_is_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InvalidArgument, match="TF_CONFIG` must be set"):
        strategies.create_strategy("multi_worker_mirrored")


def test_the_workers_share_a_batch(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config({"worker": ["a:1", "b:2", "c:3"]}))
    with pytest.raises(InvalidArgument, match=r"divisible by the number of replicas \(3\)"):
        strategies.create_strategy("multi_worker_mirrored", batch_size=16)


def test_workers_meet_before_they_are_connected(monkeypatch):
    calls = []
    monkeypatch.setenv("TF_CONFIG", tf_config(TWO_WORKERS, index=1))
    monkeypatch.setattr(strategies, "wait_for_workers", lambda cluster: calls.append(cluster))
    monkeypatch.setattr(
        tf.distribute, "MultiWorkerMirroredStrategy", lambda resolver: calls.append(resolver)
    )
    strategies.create_strategy("multi_worker_mirrored", batch_size=16)
    cluster, resolver = calls
    assert cluster == ClusterSpec("TF_CONFIG", ("a:1", "b:2"), 1)
    assert resolver.cluster_spec().as_dict() == {"worker": ["a:1", "b:2"]}
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)


def test_workers_that_cannot_be_connected_are_reported(monkeypatch):
    """The handlers of signals are as before, then."""
    before = signal.getsignal(signal.SIGINT)

    def fail(resolver):
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        raise tf.errors.UnknownError(None, None, "no server")

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", fail)
    with pytest.raises(RunError, match=r"cannot be connected \(no server\)"):
        strategies._connect_workers(ClusterSpec("TF_CONFIG", ("a:1", "b:2"), 0), 0)
    assert signal.getsignal(signal.SIGINT) == before


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
