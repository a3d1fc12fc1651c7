"""The roofline of a network: its own convolutions, and nothing else."""

from collections.abc import Callable

import tensorflow as tf
from keras import layers

from benchmarks.cost.peers.case import Case
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.convolutions import MeanPooledConv2D

__all__ = ["MODES", "prepare"]

MODES = ("float32", "bfloat16")


def prepare(case: Case, mode: str) -> dict[str, Callable[[int], None]]:
    """ "train" and "langevin": functions that take so many steps' convolutions, one by one.

    As the network is computed: a gradient takes each of them forward and transposed, a training
    step both twice, and its weights' derivative twice (benchmarks/cost/flops.py).
    """
    network = build_network(case.network, case.image_shape, case.channels)
    dtype = tf.dtypes.as_dtype(mode)
    # Each twice, of other arrays: equal operations would be done once.
    convolutions = [_operands(case.batch_size, layer, dtype) for layer in _layers(network)]
    others = [_operands(case.batch_size, layer, dtype) for layer in _layers(network)]

    def take(kinds: list[tuple[Callable, list]]) -> Callable[[], tf.Tensor]:
        def run():
            # A number of each is added up: what nobody asks for would not be computed.
            total = tf.constant(0, dtype)
            for compute, operands in kinds:
                with tf.control_dependencies([total]):
                    total += tf.reshape(compute(*operands), [-1])[0]
            return total

        return tf.function(run, autograph=False)

    both = [operands for pair in zip(convolutions, others, strict=True) for operands in pair]
    training = take([(kind, operands) for operands in both for kind in (_forward, _back, _weights)])
    gradient = take([(kind, operands) for operands in convolutions for kind in (_forward, _back)])

    def repeated(function: Callable[[], tf.Tensor]) -> Callable[[int], None]:
        def run(steps: int) -> None:
            for _ in range(steps):
                found = function()
            found.numpy()

        return run

    return {"train": repeated(training), "langevin": repeated(gradient)}


def _layers(network) -> list[layers.Conv2D]:
    return [layer for layer in network.layers if isinstance(layer, layers.Conv2D)]


def _operands(batch_size: int, layer: layers.Conv2D, dtype: tf.DType) -> list:
    """Images, kernel, images made of them, and the stride."""
    side, _, before, after = layer.kernel.shape
    stride = 2 if isinstance(layer, MeanPooledConv2D) else 1
    shapes = (
        (batch_size, *layer.input.shape[1:]),
        (side + stride - 1, side + stride - 1, before, after),
        (batch_size, *layer.output.shape[1:]),
    )
    return [*(tf.cast(tf.random.normal(shape), dtype) for shape in shapes), stride]


def _forward(images, kernel, made, stride: int):
    del made
    return tf.nn.conv2d(images, kernel, stride, "SAME")


def _back(images, kernel, made, stride: int):
    return tf.nn.conv2d_transpose(made, kernel, images.shape, stride, "SAME")


def _weights(images, kernel, made, stride: int):
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=kernel.shape,
        out_backprop=made,
        strides=(1, stride, stride, 1),
        padding="SAME",
    )
