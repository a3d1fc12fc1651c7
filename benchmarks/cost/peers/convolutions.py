"""The convolutions of a network's steps alone: a limit for the time of the steps."""

from collections.abc import Callable

import tensorflow as tf
from keras import layers

from benchmarks.cost.peers.case import Case
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.convolutions import MeanPooledConv2D

__all__ = ["MODES", "prepare"]

MODES = ("float32", "bfloat16")


def prepare(case: Case, mode: str) -> dict[str, Callable[[int], None]]:
    """Jobs "train" and "langevin": functions that compute a number of steps' convolutions.

    The convolutions are those that the network executes, one after the other. A gradient takes
    each of them forward and transposed. A training step takes both twice, and the derivative with
    respect to the weights twice (benchmarks/cost/flops.py).

    Args:
        case: network and batch.
        mode: the dtype.
    """
    network = build_network(case.network, case.image_shape, case.channels)
    dtype = tf.dtypes.as_dtype(mode)
    # Two sets of arrays: TensorFlow would compute equal operations once only.
    convolutions = [_operands(case.batch_size, layer, dtype) for layer in _layers(network)]
    others = [_operands(case.batch_size, layer, dtype) for layer in _layers(network)]

    def compiled(operations: list[tuple[Callable, list]]) -> Callable[[], tf.Tensor]:
        def run():
            # One number of each result is added up: unused results would not be computed.
            total = tf.constant(0, dtype)
            for compute, operands in operations:
                with tf.control_dependencies([total]):
                    total += tf.reshape(compute(*operands), [-1])[0]
            return total

        return tf.function(run, autograph=False)

    both = [operands for pair in zip(convolutions, others, strict=True) for operands in pair]
    kinds = (_forward, _input_gradient, _weight_gradient)
    training = compiled([(kind, operands) for operands in both for kind in kinds])
    gradient = compiled([(kind, operands) for operands in convolutions for kind in kinds[:2]])

    def repeated(function: Callable[[], tf.Tensor]) -> Callable[[int], None]:
        def run(steps: int) -> None:
            for _ in range(steps):
                result = function()
            result.numpy()

        return run

    return {"train": repeated(training), "langevin": repeated(gradient)}


def _layers(network) -> list[layers.Conv2D]:
    return [layer for layer in network.layers if isinstance(layer, layers.Conv2D)]


def _operands(batch_size: int, layer: layers.Conv2D, dtype: tf.DType) -> list:
    """Random images, kernel and output of a layer's convolution, and its stride."""
    side, _, channels_in, channels_out = layer.kernel.shape
    stride = 2 if isinstance(layer, MeanPooledConv2D) else 1
    shapes = (
        (batch_size, *layer.input.shape[1:]),
        (side + stride - 1, side + stride - 1, channels_in, channels_out),
        (batch_size, *layer.output.shape[1:]),
    )
    return [*(tf.cast(tf.random.normal(shape), dtype) for shape in shapes), stride]


def _forward(images, kernel, outputs, stride: int):
    del outputs
    return tf.nn.conv2d(images, kernel, stride, "SAME")


def _input_gradient(images, kernel, outputs, stride: int):
    return tf.nn.conv2d_transpose(outputs, kernel, images.shape, stride, "SAME")


def _weight_gradient(images, kernel, outputs, stride: int):
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=kernel.shape,
        out_backprop=outputs,
        strides=(1, stride, stride, 1),
        padding="SAME",
    )
