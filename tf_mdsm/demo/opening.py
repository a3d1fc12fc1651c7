"""What a name on the command line is: a run's folder, an export, or a server's address."""

import os
from collections.abc import Callable

import numpy as np

from tf_mdsm.demo.models import Model, RequestsModel
from tf_mdsm.demo.run_model import RunModel
from tf_mdsm.errors import InvalidArgument, RunError, errors_renamed
from tf_mdsm.serving.client import Client
from tf_mdsm.serving.loaded_saved_model import SAVED_MODEL_FILE, LoadedSavedModel
from tf_mdsm.serving.stablehlo_model import MODEL_FILE, StableHloModel
from tf_mdsm.system.image_files import read_images
from tf_mdsm.system.local_paths import local_path

__all__ = ["Comparison", "comparison_of", "open_model"]

# The file by which a run's folder is known.
_RUN_FILE = "config.json"
# Images of each set whose energies are compared, at most.
_COMPARED = 1_000


def open_model(source: str, server_model: str = "tf_mdsm", batch_size: int = 16) -> Model:
    """Opens a model.

    Args:
        source: a run's folder; the folder of one version of a SavedModel or of a StableHLO export;
            or the address of a server, `grpc://localhost:8500`.
        server_model: the model's name on the server.
        batch_size: images of a request to a server, at most its limit.

    Raises:
        InvalidArgument: for what is none of these.
        RunError: if a checkpoint cannot be read.
        ServingError: if the server does not answer.
    """
    names = {"address": "SOURCE", "folder": "SOURCE", "workdir": "SOURCE"}
    with errors_renamed({**names, "batch_size": "--batch_size"}):
        if "://" in source:
            client = Client(source, model=server_model, batch_size=batch_size)
            return RequestsModel(client, f"server at {source}")
        folder = local_path("SOURCE", source)
        kinds: dict[str, Callable[[], Model]] = {
            _RUN_FILE: lambda: RunModel(folder),
            SAVED_MODEL_FILE: lambda: RequestsModel(LoadedSavedModel(folder), f"export {folder}"),
            MODEL_FILE: lambda: RequestsModel(StableHloModel(folder), f"export {folder}"),
        }
        for file, opened in kinds.items():
            if os.path.isfile(os.path.join(folder, file)):
                return opened()
    files = ", ".join(kinds)
    requirement = f"be a folder that holds {files}, or a server's address"
    raise InvalidArgument("SOURCE", requirement, source)


class Comparison:
    """Sets of images with whose energies others are compared.

    Attributes:
        images: images [N, H, W, C] by the name of their set; the last set is offered to visitors.
        energies: their energies [N], by the same names.
        remark: why there are none, a sentence; empty if there are some.
    """

    def __init__(self, model: Model, images: dict[str, np.ndarray], remark: str = ""):
        self.images = {name: array[:_COMPARED] for name, array in images.items()}
        self.energies = {name: model.energy(array) for name, array in self.images.items()}
        self.remark = remark


def comparison_of(model: Model, path: str = "") -> Comparison:
    """The images of a file or folder; without one, the run's own training and validation images.

    Raises:
        InvalidArgument: about `--images`, if the path names no images of the model's size.
    """
    if path:
        images = read_images([local_path("--images", path)], model.image_shape, "--images")
        return Comparison(model, {os.path.basename(os.path.normpath(path)): images})
    if not isinstance(model, RunModel):
        remark = "There are no images to compare with: name some with --images=PATH."
        return Comparison(model, {}, remark)
    try:
        return Comparison(model, model.own_images())
    except (InvalidArgument, RunError) as error:
        return Comparison(model, {}, f"The run's images cannot be shown: {error}")
