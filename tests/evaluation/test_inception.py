"""The Inception network of 2015, on a small graph with the same peculiarities."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import tiny_inception
from tests.helpers.image_data import random_uint8
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.inception import INCEPTION_SHA256, download_inception, load_inception


@pytest.fixture
def graph_file(tmp_path):
    """A file like that of Inception, and its checksum."""
    content = tiny_inception.frozen_graph()
    path = tmp_path / "classify_image_graph_def.pb"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


@pytest.fixture
def archive(graph_file, tmp_path):
    path = tmp_path / "inception-2015-12-05.tgz"
    with tarfile.open(path, "w:gz") as file:
        file.addfile(tarfile.TarInfo("LICENSE"), io.BytesIO())
        file.add(graph_file[0], "classify_image_graph_def.pb")
    return path


def test_the_small_graph_has_the_peculiarities_of_the_original(graph_file):
    """Imported unchanged, it treats three images as one, and cannot run as a tf.function."""
    original = tf.compat.v1.GraphDef.FromString(graph_file[0].read_bytes())

    def pooled(images):
        inputs, outputs = {"ExpandDims:0": images}, ["pool_3:0"]
        return tf.graph_util.import_graph_def(original, inputs, return_elements=outputs, name="")[0]

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        images = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3])
        shape = tf.shape(pooled(images))
        assert session.run(shape, {images: np.zeros((3, 9, 9, 3))})[0] == 1
    function = tf.compat.v1.wrap_function(pooled, [tf.TensorSpec([None, None, None, 3])])
    with pytest.raises(tf.errors.UnimplementedError, match="It has been removed in version 9"):
        function(tf.zeros([3, 9, 9, 3]))


@pytest.mark.parametrize("count", [1, 3, 50, 61])
def test_inception_on_any_number_of_images(graph_file, count):
    path, checksum = graph_file
    features = load_inception(str(path), checksum)
    assert (features.name, features.size) == ("inception-2015-12-05", tiny_inception.FILTERS)
    assert features.fingerprint == checksum[:16]
    images = random_uint8(count, 12, 16, 3)
    for ours, theirs in zip(features.extract(images), tiny_inception.expected(images), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_inception_on_grayscale_images_and_floats_from_the_archive(graph_file, archive):
    _, checksum = graph_file
    features = load_inception(str(archive), checksum)
    gray = random_uint8(4, 9, 9, 1)
    expected = tiny_inception.expected(gray.repeat(3, axis=-1))
    for images in (gray, gray / 255, gray.repeat(3, axis=-1)):
        for ours, theirs in zip(features.extract(images), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    with pytest.raises(InvalidArgument, match="have 1 or 3 channels"):
        features.extract(random_uint8(2, 9, 9, 2))


def test_another_file_is_refused_with_both_checksums(graph_file):
    path, checksum = graph_file
    with pytest.raises(InvalidArgument, match=f"{INCEPTION_SHA256}.* Received: {checksum}"):
        load_inception(str(path))


def test_files_without_the_graph_are_refused(graph_file, archive, tmp_path):
    path, checksum = graph_file
    with pytest.raises(InvalidArgument, match="be classify_image_graph_def"):
        load_inception(str(tmp_path / "missing.pb"))
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(InvalidArgument, match="readable"):
        load_inception(str(archive), checksum)
    with tarfile.open(archive, "w:gz") as file:
        file.add(path, "another.pb")
    with pytest.raises(InvalidArgument, match="an archive that holds"):
        load_inception(str(archive), checksum)
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    (index,) = (i for i, node in enumerate(graph.node) if node.name == "softmax/logits/MatMul")
    del graph.node[index]
    for content, message in (
        (graph.SerializeToString(), "a node softmax/logits/MatMul"),
        (b"no graph", "hold a TensorFlow graph"),
    ):
        path.write_bytes(content)
        with pytest.raises(InvalidArgument, match=message):
            load_inception(str(path), hashlib.sha256(content).hexdigest())


def test_downloading_once(graph_file, archive, tmp_path):
    """From a `file:` address."""
    content, checksum = graph_file[0].read_bytes(), graph_file[1]
    folder = tmp_path / "cache"
    path = download_inception(str(folder), archive.as_uri(), checksum)
    assert [file.name for file in folder.iterdir()] == ["classify_image_graph_def.pb"]
    assert (folder / "classify_image_graph_def.pb").read_bytes() == content
    archive.unlink()
    assert download_inception(str(folder), archive.as_uri(), checksum) == path


def test_a_failed_download_leaves_no_file(archive, tmp_path):
    folder = tmp_path / "cache"
    with pytest.raises(InvalidArgument, match=f"{INCEPTION_SHA256}.* Received: "):
        download_inception(str(folder), archive.as_uri())
    for url in (archive.with_name("missing.tgz").as_uri(), "http://127.0.0.1:9/inception.tgz"):
        with pytest.raises(InvalidArgument, match="`folder` must hold classify_image_graph"):
            download_inception(str(folder), url)
    assert list(folder.iterdir()) == []
