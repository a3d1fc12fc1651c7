"""Energy-based models of images by multi-scale denoising score matching.

    import tf_mdsm as mdsm

    model    EnergyModel, NoiseLevels, build_network
    runs     default_config, train, load
    use      sample, restore, export
    methods  Heun, AncestralEuler, AnnealedLangevin, CoarseToFine, MALA, HMC

The packages hold the rest under their own `__all__`: `mdsm.samplers.falling_sigmas`,
`mdsm.restoration.Inpainting`. Each name is imported when it is first used, so that
`import tf_mdsm` takes no time and the command line can answer `--help` and refuse wrong settings
without TensorFlow. The first use of a public name also makes CPUs fast (`system.tune_process`), and
refuses another backend of Keras than TensorFlow.

After `import keras`, `import tf_mdsm` imports the classes that saved models name, so that
`keras.models.load_model` finds them.
"""

import functools
import importlib
import sys
from typing import Any

from tf_mdsm.public_names import import_when_used

__version__ = "0.1.0"

_import_name, __dir__, __all__ = import_when_used(
    __name__,
    {
        "energy_model": ["EnergyModel"],
        "noise": ["NoiseLevels"],
        "networks.build": ["build_network"],
        "config": ["default_config"],
        "runs.run": ["train", "load", "export"],
        "samplers.sampling": ["sample"],
        "restoration.solve": ["restore"],
        "samplers.heun": ["Heun"],
        "samplers.ancestral": ["AncestralEuler"],
        "samplers.langevin": ["AnnealedLangevin"],
        "samplers.coarse_to_fine": ["CoarseToFine"],
        "samplers.metropolis": ["MALA", "HMC"],
    },
    modules=[
        "config",
        "datasets",
        "errors",
        "evaluation",
        "losses",
        "networks",
        "randomness",
        "restoration",
        "runs",
        "samplers",
        "serving",
        "system",
        "training",
        "visualization",
    ],
)


def __getattr__(name: str) -> Any:
    """Imports a public name from the module that defines it, or a package by its name."""
    if name in __all__:
        _prepare_process()
    return _import_name(name)


@functools.cache
def _prepare_process() -> None:
    """Does what must come before TensorFlow and Keras are imported."""
    from tf_mdsm.system.cpu_tuning import tune_process
    from tf_mdsm.system.keras_backend import require_tensorflow_backend

    require_tensorflow_backend()
    tune_process()


if sys.modules.get("keras") and sys.modules.get("tensorflow"):
    for _module in ("energy_model", "networks.build", "training.optimizers"):
        importlib.import_module(f"{__name__}.{_module}")
