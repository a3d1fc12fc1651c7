"""A training session: model, compiled steps, batches, checkpoints and monitor, ready for the loop.

`runs.build_session` opens one from a configuration; `training.loop` trains it.
"""

import dataclasses
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tf_mdsm.distributed.workers import Workers
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.training.checkpoints import TrainingCheckpoints
from tf_mdsm.training.monitor import TrainingMonitor

__all__ = ["LoopSettings", "TrainingSession", "require_same_run"]


@dataclasses.dataclass(frozen=True)
class LoopSettings:
    """Length of a training run and the intervals of what happens in it, in training steps.

    Attributes:
        num_steps: training steps of the whole run.
        steps_per_call: training steps in one compiled call, at most.
        log_every: interval of scalars in TensorBoard; 0 means never, as for every interval.
        validate_every: interval of the validation loss.
        evaluate_every: interval of the Fréchet distance of a few samples.
        checkpoint_every: interval of checkpoints; the last step is always saved.
        guide_step: step after which the weights are kept as the guide; 0 means never.
        sample_every: interval of preview pictures.
        max_rollbacks: how often a run with a non-finite loss may return to its last checkpoint.
        rollback_rate: factor on the learning rate at each of these rollbacks.
    """

    num_steps: int
    steps_per_call: int
    log_every: int
    validate_every: int
    evaluate_every: int
    checkpoint_every: int
    guide_step: int
    sample_every: int
    max_rollbacks: int
    rollback_rate: float


@dataclasses.dataclass(frozen=True)
class TrainingSession:
    """All that the training loop works with.

    Attributes:
        settings: length and intervals.
        model: compiled, with the weights of the newest checkpoint if there is one.
        run_steps: the compiled training steps, `compiled_loop.compile_steps(model)`.
        batches: training images from the checkpoint's step on, for this worker's replicas.
        checkpoints: restored, and where the next ones are saved.
        monitor: what TensorBoard and the preview pictures show.
        workers: the processes that train together.
    """

    settings: LoopSettings
    model: EnergyModel
    run_steps: Callable
    batches: Iterator
    checkpoints: TrainingCheckpoints
    monitor: TrainingMonitor
    workers: Workers


def require_same_run(
    workers: Workers,
    *,
    settings: Mapping[str, Any],
    num_images: int,
    step: int,
    content: str = "",
) -> None:
    """Compares the run across workers; refuses workers that would train different runs.

    Args:
        workers: all of them call this function at the same point.
        settings: the whole configuration, less what may differ from machine to machine.
        num_images: number of training images.
        step: training step of the restored checkpoint.
        content: fingerprint of the images, hexadecimal digits.

    Raises:
        InvalidArgument: on all workers, if one of these differs on one of them.
    """
    checksum = zlib.crc32(json.dumps(settings, sort_keys=True).encode())
    if not workers.agree_on([checksum]):
        raise InvalidArgument("--config", "be the same for all workers", "different ones")
    if not workers.agree_on([num_images]):
        raise InvalidArgument("config.data", "be the same for all workers", f"{num_images} images")
    if content and not workers.agree_on([int(content[:7], 16)]):
        other = "hold the same images for all workers"
        raise InvalidArgument("config.data", other, f"{num_images} images, {content[:8]}")
    if not workers.agree_on([step]):
        raise InvalidArgument("--workdir", "be shared by all workers", f"step {step} here")
