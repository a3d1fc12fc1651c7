"""`--mode=likelihood`: bits per dimension of images, by up to three methods."""

import logging
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.runs.image_record import build_images_of_run
from tf_mdsm.runs.likelihood_ais import estimate_likelihood
from tf_mdsm.runs.likelihood_bounds import bound_likelihood
from tf_mdsm.runs.loaded_run import LoadedRun, load_run
from tf_mdsm.runs.sharded_job import JobDevices
from tf_mdsm.system.image_files import image_paths, read_images

__all__ = ["likelihood"]

_LOGGER = logging.getLogger(__name__)

# The field that names own images.
_IMAGES = "config.likelihood.images"

# The methods of `config.likelihood.method`, in the order in which "all" computes them.
_METHODS = ("bound", "flow", "ais")


def likelihood(config: ConfigDict, workdir: str) -> list[str]:
    """Computes bits/dim of a run's images by the methods `config.likelihood.method`.

    Returns:
        the files written under `workdir/evaluation`: `likelihood.json` and `.png` by "ais", and by
        the other methods `likelihood_<method>.json`, `.png`, and `.npz` with the values of each
        image; with a hash in their names if results of other settings, weights or images are there.
        Workers other than the first return an empty list.

    Raises:
        InvalidArgument: without a checkpoint of this network or its images, for settings that do
            not fit, or if nothing can be written.
        RunError: if the checkpoint cannot be read, or an energy is not finite.
    """
    run = load_run(config, workdir, JobDevices(config).devices[0]).without_guided_steps()
    image_sets = _read_image_sets(run)
    method = config.likelihood.method
    written = []
    for name in _METHODS if method == "all" else (method,):
        compute: Callable[[LoadedRun, dict[str, np.ndarray]], list[str]]
        compute = estimate_likelihood if name == "ais" else _bound(name)
        written += compute(run, image_sets)
    return written


def _read_image_sets(run: LoadedRun) -> dict[str, np.ndarray]:
    """The images whose likelihood is computed, by their names in the report, [N, H, W, C] each.

    All training and validation images are there, of which the methods use the first ones.

    Raises:
        InvalidArgument: for images that cannot be read.
    """
    training, validation = build_images_of_run(run.config, run.folder)
    image_sets = {"held_out": validation, "training": training}
    if path := run.config.likelihood.images:
        given = read_images(image_paths(path, _IMAGES), run.image_shape, _IMAGES, "clean")
        count = run.config.likelihood.num_images
        if len(given) > count:
            _LOGGER.warning(
                "%s: images after the first %d are left out (likelihood.num_images): %d",
                path,
                count,
                len(given) - count,
            )
        image_sets["given"] = given
    return image_sets


def _bound(method: str) -> Callable[[LoadedRun, dict[str, np.ndarray]], list[str]]:
    return lambda run, image_sets: bound_likelihood(method, run, image_sets)
