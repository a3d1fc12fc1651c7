"""The authors' weights: state_dict to our network's weights and back, and what is refused."""

import numpy as np
import pytest

from tests.helpers import golden
from tests.helpers.networks import noisy_images
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.pytorch_weights import from_state_dict, to_state_dict


def rebuilt(published):
    """Builds our network and gives it the published weights."""
    network = build_network(
        published.name, published.image_shape, published.channels, head=published.head, seed=1
    )
    assert {variable.path for variable in network.variables} == published.weights.keys()
    for variable in network.variables:
        variable.assign(published.weights[variable.path])
    return network


@pytest.mark.parametrize(
    ("name", "head", "channels", "shape"),
    [
        ("res6", "quadratic", 3, (40, 40, 1)),
        ("res12", "linear", 1, (8, 8, 3)),
        ("res18", "quadratic", 2, (16, 16, 2)),
        ("res34", "linear", 2, (32, 32, 1)),
    ],
)
def test_to_state_dict_and_back(name, head, channels, shape):
    """Width, side and channels of the images are found in the arrays' shapes."""
    network = build_network(name, shape, channels, head=head)
    state = to_state_dict(network)
    published = from_state_dict({f"module.{name}": array for name, array in state.items()})
    assert (published.name, published.head) == (name, head)
    assert (published.image_shape, published.channels) == (shape, channels)
    copy = rebuilt(published)
    images = noisy_images(3, *shape)
    np.testing.assert_array_equal(network(images), copy(images))
    again = to_state_dict(copy)
    assert list(again) == list(state)
    for key, array in state.items():
        np.testing.assert_array_equal(array, again[key], err_msg=key)


@pytest.mark.parametrize("name", golden.FILES)
def test_the_authors_arrays_are_recovered_bit_for_bit(name):
    theirs = golden.state_dict(name)
    ours = to_state_dict(rebuilt(from_state_dict(theirs)))
    for key, array in theirs.items():
        np.testing.assert_array_equal(array, ours.pop(key), err_msg=key)
    # Theirs without the unused normalization.
    for key, array in ours.items():
        layer, _, kind = key.rsplit(".", 2)[-3:]
        assert layer.startswith("rb")
        np.testing.assert_array_equal(array, float(kind == "weight"))


def changed(state: dict, **changes) -> dict:
    """Replaces arrays of a state_dict, or removes them by None; `__` in a name is a dot."""
    changes = {name.replace("__", "."): array for name, array in changes.items()}
    return {name: array for name, array in {**state, **changes}.items() if array is not None}


@pytest.fixture(scope="module")
def state():
    return to_state_dict(build_network("res12", (16, 16, 1), 2))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rb2__conv_1__conv__weight": None}, "1 missing ('rb2.conv_1.conv.weight')"),
        ({"fc__bias": np.ones(3)}, "the closest is res12 with quadratic head"),
        ({"fc__bias": np.ones(3)}, "1 unknown ('fc.bias')"),
        ({"rb1__bn3__bias": np.zeros(3)}, "1 unknown ('rb1.bn3.bias')"),
        ({f"x{n}": np.ones(1) for n in range(9)}, "9 unknown ('x0', 'x1', 'x2', …)"),
        (
            {"rb2__conv_1__conv__weight": np.ones((4, 5, 3, 3))},
            "rb2.conv_1.conv.weight of shape (4, 4, 3, 3), to fit its other arrays. "
            "Received: (4, 5, 3",
        ),
        ({"rb1__conv_2__conv__conv__bias": np.ones((2, 2))}, "of shape (4,)"),
        ({"conv1__conv__weight": np.ones((3, 1, 3, 3))}, "shapes that fit one res12"),
        ({"conv1__conv__weight": np.ones((0, 1, 3, 3))}, "shapes that fit one res12"),
        ({"conv1__conv__weight": np.float32(2)}, "Received: () and (1, 64)"),
        ({"ln1__weight": np.ones((1, 2 * 16))}, "for square images"),
        ({"ln1__weight": np.ones((1, 0))}, "for square images"),
        ({"lq__bias": np.array([np.nan])}, "finite numbers in lq.bias. Received: 1 NaN"),
        ({"ln2__bias": np.array([3])}, "floating-point numbers in ln2.bias. Received: int64"),
        ({"rbc3__bn2__bias": np.full((16, 2, 2), 0.5)}, "without normalization"),
    ],
)
def test_other_state_dicts_are_refused(state, changes, words):
    with pytest.raises(InvalidArgument) as refusal:
        from_state_dict(changed(state, **changes))
    assert refusal.value.field == "--torch_checkpoint"
    assert words in str(refusal.value)


def test_the_state_dict_of_another_resnet_is_refused():
    with pytest.raises(InvalidArgument, match="the closest is"):
        from_state_dict({"layer1.0.conv1.weight": np.ones((64, 64, 3, 3)), "fc.bias": np.ones(9)})


def test_a_dense_network_has_no_state_dict():
    with pytest.raises(InvalidArgument, match=r"config\.export\.format. must be saved_model"):
        to_state_dict(build_network("dense", (1, 1, 2), 4))
