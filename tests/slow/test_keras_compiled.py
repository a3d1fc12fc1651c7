"""The training step, compiled as a whole by Keras with XLA."""

import keras
import numpy as np

from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.networks.build import build_network
from tf_mdsm.noise import NoiseLevels

SHAPE = (8, 8, 1)


def trained(*, jit_compile: bool) -> list[np.ndarray]:
    """The weights after five batches, of which the last is short."""
    model = EnergyModel(build_network("dense", SHAPE, 8, seed=1), NoiseLevels(0.1, 1.0, 8))
    model.compile(keras.optimizers.SGD(1e-4), jit_compile=jit_compile)
    assert model.jit_compile == jit_compile
    images = np.random.default_rng(0).uniform(size=(36, *SHAPE)).astype(np.float32)
    model.fit(images, batch_size=8, shuffle=False, verbose=0)
    return model.get_weights()


def test_a_step_compiled_by_keras_is_the_same():
    """Keras compiles it so by default where there is a GPU and no strategy."""
    for ours, theirs in zip(trained(jit_compile=True), trained(jit_compile=False), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
