"""Samplers: a target, a method and seeds in; images out.

A target is what is sampled: an energy and its score (`base.Target`), an `EnergyModel` for example.
A method is how: one per file, `langevin`, `heun`, `multistep`, `ancestral`, `coarse_to_fine`,
`metropolis` (MALA and HMC). Each can be read with `base`, which holds the base classes. The arrays
of a method come from `schedules`, its starting images from `starts`; `conditioning` makes it keep
known pixels; `kernels` moves images by Hamiltonian Monte Carlo; `chain` compiles a method and
records its intermediate states; `guided` adds a guide to some steps of a method; `sampling` makes
images in one call. Methods know no configuration and no model.
"""

from tf_mdsm.public_names import import_when_used

__getattr__, __dir__, __all__ = import_when_used(
    __name__,
    {
        "ancestral": ["AncestralEuler"],
        "base": ["DenoiserMethod", "Method", "NoiseGridMethod", "Target", "TemperatureMethod"],
        "chain": ["Chain", "compile_chain"],
        "sized": ["SizedTarget"],
        "coarse_to_fine": ["CoarseToFine"],
        "conditioning": ["KnownData", "KnownPixels"],
        "guided": ["Guided", "GuidedTarget"],
        "heun": ["Heun"],
        "langevin": ["AnnealedLangevin"],
        "metropolis": ["HMC", "MALA"],
        "multistep": ["Multistep"],
        "sampling": ["default_method", "sample"],
        "schedules": [
            "annealing_temperatures",
            "falling_sigmas",
            "growing_step_sizes",
            "temperatures_of",
        ],
        "starts": [
            "GaussianStart",
            "ImagesStart",
            "IsotropicStart",
            "MixtureStart",
            "SmoothStart",
            "Start",
        ],
    },
)
