"""The Inception network of 2015, by whose features FID, KID and Inception Score are published.

Its file is TensorFlow's `classify_image_graph_def.pb` out of `inception-2015-12-05.tgz`: a
GraphDef with the weights in it. It takes images of any size as numbers from 0 to 255 and resizes
and scales them itself, in its own way, which other implementations only approach.

What goes in and comes out is as in the programs that defined the scores: TTUR's `fid.py` (Heusel
et al., 2017) feeds `ExpandDims` and takes `pool_3`; improved-gan's `inception_score/model.py`
(Salimans et al., 2016) takes the last layer without its bias, 1,008 classes.
"""

import hashlib
import http.client
import os
import shutil
import tarfile
import urllib.request
import zlib

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.features import Features, extract_in_batches
from tf_mdsm.system.atomic import atomic_write

__all__ = ["INCEPTION_SHA256", "INCEPTION_URL", "download_inception", "load_inception"]

INCEPTION_URL = "http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz"

# Of the graph's file, 95,673,916 bytes. Stated by several public evaluations about the copy that
# guided-diffusion's evaluator downloads; the file in the archive above is listed with that length.
INCEPTION_SHA256 = "009d6814d1bc560d4e7b236e170e9b2d5ca6f4b57bd8037f6db05776204415c6"

_NAME = "inception-2015-12-05"
_GRAPH_FILE = "classify_image_graph_def.pb"
_ARCHIVES = (".tgz", ".tar.gz")

# Nodes: images as floats from 0 to 255, [B, H, W, 3]; features [B, 1, 1, size]; the matrix product
# of the last layer, whose second input is its weights [size, classes].
_IMAGES, _POOLED, _LAST_PRODUCT = "ExpandDims", "pool_3", "softmax/logits/MatMul"

# What is read of it at most, should an archive unpack to more.
_LARGEST = 2**28

_BATCH = 50
_TIMEOUT_SECONDS = 60


def download_inception(
    folder: str, url: str = INCEPTION_URL, expected_sha256: str = INCEPTION_SHA256
) -> str:
    """The path of the graph's file in a folder, into which it is downloaded if it is not there.

    Raises:
        InvalidArgument: if it cannot be downloaded, or is another file.
    """
    path = os.path.join(folder, _GRAPH_FILE)
    if os.path.exists(path):
        return path
    archive = os.path.join(folder, os.path.basename(url))
    try:
        with (
            urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response,  # noqa: S310
            atomic_write(archive) as partial,
            open(partial, "wb") as file,
        ):
            shutil.copyfileobj(response, file)
    except (OSError, http.client.HTTPException) as error:
        advice = f"hold {_GRAPH_FILE}, as it cannot be downloaded here"
        raise InvalidArgument("folder", advice, f"{folder} ({error})") from error
    try:
        content = _read_graph_file(archive, expected_sha256)
    finally:
        os.remove(archive)
    with atomic_write(path) as partial, open(partial, "wb") as file:
        file.write(content)
    return path


def load_inception(path: str, expected_sha256: str = INCEPTION_SHA256) -> Features:
    """The network as features of images; grey images are repeated to three channels.

    Args:
        path: the graph's file, or the archive that holds it (`.tgz`).
        expected_sha256: of the graph's file, also where it is in an archive.

    Raises:
        InvalidArgument: for a file that cannot be read or has another checksum.
    """
    content = _read_graph_file(path, expected_sha256)
    try:
        original = tf.compat.v1.GraphDef.FromString(content)
    except DecodeError as error:
        raise InvalidArgument("path", "hold a TensorFlow graph", path) from error
    weights_name = _weights_name(original, path)
    # A session, since a function would be held to the present version of TensorFlow's operations,
    # and the graph's normalisation is of an older one.
    graph = tf.Graph()
    with graph.as_default():
        opened = _open_to_batches(original, [_POOLED, weights_name])
        images, pooled, weights = tf.graph_util.import_graph_def(
            opened, return_elements=[f"{_IMAGES}:0", f"{_POOLED}:0", f"{weights_name}:0"], name=""
        )
        size = weights.shape[0]
        features = tf.reshape(pooled, [-1, size])
        logits = tf.matmul(features, weights)
    session = tf.compat.v1.Session(graph=graph)

    def of_batch(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        colours = np.repeat(batch, 3 // batch.shape[-1], axis=-1).astype(np.float32)
        return tuple(session.run([features, logits], {images: colours}))

    def extract(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if images.ndim == 4 and images.shape[-1] not in (1, 3):
            raise InvalidArgument("images", "have 1 or 3 channels", images.shape)
        return extract_in_batches(of_batch, images, _BATCH)

    checksum = hashlib.sha256(content).hexdigest()
    return Features(_NAME, fingerprint=checksum[:16], size=size, extract=extract)


def _read_graph_file(path: str, expected_sha256: str) -> bytes:
    try:
        if path.endswith(_ARCHIVES):
            with tarfile.open(path, "r:gz") as archive:
                file = archive.extractfile(_GRAPH_FILE)
                content = file.read(_LARGEST) if file else b""
        else:
            with open(path, "rb") as file:
                content = file.read(_LARGEST)
    except KeyError as error:
        raise InvalidArgument("path", f"be an archive that holds {_GRAPH_FILE}", path) from error
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        readable = f"be {_GRAPH_FILE} or {_NAME}.tgz, readable ({error})"
        raise InvalidArgument("path", readable, path) from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected_sha256:
        known = f"hold {_GRAPH_FILE} with SHA-256 {expected_sha256}"
        raise InvalidArgument("path", known, f"{found} in {path}")
    return content


def _weights_name(graph: tf.compat.v1.GraphDef, path: str) -> str:
    nodes = {node.name: node for node in graph.node}
    for name in (_IMAGES, _POOLED, _LAST_PRODUCT):
        if name not in nodes:
            raise InvalidArgument("path", f"hold a graph with a node {name}", path)
    return nodes[_LAST_PRODUCT].input[1].partition(":")[0]


def _open_to_batches(graph: tf.compat.v1.GraphDef, wanted: list[str]) -> tf.compat.v1.GraphDef:
    """A graph from its images to the wanted nodes, for any number of images.

    The original begins with one JPEG file; the shapes that it keeps of its tensors, of a batch
    of one, would hold TensorFlow to that. They are left out, and are inferred again from images
    that come from outside.
    """
    nodes = {node.name: node for node in graph.node}
    opened = tf.compat.v1.GraphDef(versions=graph.versions)
    images = opened.node.add(name=_IMAGES, op="Placeholder")
    images.attr["dtype"].type = tf.float32.as_datatype_enum
    images.attr["shape"].shape.CopyFrom(tf.TensorShape([None, None, None, 3]).as_proto())
    done, waiting = {_IMAGES}, list(wanted)
    while waiting:
        name = waiting.pop()
        if name in done:
            continue
        done.add(name)
        kept = opened.node.add()
        kept.CopyFrom(nodes[name])
        kept.attr.pop("_output_shapes", None)
        waiting += [source.removeprefix("^").partition(":")[0] for source in kept.input]
    return opened
