"""A saved model is loaded in another process, which has only imported Keras and the package."""

import subprocess
import sys

import numpy as np

from tests.helpers.small_runs import ROOT, environment
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.networks.build import build_network
from tf_mdsm.training.optimizers import Adam, WarmUp

LOAD = """
import keras
import tf_mdsm
import numpy as np
model = keras.models.load_model("model.keras")
np.save("energies.npy", model.energy(np.load("images.npy")))
"""


def test_it_is_loaded_after_import_of_keras_and_the_package(tmp_path):
    """All that has classes of the package: a U-Net, averaged weights, optimizer and warm-up."""
    images = np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32)
    network = build_network("unet", (8, 8, 1), channels=2, head="distance")
    model = EnergyModel(network, ema_momentum=0.9)
    model.compile(Adam(WarmUp(1e-3, 10)))
    model.fit(images, batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", LOAD]
    subprocess.run(command, cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), check=True)
    energies = model.energy(images)
    # The same operations in another process: equal up to the order of sums over 64 pixels.
    np.testing.assert_allclose(np.load(tmp_path / "energies.npy"), energies, rtol=1e-5)
