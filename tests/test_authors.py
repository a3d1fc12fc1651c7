"""The authors' names, layouts and weights, to our networks and back."""

import golden
import numpy as np
import pytest

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks import pytorch_layout as layout
from tf_mdsm.networks.architectures import HEADS, STAGES
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.pytorch_weights import read_published

# A width and an image for each, all different.
SMALL = {"res6": (3, 40, 1), "res12": (1, 8, 3), "res18": (2, 16, 2), "res34": (2, 32, 1)}


def rebuilt(published):
    """Our network with the published weights."""
    network = build_network(
        published.name, published.image_shape, published.channels, published.head, seed=1
    )
    assert {variable.path for variable in network.variables} == published.weights.keys()
    for variable in network.variables:
        variable.assign(published.weights[variable.path])
    return network


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", STAGES)
def test_there_and_back(name, head):
    channels, side, colours = SMALL[name]
    network = build_network(name, (side, side, colours), channels, head)
    state = layout.state_dict(network)
    published = read_published({f"module.{name}": array for name, array in state.items()})
    assert (published.name, published.head) == (name, head)
    assert (published.image_shape, published.channels) == ((side, side, colours), channels)
    copy = rebuilt(published)
    images = np.random.default_rng(0).random((3, side, side, colours), np.float32)
    np.testing.assert_array_equal(network(images), copy(images))
    again = layout.state_dict(copy)
    assert list(again) == list(state)
    for key, array in state.items():
        np.testing.assert_array_equal(array, again[key], err_msg=key)


@pytest.mark.parametrize("name", golden.FILES)
def test_the_authors_arrays_come_back_bit_for_bit(name):
    arrays = golden.load(name).arrays
    names = [key for key in arrays if key.startswith("weight/")]
    theirs = {name.removeprefix("weight/"): arrays[name] for name in names}
    ours = layout.state_dict(rebuilt(read_published(theirs)))
    for key, array in theirs.items():
        np.testing.assert_array_equal(array, ours.pop(key), err_msg=key)
    for key, array in ours.items():
        layer, _, kind = key.rsplit(".", 2)[-3:]
        assert layer.startswith("rb")
        np.testing.assert_array_equal(array, float(kind == "weight"))


def changed(state: dict, **changes) -> dict:
    """The state with other arrays; None takes one out. Dots are underscores twice."""
    changes = {name.replace("__", "."): array for name, array in changes.items()}
    return {name: array for name, array in {**state, **changes}.items() if array is not None}


@pytest.fixture(scope="module")
def state():
    return layout.state_dict(build_network("res12", (16, 16, 1), 2))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rb2__conv_1__conv__weight": None}, "1 missing ('rb2.conv_1.conv.weight')"),
        ({"fc__bias": np.ones(3)}, "res12, quadratic head, comes closest"),
        ({"fc__bias": np.ones(3)}, "1 unknown ('fc.bias')"),
        ({"rb1__bn3__bias": np.zeros(3)}, "1 unknown ('rb1.bn3.bias')"),
        ({f"x{n}": np.ones(1) for n in range(9)}, "9 unknown ('x0', 'x1', 'x2', …)"),
        (
            {"rb2__conv_1__conv__weight": np.ones((4, 5, 3, 3))},
            "rb2.conv_1.conv.weight of shape (4, 4, 3, 3), as its others ask. Received: (4, 5, 3",
        ),
        ({"rb1__conv_2__conv__conv__bias": np.ones((2, 2))}, "of shape (4,)"),
        ({"conv1__conv__weight": np.ones((3, 1, 3, 3))}, "shapes that one res12"),
        ({"conv1__conv__weight": np.ones((0, 1, 3, 3))}, "shapes that one res12"),
        ({"conv1__conv__weight": np.float32(2)}, "Received: () and (1, 64)"),
        ({"ln1__weight": np.ones((1, 2 * 16))}, "for square images"),
        ({"ln1__weight": np.ones((1, 0))}, "for square images"),
        ({"lq__bias": np.array([np.nan])}, "finite numbers as lq.bias. Received: 1 NaN"),
        ({"ln2__bias": np.array([3])}, "floating-point numbers as ln2.bias. Received: int64"),
        ({"rbc3__bn2__bias": np.full((16, 2, 2), 0.5)}, "without normalisation"),
    ],
)
def test_what_is_no_network_of_theirs_is_refused(state, changes, words):
    with pytest.raises(InvalidArgument) as refusal:
        read_published(changed(state, **changes))
    assert refusal.value.field == "--torch_checkpoint"
    assert words in str(refusal.value)


def test_another_family_is_refused():
    with pytest.raises(InvalidArgument, match="comes closest"):
        read_published({"layer1.0.conv1.weight": np.ones((64, 64, 3, 3)), "fc.bias": np.ones(9)})


def test_the_authors_have_no_dense_network():
    with pytest.raises(InvalidArgument, match=r"config\.export\.format. must be saved_model"):
        layout.state_dict(build_network("dense", (1, 1, 2), 4))
