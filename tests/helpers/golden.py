"""Golden numbers of the authors' code (`golden/*.npz`, PyTorch layout), in our networks' layout."""

import dataclasses
import functools
import pathlib

import keras
import numpy as np

from tf_mdsm.networks import pytorch_layout as layout
from tf_mdsm.networks.build import build_network

FOLDER = pathlib.Path(__file__).parent.parent / "golden"
FILES = {
    "res6": "res6_quadratic_c4",
    "res12": "res12_quadratic_c4",
    "res18": "res18_quadratic_c4",
    "res34": "res34_quadratic_c2",
}


@dataclasses.dataclass
class Golden:
    """The arrays of one golden file, and our network with the same weights."""

    name: str
    arrays: np.lib.npyio.NpzFile
    network: keras.Model

    def images(self, key: str) -> np.ndarray:
        """Images of the golden file, [..., C, H, W], as [..., H, W, C]."""
        return np.moveaxis(self.arrays[key], -3, -1)

    def parameter(self, group: str, variable: keras.Variable) -> np.ndarray | None:
        """The authors' array for one of our variables; None if the file has none.

        Args:
            group: "weight", "loss_gradient" or "adam_weight".
            variable: a variable of our network.
        """
        key = f"{group}/{self._names[variable.path]}"
        if key not in self.arrays:
            return None
        features = layout.feature_shape(self.name, self.network.input_shape[1:], self._channels)
        return layout.to_keras_layout(self.arrays[key], features)

    @functools.cached_property
    def _names(self) -> dict[str, str]:
        image_shape = self.network.input_shape[1:]
        entries = layout.state_dict_entries(self.name, image_shape, self._channels, "quadratic")
        return {entry.variable_path: entry.name for entry in entries if entry.variable_path}

    @property
    def _channels(self) -> int:
        return self.arrays["weight/conv1.conv.bias"].size


def state_dict(name: str) -> dict[str, np.ndarray]:
    """The authors' weights of a network by their names, in PyTorch's layout."""
    prefix = "weight/"
    with np.load(FOLDER / f"{FILES[name]}.npz") as arrays:
        return {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}


def load(name: str, precision: str = "float32") -> Golden:
    """Loads the golden numbers of a network, and builds our network with the same weights."""
    arrays = np.load(FOLDER / f"{FILES[name]}.npz")
    channels = arrays["weight/conv1.conv.bias"].size
    shape = np.moveaxis(arrays["image"], 1, -1).shape[1:]
    golden = Golden(name, arrays, build_network(name, shape, channels, precision=precision))
    for variable in golden.network.variables:
        variable.assign(golden.parameter("weight", variable))
    return golden


def relative_error(values: np.ndarray, expected: np.ndarray) -> float:
    """||values - expected|| / ||expected||."""
    values, expected = np.asarray(values, np.float64), np.asarray(expected, np.float64)
    return float(np.linalg.norm(values - expected) / np.linalg.norm(expected))
