"""GPUs without GPUs: stand-ins for devices, and TensorFlow's registry of their operations."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.framework import kernels


@dataclasses.dataclass
class Gpus:
    """Stand-ins for the GPUs of a machine.

    Attributes:
        details: what TensorFlow tells of each GPU.
        memory_growth: what was set, by the GPU's name.
        error: what setting memory growth raises, if anything.
    """

    details: list[dict]
    memory_growth: dict[str, bool] = dataclasses.field(default_factory=dict)
    error: Exception | None = None

    def set_memory_growth(self, gpu: tf.config.PhysicalDevice, enable: bool) -> None:
        if self.error:
            raise self.error
        self.memory_growth[gpu.name] = enable


def with_gpus(monkeypatch, *capabilities: tuple[int, int] | None) -> Gpus:
    """Gives this machine GPUs of these compute capabilities; None: a GPU that has none."""
    gpus = Gpus([{"compute_capability": found} if found else {} for found in capabilities])
    devices = [tf.config.PhysicalDevice(f"GPU:{i}", "GPU") for i in range(len(capabilities))]
    other_devices = tf.config.list_physical_devices

    def list_devices(kind=None):
        return devices if kind == "GPU" else other_devices(kind)

    monkeypatch.setattr(tf.config, "list_physical_devices", list_devices)
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda gpu: gpus.details[devices.index(gpu)]
    )
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", gpus.set_memory_growth)
    return gpus


def missing_on_gpus(function: Callable, *signature: tf.TensorSpec) -> set[tuple[str, str]]:
    """The operations of a function, with their types, that TensorFlow has for CPUs only."""
    traced = tf.function(function, autograph=False).get_concrete_function(*signature)
    graph = traced.graph.as_graph_def()
    nodes = [*graph.node, *(node for body in graph.library.function for node in body.node_def)]
    return {
        (node.op, tf.as_dtype(node.attr["T"].type or tf.float32).name)
        for node in nodes
        if not _has_gpu_kernel(node)
    }


def _has_gpu_kernel(node) -> bool:
    registered = kernels.get_registered_kernels_for_op(node.op).kernel
    return not registered or any(
        kernel.device_type in ("GPU", "DEFAULT")
        and all(
            node.attr[constraint.name].type in constraint.allowed_values.list.type
            for constraint in kernel.constraint
        )
        for kernel in registered
    )
