"""The GPUs of this machine: how they compute and take memory, and which of them XLA knows."""

import contextlib

import tensorflow as tf

__all__ = ["set_up_gpus", "unknown_to_xla"]

# XLA of TensorFlow 2.21 writes PTX 8.5. GPUs of this compute capability (Blackwell) and later ones
# need PTX 8.7; LLVM then ends the process: github.com/tensorflow/tensorflow/issues/111958.
_FIRST_UNKNOWN_TO_XLA = (12, 0)


def set_up_gpus(*, tensor_float_32: bool, memory_growth: bool) -> None:
    """Sets how this process uses its GPUs; without GPUs it changes no result.

    Memory can be set until the first operation of TensorFlow. Afterwards, or on GPUs that the
    caller has divided into logical devices, it stays as it is.

    Args:
        tensor_float_32: round the inputs of float32 convolutions and matrix products to
            TensorFloat-32, with 10 bits after the leading one; for all of the process.
        memory_growth: take memory as it is needed, not nearly all of it at the start.
    """
    tf.config.experimental.enable_tensor_float_32_execution(tensor_float_32)
    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError, ValueError):
            tf.config.experimental.set_memory_growth(gpu, memory_growth)


def unknown_to_xla() -> list[str]:
    """The compute capabilities of this machine's GPUs on which XLA ends the process: ["12.0"].

    Source: `tf.config.experimental.get_device_details`; GPUs without a compute capability are not
    NVIDIA's.
    """
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    capabilities = {
        found["compute_capability"] for found in details if "compute_capability" in found
    }
    return [
        f"{major}.{minor}"
        for major, minor in sorted(capabilities)
        if (major, minor) >= _FIRST_UNKNOWN_TO_XLA
    ]
