"""Peers of the benchmark `steps`: PyTorch and JAX compute the same as our network."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.cost import steps
from benchmarks.cost.peers.case import CASES
from tf_mdsm import losses
from tf_mdsm.networks.build import build_network

TINY = dataclasses.replace(CASES["res12_16"], network="res6", channels=2, batch_size=3)


def our_loss(network, clean, noisy, sigma):
    ones = tf.ones(len(clean))
    each = losses.mdsm_losses(
        network,
        tf.constant(clean),
        tf.constant(noisy),
        kernel_variance=ones * TINY.sigma0**2,
        weight=ones / sigma**2,
    )
    return tf.reduce_mean(each) / TINY.sigma0**4


@pytest.fixture(scope="module")
def ours():
    """Weights by their names, clean and noisy images, and our energies and loss of them."""
    network = build_network(TINY.network, TINY.image_shape, TINY.channels, seed=1)
    generator = np.random.default_rng(0)
    clean = generator.uniform(size=(3, *TINY.image_shape)).astype(np.float32)
    noisy = clean + 0.3 * generator.normal(size=clean.shape).astype(np.float32)
    return (
        {v.path: v.numpy() for v in network.trainable_variables},
        clean,
        noisy,
        network(noisy).numpy(),
        float(our_loss(network, clean, noisy, 0.3)),
    )


def test_jax_computes_the_same(ours):
    jax_peer = pytest.importorskip("benchmarks.cost.peers.jax_peer", exc_type=ImportError)
    weights, clean, noisy, energies, loss = ours
    weights = {name.removeprefix("energy/"): value for name, value in weights.items()}
    initial = jax_peer.initial_weights(TINY)
    assert {n: v.shape for n, v in initial.items()} == {n: v.shape for n, v in weights.items()}
    np.testing.assert_allclose(jax_peer.energies(weights, TINY, noisy), energies, rtol=1e-5)
    sigma = np.full(3, 0.3, np.float32)
    theirs = float(jax_peer.compute_loss(weights, TINY, clean, noisy, sigma))
    assert theirs == pytest.approx(loss, rel=1e-5)


def test_pytorch_computes_the_same(ours):
    torch = pytest.importorskip("torch")
    from benchmarks.cost.peers import pytorch

    weights, clean, noisy, energies, loss = ours
    network = pytorch.EnergyNetwork(TINY)
    names = {"stem": "stem", "energy": "head"}
    names |= {f"stage{stage}_block0": f"blocks.{stage - 1}" for stage in (1, 2, 3)}
    side, filters = TINY.image_shape[0] // 8, 8 * TINY.channels

    def column(name):
        """A head's kernel over features in PyTorch's order, C, H, W."""
        return weights[f"energy/{name}"].reshape(side, side, filters).transpose(2, 0, 1).ravel()

    state = {}
    for path, value in weights.items():
        layer, part = path.split("/")
        if layer == "energy":
            continue
        block, _, name = layer.rpartition("_")
        theirs = f"{names[block]}.{name}" if block else names[layer]
        if part == "kernel":
            state[f"{theirs}.weight"] = value.transpose(3, 2, 0, 1)
        else:
            state[f"{theirs}.bias"] = value
    for number in (1, 2):
        state[f"linear{number}.weight"] = column(f"kernel_{number}")[None]
        state[f"linear{number}.bias"] = weights[f"energy/bias_{number}"]
    state["square.weight"], state["square.bias"] = column("kernel_square")[None], np.zeros(1)
    network.load_state_dict({name: torch.tensor(value) for name, value in state.items()})

    def images(array):
        return torch.tensor(array.transpose(0, 3, 1, 2))

    found = network(images(noisy)).detach().numpy()
    np.testing.assert_allclose(found, energies, rtol=1e-5)
    for loss_fn in (pytorch.loss_by_autograd, pytorch.loss_by_function):
        theirs = loss_fn(
            *(network, images(clean), images(noisy)), torch.full((3,), 0.3), TINY.sigma0
        )
        assert theirs.item() == pytest.approx(loss, rel=1e-5), loss_fn.__name__


def test_listed_modes_are_those_of_the_peers():
    for name in ("pytorch", "jax_peer"):
        peer = pytest.importorskip(f"benchmarks.cost.peers.{name}", exc_type=ImportError)
        assert steps.PEERS[name] == peer.MODES
