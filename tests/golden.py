"""The authors' numbers (`golden/*.npz`, PyTorch layout) in the layout of our networks."""

import dataclasses
import pathlib

import keras
import numpy as np

from tf_mdsm.networks import STAGES, build_network

FOLDER = pathlib.Path(__file__).parent / "golden"
FILES = {
    "res6": "res6_quadratic_c4",
    "res12": "res12_quadratic_c4",
    "res18": "res18_quadratic_c4",
    "res34": "res34_quadratic_c2",
}


def _layer_names(network: str) -> dict[str, str]:
    """Our layers' names to the authors': blocks `rb1`, `rbc1`, `rbc11`, `rbc111`, …"""
    names = {"stem": "conv1.conv"}
    for stage, extra_blocks in enumerate(STAGES[network], start=1):
        for block in range(extra_blocks + 1):
            ours = f"stage{stage}_block{block}"
            theirs = f"rbc{str(stage) * block}" if block else f"rb{stage}"
            wrapped = ".conv" if block else ".conv.conv"
            names[f"{ours}_shortcut"] = f"{theirs}.conv_shortcut{wrapped}"
            names[f"{ours}_conv1"] = f"{theirs}.conv_1.conv"
            names[f"{ours}_conv2"] = f"{theirs}.conv_2{wrapped}"
    return names


_HEAD = {
    "kernel_1": "ln1.weight",
    "bias_1": "ln1.bias",
    "kernel_2": "ln2.weight",
    "bias_2": "ln2.bias",
    "kernel_square": "lq.weight",
    "constant": "lq.bias",
}


@dataclasses.dataclass
class Golden:
    """One golden file and the network with its weights."""

    name: str
    arrays: np.lib.npyio.NpzFile
    network: keras.Model

    def images(self, key: str) -> np.ndarray:
        """[…, C, H, W] as [..., H, W, C]."""
        return np.moveaxis(self.arrays[key], -3, -1)

    def parameter(self, group: str, variable: keras.Variable) -> np.ndarray | None:
        """The authors' array for one of our variables: group is weight, loss_gradient, …"""
        layer, kind = variable.path.split("/")
        if layer == "energy":
            key = _HEAD[kind]
        else:
            ours = {"kernel": "weight", "bias": "bias"}[kind]
            key = f"{_layer_names(self.name)[layer]}.{ours}"
        if f"{group}/{key}" not in self.arrays:
            return None
        array = self.arrays[f"{group}/{key}"]
        if array.ndim == 4:
            return array.transpose(2, 3, 1, 0)
        if array.ndim == 2:
            return self._flattened(array[0])[:, None]
        return array

    def _flattened(self, vector: np.ndarray) -> np.ndarray:
        """Dense weights over a flattened C, H, W as weights over H, W, C."""
        channels = self.network.get_layer("energy").input.shape[-1] // self._side**2
        return vector.reshape(channels, self._side, self._side).transpose(1, 2, 0).ravel()

    @property
    def _side(self) -> int:
        return self.images("image").shape[1] // 2 ** len(STAGES[self.name])


def load(name: str, precision: str = "float32") -> Golden:
    """The golden numbers of a network, and our network with the same weights."""
    arrays = np.load(FOLDER / f"{FILES[name]}.npz")
    channels = arrays["weight/conv1.conv.bias"].size
    shape = np.moveaxis(arrays["image"], 1, -1).shape[1:]
    golden = Golden(name, arrays, build_network(name, shape, channels, precision=precision))
    for variable in golden.network.variables:
        variable.assign(golden.parameter("weight", variable))
    return golden


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """||ours - theirs|| / ||theirs||."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
