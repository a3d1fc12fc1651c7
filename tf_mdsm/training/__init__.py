"""Training: loop, compiled steps, optimizers, checkpoints, rollback, TensorBoard."""

from tf_mdsm.public_names import import_when_used

__getattr__, __dir__, __all__ = import_when_used(
    __name__,
    {
        "checkpoints": ["restore_weights"],
        "optimizers": ["Adam", "WarmUp"],
        "sample_images": ["SampleImages"],
    },
)
