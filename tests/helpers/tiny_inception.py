"""A small frozen graph with the nodes and the peculiarities of the Inception network of 2015.

It begins with one JPEG file. It uses a batch normalization that current versions of TensorFlow do
not have as a function. It stores the shapes of its tensors for a batch of one, and reshapes its
output to a batch of one.
"""

import numpy as np
import tensorflow as tf

SIDE, FILTERS, CLASSES = 9, 5, 7


def arrays() -> dict[str, np.ndarray]:
    """The weights by name."""
    generator = np.random.default_rng(0)
    return {
        "kernel": generator.normal(size=(3, 3, 3, FILTERS)).astype(np.float32),
        "gamma": generator.uniform(0.5, 2, FILTERS).astype(np.float32),
        "beta": generator.normal(size=FILTERS).astype(np.float32),
        "mean": generator.normal(size=FILTERS).astype(np.float32),
        "variance": generator.uniform(0.5, 2, FILTERS).astype(np.float32),
        "weights": generator.normal(size=(FILTERS, CLASSES)).astype(np.float32),
        "biases": generator.normal(size=CLASSES).astype(np.float32),
    }


def frozen_graph() -> bytes:
    """The serialized GraphDef."""
    graph = tf.compat.v1.GraphDef()
    graph.versions.producer = 8

    def add(name, op, inputs=(), shape=None, **attributes):
        node = graph.node.add(name=name, op=op, input=inputs)
        for key, value in attributes.items():
            if isinstance(value, tf.DType):
                node.attr[key].type = value.as_datatype_enum
            elif isinstance(value, bool):
                node.attr[key].b = value
            elif isinstance(value, (int, float)):
                node.attr[key].__setattr__("i" if isinstance(value, int) else "f", value)
            elif isinstance(value, str):
                node.attr[key].s = value.encode()
            elif isinstance(value, list):
                node.attr[key].list.i.extend(value)
            else:
                node.attr[key].tensor.CopyFrom(value)
        if shape is not None:
            node.attr["_output_shapes"].list.shape.add().CopyFrom(tf.TensorShape(shape).as_proto())

    def constant(name, value):
        tensor = tf.make_tensor_proto(value)
        add(name, "Const", dtype=tf.as_dtype(tensor.dtype), value=tensor)

    floats = {"T": tf.float32}
    for name, value in arrays().items():
        constant(f"softmax/{name}" if name in ("weights", "biases") else name, value)
    constant("DecodeJpeg/contents", b"no JPEG file")
    constant("ExpandDims/dim", 0)
    constant("ResizeBilinear/size", [SIDE, SIDE])
    constant("Sub/y", np.float32(128))
    constant("Mul/y", np.float32(1 / 128))
    constant("pool_3/_reshape/shape", [1, FILTERS])
    add("DecodeJpeg", "DecodeJpeg", ["DecodeJpeg/contents"], channels=3)
    add("Cast", "Cast", ["DecodeJpeg"], SrcT=tf.uint8, DstT=tf.float32)
    batch = [1, None, None, 3]
    add("ExpandDims", "ExpandDims", ["Cast", "ExpandDims/dim"], batch, **floats)
    resized = [1, SIDE, SIDE, 3]
    add(
        "ResizeBilinear",
        "ResizeBilinear",
        ["ExpandDims", "ResizeBilinear/size"],
        resized,
        align_corners=False,
        **floats,
    )
    add("Sub", "Sub", ["ResizeBilinear", "Sub/y"], resized, **floats)
    add("Mul", "Mul", ["Sub", "Mul/y"], resized, **floats)
    inner = [1, SIDE - 2, SIDE - 2, FILTERS]
    valid = {"strides": [1, 1, 1, 1], "padding": "VALID", **floats}
    add("conv/Conv2D", "Conv2D", ["Mul", "kernel"], inner, **valid)
    add(
        "conv/batchnorm",
        "BatchNormWithGlobalNormalization",
        ["conv/Conv2D", "mean", "variance", "beta", "gamma"],
        inner,
        variance_epsilon=0.001,
        scale_after_normalization=True,
        **floats,
    )
    add("conv", "Relu", ["conv/batchnorm"], inner, **floats)
    window = {"ksize": [1, SIDE - 2, SIDE - 2, 1], **valid}
    add("pool_3", "AvgPool", ["conv"], [1, 1, 1, FILTERS], **window)
    add(
        "pool_3/_reshape",
        "Reshape",
        ["pool_3", "pool_3/_reshape/shape"],
        [1, FILTERS],
        **floats,
    )
    add(
        "softmax/logits/MatMul",
        "MatMul",
        ["pool_3/_reshape", "softmax/weights"],
        [1, CLASSES],
        **floats,
    )
    add(
        "softmax/logits",
        "BiasAdd",
        ["softmax/logits/MatMul", "softmax/biases"],
        [1, CLASSES],
        **floats,
    )
    add("softmax", "Softmax", ["softmax/logits"], [1, CLASSES], **floats)
    return graph.SerializeToString()


def expected(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of images, uint8 [N, H, W, 3], computed without the graph."""
    values = arrays()
    resized = tf.compat.v1.image.resize_bilinear(images.astype(np.float32), [SIDE, SIDE])
    convolved = tf.nn.conv2d((resized - 128) / 128, values["kernel"], 1, "VALID").numpy()
    scale = values["gamma"] / np.sqrt(values["variance"] + 0.001)
    normalized = (convolved - values["mean"]) * scale + values["beta"]
    features = np.maximum(normalized, 0).mean(axis=(1, 2))
    return features, features @ values["weights"]
