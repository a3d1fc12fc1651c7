"""Energy-based models of images by multi-scale denoising score matching.

    import tf_mdsm as mdsm

    model    EnergyModel, NoiseLevels, build_network
    runs     default_config, train, load
    use      sample, restore, export
    methods  Heun, AncestralEuler, AnnealedLangevin, CoarseToFine, MALA, HMC

The packages hold the rest under their own `__all__`: `mdsm.samplers.falling_sigmas`,
`mdsm.restoration.Inpainting`. Each name is imported when it is first used, so that
`import tf_mdsm` takes no time and the command line can answer `--help` and refuse wrong settings
without TensorFlow.
"""

from tf_mdsm.public_names import import_when_used

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = import_when_used(
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
