"""Serving of a trained energy model: the client, and what a server or another program runs.

The client asks a TensorFlow Serving server for samples, energies, scores, noise levels, denoised
and inpainted images:

    from tf_mdsm.serving import Client

    images, energy = Client("grpc://localhost:8500").sample(seeds=range(16))

It is also a command: `python -m tf_mdsm.serving --help`. Exports for a server are written by
`tf_mdsm.serving.saved_model`. `stablehlo_export` writes programs for XLA, and `StableHloModel` runs
them without TensorFlow.
"""

from tf_mdsm.errors import InvalidArgument, ServingError
from tf_mdsm.serving.client import Client
from tf_mdsm.serving.stablehlo_model import StableHloModel
from tf_mdsm.serving.transport import VersionStatus

__all__ = ["Client", "InvalidArgument", "ServingError", "StableHloModel", "VersionStatus"]
