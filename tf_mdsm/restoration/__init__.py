"""Inverse problems: linear operators, named tasks, their solution by a sampler, and baselines.

`operators` are linear maps y = A x; `tasks` names them ("inpaint_box", "deblur", …); `conditioning`
makes a sampler keep y; `solve` restores images; `tiles` evaluates an energy of large images in
bounded memory; `photographs` restores files' pixels of any size, gray or color, and
`photograph_files` reads and writes them; `baselines` are scikit-image's methods.
"""

from tf_mdsm.public_names import import_when_used

__getattr__, __dir__, __all__ = import_when_used(
    __name__,
    {
        "conditioning": ["KnownMeasurement"],
        "operators": [
            "Downsampling",
            "Grayscale",
            "Inpainting",
            "LinearOperator",
            "LowPass",
            "RandomProjections",
            "require_orthonormal_rows",
        ],
        "solve": ["denoise_blindly", "denoise_in_half_steps", "half_steps", "restore"],
        "tiles": ["TiledEnergy"],
        "tasks": ["Task", "create_task", "fitting_tasks"],
    },
)
