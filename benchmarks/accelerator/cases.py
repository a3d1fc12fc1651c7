"""The accelerator's cases: recipes at the paper's scale, and what is lowered of each."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["CASES", "AcceleratorCase"]

_FASHION_MNIST = {
    "data.source": "idx",
    "data.name": "",
    "data.path": "/usr/share/datasets/fashion-mnist",
}
# Samplers are lowered with this start, so a run that draws by them must have it too.
_GAUSSIAN_START = {"sampling.start": "gaussian"}
# With the recipe's learning rate of 2e-3 a network of this width leaves the finite numbers.
_WIDE = {
    **_GAUSSIAN_START,
    "training.guide_step": 0,
    "network.channels": 64,
    "training.batch_size": 128,
    "optimizer.learning_rate": 8e-4,
}
# Wider than the recipe's network, so with a smaller learning rate; three times as many steps
# of twice as many patches.
_PHOTOGRAPHS = {
    "network.channels": 48,
    "optimizer.learning_rate": 1e-3,
    "training.batch_size": 32,
    "training.num_steps": 45_000,
    "training.denoiser_steps": 15_000,
}
_BFLOAT16 = {"training.precision": "mixed_bfloat16"}


@dataclasses.dataclass(frozen=True)
class AcceleratorCase:
    """A recipe with other settings, as it is run on an accelerator.

    Attributes:
        recipe: the recipe's file.
        overrides: settings that differ from the recipe's, by `group.field`.
        random_images: the images are random numbers, as only times are measured.
        steps_per_call: training steps of one call.
        samples: images of a call of a sampler; 0: no sampler is lowered.
        chain_steps: steps of annealed Langevin dynamics in one call; 0: the chain is not lowered.
        checked_steps: training steps that TensorFlow computes for comparison; 0: none.
        tensor_float_32: convolutions of float32 numbers may round their inputs to TensorFloat-32.
    """

    recipe: str
    overrides: Mapping[str, object]
    random_images: bool = False
    steps_per_call: int = 50
    samples: int = 0
    chain_steps: int = 0
    checked_steps: int = 0
    tensor_float_32: bool = False


def _case(recipe: str, *overrides: Mapping[str, object], **settings: Any) -> AcceleratorCase:
    merged = {name: value for group in overrides for name, value in group.items()}
    return AcceleratorCase(f"configs/{recipe}.py", MappingProxyType(merged), **settings)


CASES = {
    # Small enough to rehearse everything on a CPU, in a folder of its own.
    "small": _case(
        "digits",
        _GAUSSIAN_START,
        {
            "network.name": "dense",
            "network.channels": 8,
            "network.head": "quadratic",
            "training.batch_size": 16,
        },
        steps_per_call=10,
        samples=50,
        chain_steps=90,
        checked_steps=5,
    ),
    # Likewise, with what large recipes need besides: patches, a denoiser at first, a guide.
    "small_patches": _case(
        "photos",
        {
            "data.channels": 1,
            "data.image_size": 16,
            "network.channels": 8,
            "training.batch_size": 4,
            "training.num_steps": 40,
            "training.denoiser_steps": 2,
            "training.guide_step": 20,
        },
        steps_per_call=10,
        checked_steps=5,
    ),
    # The paper's network and recipe for Fashion-MNIST.
    "res12": _case("fashion_mnist", _FASHION_MNIST, samples=1_000, chain_steps=90, checked_steps=5),
    "res12_tf32": _case(
        "fashion_mnist",
        _FASHION_MNIST,
        samples=1_000,
        chain_steps=90,
        checked_steps=5,
        tensor_float_32=True,
    ),
    "res12_bfloat16": _case("fashion_mnist", _FASHION_MNIST, _BFLOAT16),
    "res12_tf32_batch_512": _case(
        "fashion_mnist",
        _FASHION_MNIST,
        {"training.batch_size": 512},
        steps_per_call=10,
        tensor_float_32=True,
    ),
    # The paper's network for CIFAR-10.
    "res18_tf32": _case("cifar", steps_per_call=5, random_images=True, tensor_float_32=True),
    "res18_bfloat16": _case("cifar", _BFLOAT16, steps_per_call=5, random_images=True),
    # The recommended recipe, wider.
    "unet": _case("fashion_mnist_unet", _WIDE),
    "unet_tf32": _case(
        "fashion_mnist_unet", _WIDE, samples=1_000, checked_steps=5, tensor_float_32=True
    ),
    "unet_bfloat16": _case("fashion_mnist_unet", _WIDE, _BFLOAT16),
    # The recipe for a night on two cores.
    "night_tf32": _case("fashion_mnist_night", checked_steps=5, tensor_float_32=True),
    # Photographs: longer than on two cores, by a wider network.
    "photos_gray_tf32": _case("photos", _PHOTOGRAPHS, checked_steps=5, tensor_float_32=True),
    "photos_color_tf32": _case(
        "photos", _PHOTOGRAPHS, {"data.channels": 3}, checked_steps=5, tensor_float_32=True
    ),
}
