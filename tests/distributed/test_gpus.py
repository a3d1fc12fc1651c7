"""Settings of GPUs, and which of them XLA knows, on stand-ins: there is no GPU here."""

import pytest
import tensorflow as tf

from tests.helpers.gpus import missing_on_gpus, with_gpus
from tf_mdsm.distributed.gpus import set_up_gpus, unknown_to_xla


@pytest.fixture(autouse=True)
def rounding():
    """Leaves TensorFlow's rounding as it was."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


@pytest.mark.parametrize("enabled", [True, False])
def test_settings_reach_tensorflow(monkeypatch, enabled):
    gpus = with_gpus(monkeypatch, (8, 0), (9, 0))
    set_up_gpus(tensor_float_32=enabled, memory_growth=not enabled)
    assert tf.config.experimental.tensor_float_32_execution_enabled() == enabled
    assert gpus.memory_growth == {"GPU:0": not enabled, "GPU:1": not enabled}


@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_gpus_in_use_keep_their_memory(monkeypatch, error):
    """What TensorFlow raises after the first operation, and for GPUs that were divided."""
    gpus = with_gpus(monkeypatch, (8, 0))
    gpus.error = error("cannot be modified")
    set_up_gpus(tensor_float_32=True, memory_growth=True)
    assert tf.config.experimental.tensor_float_32_execution_enabled()
    assert not gpus.memory_growth


@pytest.mark.parametrize(
    ("capabilities", "unknown"),
    [
        ([], []),
        ([(7, 0), (9, 0)], []),
        ([(10, 0), (11, 9)], []),
        ([(12, 0)], ["12.0"]),
        ([(12, 1), (9, 0), (12, 0), (12, 1)], ["12.0", "12.1"]),
        ([None, (13, 0)], ["13.0"]),
    ],
)
def test_xla_does_not_know_blackwell(monkeypatch, capabilities, unknown):
    with_gpus(monkeypatch, *capabilities)
    assert unknown_to_xla() == unknown


def test_the_registry_of_operations_knows_what_gpus_lack():
    def fill(value):
        return tf.fill([2], value)

    assert missing_on_gpus(fill, tf.TensorSpec([], tf.float32)) == set()
    assert missing_on_gpus(fill, tf.TensorSpec([], tf.uint64)) == {("Fill", "uint64")}
