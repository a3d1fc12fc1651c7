"""A trained run, loaded: configuration, energy with the weights of a checkpoint, method."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm import __version__
from tf_mdsm.datasets.image_statistics import ImageStatistics, load_statistics
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.guided import guided_network
from tf_mdsm.runs.build_data import image_shape, sample_shape
from tf_mdsm.runs.build_method import build_method, with_guide
from tf_mdsm.runs.build_model import build_model
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.samplers.base import Method, Target
from tf_mdsm.samplers.guided import GuidedTarget
from tf_mdsm.samplers.sized import sized
from tf_mdsm.system.fingerprints import fingerprint as content_hash
from tf_mdsm.training.checkpoints import restore_weights

__all__ = ["LoadedRun", "arithmetic", "fingerprint", "kind_of_weights", "load_run"]


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A run's folder opened for use after training.

    Attributes:
        folder: the paths of its files.
        config: its configuration, overridden by the command line.
        checkpoint: which checkpoint: "newest", "best", "guide" or a step.
        model: the energy with the weights of the checkpoint, guided by `config.guidance`.
        guide: the energy of the guide, if it acts in some steps of the sampler only; then `model`
            is not guided. Else None.
        weights: which weights are used: "averaged" (EMA) or "raw"; with a guide, its step too.
        statistics: mean and covariance of the training images; None if the run keeps none.
        step: training step of the checkpoint.
    """

    folder: RunFolder
    config: ConfigDict
    checkpoint: str | int
    model: EnergyModel
    guide: EnergyModel | None
    weights: str
    statistics: ImageStatistics | None
    step: int

    @functools.cached_property
    def method(self) -> Method:
        """The method of `config.sampling`, with the guide in its steps."""
        method = self.build_method(self.config)
        return method if self.guide is None else with_guide(self.config, method)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images, or patches, on which the run is trained."""
        return image_shape(self.config)

    @functools.cached_property
    def target(self) -> Target:
        """What is sampled: the model, with the guide of its steps, for images of one size."""
        return self.target_of_size(sample_shape(self.config)[:2])

    def target_of_size(self, image_size: int | Sequence[int] | None) -> Target:
        """As `target`, for images of this size (see `samplers.sized.sized`)."""
        target = sized(self.model, image_size)
        if self.guide is None:
            return target
        return GuidedTarget(target, sized(self.guide, image_size), self.config.guidance)

    def build_method(self, config: ConfigDict) -> Method:
        """Builds a method with the `sampling` settings of `config`, and this run's statistics."""
        return build_method(config, self.statistics)

    @functools.cached_property
    def weights_hash(self) -> str:
        """A hash of the weights alone: they differ after another training to the same step."""
        return fingerprint({}, self.model)

    @property
    def provenance(self) -> dict[str, Any]:
        """What every result depends on: training step, kind of weights, version of the program."""
        return {"step": self.step, "weights": self.weights, "version": __version__}

    def fingerprint(self, settings: Mapping[str, Any]) -> str:
        """A hash of the run and of some settings, 12 hexadecimal digits.

        It names intermediate files, so that results of other weights, of other statistics of
        images, or of other settings never mix.
        """
        settings = {**settings, "statistics": self.statistics}
        if self.guide is not None:
            settings |= {"guide": fingerprint({}, self.guide), "guidance": self.config.guidance}
        return fingerprint(settings, self.model)


def arithmetic(config: ConfigDict) -> str:
    """How the run's numbers are rounded: "float32", "mixed_bfloat16", "float32, TensorFloat-32"."""
    training = config.training
    return training.precision + (", TensorFloat-32" if training.tensor_float_32 else "")


def kind_of_weights(model: EnergyModel) -> str:
    """Which weights a model uses after training: "averaged" (EMA) or "raw"."""
    return "raw" if model.ema_network is None else "averaged"


def fingerprint(settings: Mapping[str, Any], model: EnergyModel) -> str:
    """A hash of some settings and of a model's weights, 12 hexadecimal digits."""
    weights = [variable.numpy() for variable in model.inference_network.variables]
    return content_hash(settings, weights)[:12]


def load_run(
    config: ConfigDict, workdir: str, device: str = "", checkpoint: str | int | None = None
) -> LoadedRun:
    """Loads a run: builds its model and restores one of its checkpoints.

    Args:
        config: the run's configuration.
        workdir: the run's folder.
        device: where the variables live; "" lets TensorFlow choose.
        checkpoint: "newest", "best", "guide" or a step. None: `config.checkpoint`.

    Raises:
        InvalidArgument: if there is no such checkpoint of this network.
        RunError: if the checkpoint or the image statistics cannot be read.
    """
    folder = RunFolder(workdir)
    which: str | int = config.checkpoint if checkpoint is None else checkpoint
    with tf.device(device):
        model = build_model(config)
        step = restore_weights(folder.checkpoints, model, which)
        weights = kind_of_weights(model)
        guide = None
        if config.guidance != 1:
            guide, guide_step = _load_guide(config, folder)
            weights += f", guided by step {guide_step} with w = {config.guidance:g}"
            low, high = config.sampling.guide_sigma_min, config.sampling.guide_sigma_max
            if high:
                weights += f" from sigma {low:g} to {high:g}"
            else:
                model, guide = _guided_everywhere(model, guide, config.guidance), None
        statistics = load_statistics(folder.image_statistics)
    return LoadedRun(
        folder=folder,
        config=config,
        checkpoint=which,
        model=model,
        guide=guide,
        weights=weights,
        statistics=statistics,
        step=step,
    )


def _load_guide(config: ConfigDict, folder: RunFolder) -> tuple[EnergyModel, int]:
    """The energy of the checkpoint "guide", and its step."""
    # Exports name weights by their paths: the guide's have a prefix.
    with keras.name_scope("guide"):
        guide = build_model(config)
    try:
        step = restore_weights(folder.checkpoints, guide, "guide")
    except InvalidArgument as error:
        requirement = "be 1, as this run keeps no guide (training.guide_step)"
        raise InvalidArgument("config.guidance", requirement, config.guidance) from error
    return guide, step


def _guided_everywhere(model: EnergyModel, guide: EnergyModel, weight: float) -> EnergyModel:
    """The model of the one energy w E - (w - 1) E_guide."""
    return EnergyModel(
        guided_network(model.inference_network, guide.inference_network, weight),
        model.noise,
        seed=model.noise_seed,
        compile_gradients=model.compile_gradients,
        accumulation_steps=model.accumulation_steps,
    )
