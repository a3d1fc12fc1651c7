"""From `config.likelihood` to the laws that annealing goes through."""

import dataclasses
import math

from ml_collections import ConfigDict

from tf_mdsm.datasets.image_statistics import ImageStatistics
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.gaussian import GaussianReference, isotropic_reference
from tf_mdsm.evaluation.likelihood.path import AnnealingPath

__all__ = ["build_path"]


def build_path(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> AnnealingPath:
    """From `config.likelihood.reference` to the energy; `statistics` of the training images.

    Raises:
        InvalidArgument: for the training images' Gaussian where the statistics are not known.
    """
    settings = config.likelihood
    if settings.reference == "isotropic":
        reference = isotropic_reference(model.image_shape, 0.5, settings.reference_sigma or 1.0)
    elif statistics is None:
        raise InvalidArgument(
            "config.likelihood.reference",
            "be isotropic, as this run holds no statistics of its training images",
            settings.reference,
        )
    else:
        sigma = settings.reference_sigma or model.noise.sigma0 * math.sqrt(settings.temperature)
        reference = GaussianReference(**dataclasses.asdict(statistics), sigma=sigma)
    return AnnealingPath(
        model.energy_and_score,
        reference,
        settings.temperature,
        settings.leapfrog_steps,
        settings.moves,
    )
