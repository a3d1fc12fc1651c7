"""Energy-based models of images by multi-scale denoising score matching.

The public names are in `__all__`. Each is imported when it is first used, so that
`import tf_mdsm` takes no time and the command line can answer `--help` and refuse
wrong settings without TensorFlow.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Adam": "training.optimizers",
    "AncestralEuler": "samplers.ancestral",
    "AnnealedLangevin": "samplers.langevin",
    "CoarseToFine": "samplers.coarse_to_fine",
    "EnergyModel": "energy_model",
    "HMC": "samplers.metropolis",
    "Heun": "samplers.heun",
    "MALA": "samplers.metropolis",
    "NoiseLevels": "noise",
    "SampleImages": "training.sample_images",
    "annealing_temperatures": "samplers.schedules",
    "build_network": "networks.build",
    "compile_chain": "samplers.chain",
    "default_config": "config",
    "falling_sigmas": "samplers.schedules",
    "growing_step_sizes": "samplers.schedules",
    "sample": "samplers.sampling",
    "tune_process": "system.cpu_tuning",
}

__all__ = ["__version__", *sorted(_HOME)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Imports a public name from the module that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
