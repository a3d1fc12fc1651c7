"""The Inception network of 2015 as a feature extractor, for published FID, KID and Inception Score.

Its file is TensorFlow's `classify_image_graph_def.pb` from `inception-2015-12-05.tgz`: a GraphDef
that contains the weights. It takes images of any size as numbers from 0 to 255. It resizes and
scales them itself, in a way that other implementations only approximate.

Input and outputs are those of the programs that defined the scores. TTUR's `fid.py` (Heusel et
al., 2017) feeds `ExpandDims` and reads `pool_3`. Improved-gan's `inception_score/model.py`
(Salimans et al., 2016) uses the last layer without its bias, with 1,008 classes.
"""

import contextlib
import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import urllib.request
import zlib
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.features import FeatureExtractor, extract_in_batches
from tf_mdsm.system.atomic import atomic_write

__all__ = ["INCEPTION_SHA256", "INCEPTION_URL", "download_inception", "load_inception"]

INCEPTION_URL = "http://download.tensorflow.org/models/image/imagenet/inception-2015-12-05.tgz"

# Checksum of the graph's file, which has 95,673,916 bytes. Several public evaluations state it for
# the copy that guided-diffusion's evaluator downloads. The archive above lists its file with the
# same length.
INCEPTION_SHA256 = "009d6814d1bc560d4e7b236e170e9b2d5ca6f4b57bd8037f6db05776204415c6"

_NAME = "inception-2015-12-05"
_GRAPH_FILE = "classify_image_graph_def.pb"
_ARCHIVES = (".tgz", ".tar.gz")

# Names of nodes: images as floats from 0 to 255, [B, H, W, 3]; features, [B, 1, 1, size]; the
# matrix product of the last layer, whose second input is its weights, [size, classes].
_IMAGES, _POOLED, _LAST_PRODUCT = "ExpandDims", "pool_3", "softmax/logits/MatMul"

# At most this many bytes of the graph's file are read, in case an archive unpacks to more.
_MAX_BYTES = 2**28

# Images in a batch.
_BATCH = 50

# The download fails if the server is silent for this time.
_TIMEOUT_SECONDS = 60


def download_inception(
    folder: str, url: str = INCEPTION_URL, expected_sha256: str = INCEPTION_SHA256
) -> str:
    """Downloads the graph's file into a folder, unless it is there already.

    Args:
        folder: where the file is kept.
        url: address of the archive that contains it.
        expected_sha256: checksum of the file.

    Returns:
        the path of the file.

    Raises:
        InvalidArgument: if the file cannot be downloaded, or has another checksum.
    """
    path = os.path.join(folder, _GRAPH_FILE)
    if os.path.exists(path):
        return path
    # A folder of this process: another one may download the same meanwhile.
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(folder, exist_ok=True)
            own = stack.enter_context(tempfile.TemporaryDirectory(dir=folder))
            archive = os.path.join(own, os.path.basename(url))
            with (
                urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response,  # noqa: S310
                open(archive, "wb") as file,
            ):
                shutil.copyfileobj(response, file)
        except (OSError, http.client.HTTPException) as error:
            advice = f"hold {_GRAPH_FILE}, as it cannot be downloaded here"
            raise InvalidArgument("folder", advice, f"{folder} ({error})") from error
        content = _read_graph_file(archive, expected_sha256)
    with atomic_write(path) as partial, open(partial, "wb") as file:
        file.write(content)
    return path


def load_inception(path: str, expected_sha256: str = INCEPTION_SHA256) -> FeatureExtractor:
    """Loads the network as a feature extractor; it repeats grayscale images to three channels.

    Args:
        path: the graph's file, or the archive that contains it (`.tgz`).
        expected_sha256: checksum of the graph's file, also if it is in an archive.

    Raises:
        InvalidArgument: for a file that cannot be read or has another checksum.
    """
    content = _read_graph_file(path, expected_sha256)
    try:
        original = tf.compat.v1.GraphDef.FromString(content)
    except DecodeError as error:
        raise InvalidArgument("path", "hold a TensorFlow graph", path) from error
    weights_name = _weights_name(original, path)

    # A session runs the graph. A tf.function would be limited to the operations of the current
    # version of TensorFlow, and the graph's batch normalization is an older operation.
    graph = tf.Graph()
    with graph.as_default():
        for_batches = _for_any_batch_size(original, [_POOLED, weights_name])
        elements = [f"{_IMAGES}:0", f"{_POOLED}:0", f"{weights_name}:0"]
        images, pooled, weights = tf.graph_util.import_graph_def(
            for_batches, return_elements=elements, name=""
        )
        size = weights.shape[0]
        features = tf.reshape(pooled, [-1, size])
        logits = tf.matmul(features, weights)
    session = tf.compat.v1.Session(graph=graph)

    def extract_batch(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rgb = np.repeat(batch, 3 // batch.shape[-1], axis=-1).astype(np.float32)
        return tuple(session.run([features, logits], {images: rgb}))

    def extract(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if images.ndim == 4 and images.shape[-1] not in (1, 3):
            raise InvalidArgument("images", "have 1 or 3 channels", images.shape)
        return extract_in_batches(extract_batch, images, _BATCH)

    checksum = hashlib.sha256(content).hexdigest()
    return FeatureExtractor(_NAME, fingerprint=checksum[:16], size=size, extract=extract)


def _read_graph_file(path: str, expected_sha256: str) -> bytes:
    """Reads the graph's file, perhaps from an archive, and checks its checksum."""
    try:
        if path.endswith(_ARCHIVES):
            with tarfile.open(path, "r:gz") as archive:
                file = archive.extractfile(_GRAPH_FILE)
                content = file.read(_MAX_BYTES) if file else b""
        else:
            with open(path, "rb") as file:
                content = file.read(_MAX_BYTES)
    except KeyError as error:
        raise InvalidArgument("path", f"be an archive that holds {_GRAPH_FILE}", path) from error
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        readable = f"be {_GRAPH_FILE} or {_NAME}.tgz, readable ({error})"
        raise InvalidArgument("path", readable, path) from error
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != expected_sha256:
        known = f"hold {_GRAPH_FILE} with SHA-256 {expected_sha256}"
        raise InvalidArgument("path", known, f"{checksum} in {path}")
    return content


def _weights_name(graph: Any, path: str) -> str:
    """Name of the node of the last layer's weights in a GraphDef."""
    nodes = {node.name: node for node in graph.node}
    for name in (_IMAGES, _POOLED, _LAST_PRODUCT):
        if name not in nodes:
            raise InvalidArgument("path", f"hold a graph with a node {name}", path)
    return nodes[_LAST_PRODUCT].input[1].partition(":")[0]


def _for_any_batch_size(graph: Any, outputs: list[str]) -> Any:
    """A GraphDef from the images to some output nodes, for any number of images.

    The original graph begins with one JPEG file, and stores the shapes of its tensors for a batch
    of one. These would limit TensorFlow to one image. They are left out here, and inferred again
    from a placeholder for images.
    """
    nodes = {node.name: node for node in graph.node}
    copied: Any = tf.compat.v1.GraphDef(versions=graph.versions)
    images = copied.node.add(name=_IMAGES, op="Placeholder")
    images.attr["dtype"].type = tf.float32.as_datatype_enum
    images.attr["shape"].shape.CopyFrom(tf.TensorShape([None, None, None, 3]).as_proto())
    done, pending = {_IMAGES}, list(outputs)
    while pending:
        name = pending.pop()
        if name in done:
            continue
        done.add(name)
        node = copied.node.add()
        node.CopyFrom(nodes[name])
        node.attr.pop("_output_shapes", None)
        pending += [source.removeprefix("^").partition(":")[0] for source in node.input]
    return copied
