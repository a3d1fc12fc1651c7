"""A trained run, loaded: configuration, energy with the weights of a checkpoint, method."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm import __version__
from tf_mdsm.datasets.image_statistics import ImageStatistics, load_statistics
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.guided import guided_network
from tf_mdsm.runs.build_data import image_shape, sample_shape
from tf_mdsm.runs.build_method import build_method, build_restoration_method, with_guide
from tf_mdsm.runs.build_model import build_model
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.samplers.base import Method, Target
from tf_mdsm.samplers.guided import GuidedTarget
from tf_mdsm.samplers.sized import sized
from tf_mdsm.system.fingerprints import fingerprint as content_hash
from tf_mdsm.training.checkpoints import kept_guide_step, newest_step, restore_weights

__all__ = ["LoadedRun", "arithmetic", "fingerprint", "has_guide", "kind_of_weights", "load_run"]


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
        guide_step: training step of the guide; None without one.
        weights: which weights the model has: "averaged" (EMA) or "raw"; and, if it is guided, its
            guide.
        statistics: mean and covariance of the training images; None if the run keeps none.
        step: training step of the checkpoint.
    """

    folder: RunFolder
    config: ConfigDict
    checkpoint: str | int
    model: EnergyModel
    guide: EnergyModel | None
    guide_step: int | None
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
        target: Target = self.model
        if self.guide is not None:
            target = GuidedTarget(self.model, self.guide, self.config.guidance)
        return sized(target, image_size)

    def without_guided_steps(self) -> Self:
        """The same energy, for what is no sample: without the guide of some steps."""
        if self.guide is None:
            return self
        return dataclasses.replace(self, guide=None, guide_step=None)

    def build_method(self, config: ConfigDict) -> Method:
        """Builds a method with the `sampling` settings of `config`, and this run's statistics."""
        return build_method(config, self.statistics)

    @functools.cached_property
    def restoration_method(self) -> Method:
        """The method of `config.restoration`, with this run's statistics."""
        return build_restoration_method(self.config, self.statistics)

    @functools.cached_property
    def weights_hash(self) -> str:
        """A hash of the weights alone: they differ after another training to the same step."""
        return fingerprint({}, self.model)

    @property
    def gradient_evaluations(self) -> int:
        """Gradient evaluations per image of the method, at most; those of a guide count too."""
        return self.method.max_gradient_evaluations * self.networks

    @property
    def networks(self) -> int:
        """Networks whose gradients an evaluation of the model is: two if it is guided.

        Where the guide acts in some steps only, the method itself counts its evaluations.
        """
        return 1 if self.guide_step is None or self.guide is not None else 2

    @property
    def weights_of_samples(self) -> str:
        """As `weights`, with the guide of some steps of the sampler."""
        if self.guide is None:
            return self.weights
        low, high = (self.config.sampling[f"guide_sigma_{end}"] for end in ("min", "max"))
        guided = _guided_by(self.guide_step, self.config.guidance)
        return f"{self.weights}{guided} from sigma {low:g} to {high:g}"

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
        guide, guide_step = None, None
        if config.guidance != 1:
            guide, guide_step = _load_guide(config, folder, step)
            if not config.sampling.guide_sigma_max:
                weights += _guided_by(guide_step, config.guidance)
                model, guide = _guided_everywhere(model, guide, config.guidance), None
        statistics = load_statistics(folder.image_statistics)
    return LoadedRun(
        folder=folder,
        config=config,
        checkpoint=which,
        model=model,
        guide=guide,
        guide_step=guide_step,
        weights=weights,
        statistics=statistics,
        step=step,
    )


def has_guide(folder: RunFolder) -> bool:
    """Whether a run keeps a guide that is earlier than its newest checkpoint."""
    guide_step = kept_guide_step(folder.checkpoints)
    return guide_step is not None and guide_step < (newest_step(folder.checkpoints) or 0)


def _load_guide(config: ConfigDict, folder: RunFolder, step: int) -> tuple[EnergyModel, int]:
    """The energy of the checkpoint "guide", and its step, which must come before `step`."""
    # Exports name weights by their paths: the guide's have a prefix.
    with keras.name_scope("guide"):
        guide = build_model(config)
    try:
        guide_step = restore_weights(folder.checkpoints, guide, "guide")
    except InvalidArgument as error:
        requirement = "be 1, as this run keeps no guide (training.guide_step)"
        raise InvalidArgument("config.guidance", requirement, config.guidance) from error
    if guide_step >= step:
        requirement = (
            f"be 1 for the checkpoint of step {step}, as the guide is of step {guide_step}"
        )
        raise InvalidArgument("config.guidance", requirement, config.guidance)
    return guide, guide_step


def _guided_by(step: int | None, weight: float) -> str:
    """The end of `weights` for a guide."""
    return f", guided by step {step} with w = {weight:g}"


def _guided_everywhere(model: EnergyModel, guide: EnergyModel, weight: float) -> EnergyModel:
    """The model of the one energy w E - (w - 1) E_guide."""
    return EnergyModel(
        guided_network(model.inference_network, guide.inference_network, weight),
        model.noise,
        seed=model.noise_seed,
        compile_gradients=model.compile_gradients,
        accumulation_steps=model.accumulation_steps,
    )
