"""The benchmark `steps`: peers compute the same, operations are counted, failures reported."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.cost import steps
from benchmarks.cost.flops import executed_flops, forward_flops
from benchmarks.cost.peers import timing
from benchmarks.cost.peers.case import CASES, CONVOLUTIONS, convolution_flops
from tf_mdsm import losses
from tf_mdsm.errors import RunError
from tf_mdsm.networks.architectures import UNetStructure
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


@pytest.mark.long
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


def test_counted_operations():
    """Counted manually: Res6 at 8x8, one gray channel, two channels."""
    network = build_network("res6", (8, 8, 1), 2)
    stem = 2 * 64 * 9 * 1 * 2
    # Each block: conv1 and conv2 at full size, the 1x1 shortcut after the halving.
    blocks = sum(
        2 * side**2 * 9 * (c * c + c * 2 * c) + 2 * (side // 2) ** 2 * c * 2 * c
        for side, c in ((8, 2), (4, 4), (2, 8))
    )
    assert forward_flops(network) == stem + blocks
    # The second convolution and its means: 4x4 products at a quarter of the pixels.
    fused = sum(2 * side**2 * (9 - 4) * c * 2 * c for side, c in ((8, 2), (4, 4), (2, 8)))
    assert executed_flops(network) == stem + blocks - fused


def test_counted_operations_of_a_repeated_image_and_another():
    """A U-Net's way up: 4 products of the repeated image's pixels in place of 9."""
    structure = UNetStructure(num_resolutions=2)
    network = build_network("unet", (4, 4, 1), 2, structure=structure)
    # The repeated image has 4 channels, a 3x3 convolution and a 1x1 shortcut, to 2 channels.
    assert forward_flops(network) - executed_flops(network) == 2 * 16 * (9 - 4) * 4 * 2


def test_the_ceiling_is_the_median_of_each_rounds_fastest_convolution():
    first, *others = CONVOLUTIONS
    seconds = {name: [100.0] * 3 for name in others} | {first: [1.0, 2.0, 4.0]}
    assert steps.ceiling(seconds) == convolution_flops(first) / 2


@pytest.mark.long
def test_all_modes_of_ours_on_a_small_case(monkeypatch):
    monkeypatch.setattr(timing, "_TURN_SECONDS", 0.02)
    first, result = steps.measure(TINY, ["ours", "convolutions"], rounds=2, without="XLA")
    assert (first["rounds"], result["rounds"]) == (1, 2)
    modes = [(row["peer"], row["mode"]) for row in result["peers"]]
    ours = [("ours", m) for m in ("float32", "float32, untuned", "mixed_bfloat16")]
    assert modes == [*ours, ("convolutions", "float32"), ("convolutions", "bfloat16")]
    for row in result["peers"]:
        assert row["error"] is None
        assert row["peak_mib"] > 50
        for job in ("train", "langevin"):
            assert row[job]["seconds"] > 0
    assert result["peers"][0]["train"]["over_ours"] == 1
    assert result["ceilings"]["float32"] > 0
    json.dumps(result)
    text = steps.table({"tiny": result})
    assert f"{result['forward_flops'] / 1e6:.1f} MFLOP" in text
    assert "| ours, mixed_bfloat16 |" in text


def test_a_peer_that_fails_reports_its_error():
    with timing.peer_processes([("pytorch_of_tomorrow", "eager", TINY)]) as (process,):
        process.calibrate("train")
        assert "ModuleNotFoundError" in process.error
        assert process.seconds_per_step("train") is None
        assert list(timing.time_in_rounds([process], 2)) == [{}, {}]


def test_an_interruption_ends_all_peer_processes():
    processes = []

    def interrupted() -> None:
        wanted = [("pytorch_of_tomorrow", "eager", TINY)] * 2
        with timing.peer_processes(wanted) as started:
            processes.extend(started)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [process._process.returncode is None for process in processes] == [False, False]


def test_results_need_our_own_float32_step(monkeypatch):
    """The others are compared with it: a network that does not fit its images ends the case."""
    monkeypatch.setattr(steps, "PEERS", {"ours": ("float32",)})
    monkeypatch.setattr(steps, "_CEILING_MODES", ())
    monkeypatch.setattr(steps, "case_flops", lambda _: (1, 1))
    wrong = dataclasses.replace(TINY, image_shape=(9, 9, 1))
    with pytest.raises(RunError, match="ours, float32: InvalidArgument"):
        list(steps.measure(wrong, ["ours"], rounds=1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--cases=res99", "`--cases` must name some of res12_16"),
        ("--peers=ours,theano", "`--peers` must name some of ours"),
        ("--peers=pytorch", "`--peers` must hold ours"),
        ("--rounds=0", "`--rounds` must be positive"),
        ("--without=float", "`--without` must leave our float32 step"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(wrong, message, tmp_path, capsys):
    assert steps.main([f"--output={tmp_path / 'out'}", wrong]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_listed_modes_are_those_of_the_peers():
    from benchmarks.cost.peers import convolutions
    from benchmarks.cost.peers import ours as our_peer

    assert steps.PEERS["ours"] == our_peer.MODES
    assert steps.PEERS["convolutions"] == convolutions.MODES
    for name in ("pytorch", "jax_peer"):
        peer = pytest.importorskip(f"benchmarks.cost.peers.{name}", exc_type=ImportError)
        assert steps.PEERS[name] == peer.MODES
