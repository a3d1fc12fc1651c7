"""Image data sets: read from a source, resized to one size, served as reproducible batches."""

from tf_mdsm.public_names import import_when_used

__getattr__, __dir__, __all__ = import_when_used(
    __name__,
    {
        "batches": ["training_batches"],
        "image_statistics": [
            "ImageStatistics",
            "fit_statistics",
            "load_statistics",
            "save_statistics",
        ],
        "labels": ["load_labels"],
        "loading": ["load_images"],
        "pixels": ["to_float"],
        "synthetic": ["mixture_energy"],
    },
)
