"""Grids of images, plots, and pictures of what a model computes."""

from tf_mdsm.public_names import import_when_used

__getattr__, __dir__, __all__ = import_when_used(
    __name__,
    {
        "images": ["image_grid", "sampling_strip", "to_uint8", "write_gif", "write_png"],
        "model_views": ["denoising_strip", "samples_picture"],
        "plots": [
            "annealing_plot",
            "curves",
            "energy_trace",
            "histograms",
            "image_rows",
            "landscapes",
        ],
    },
)
