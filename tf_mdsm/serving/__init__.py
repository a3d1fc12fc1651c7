"""Asks a TensorFlow Serving server for samples, energies, scores and inpainted images.

    from tf_mdsm.serving import Client

    images, energy = Client("grpc://localhost:8500").sample(seeds=range(16))

and the same on the command line: `python -m tf_mdsm.serving --help`.
"""

from tf_mdsm.errors import InvalidArgument, ServingError
from tf_mdsm.serving.client import Client
from tf_mdsm.serving.transport import VersionStatus

__all__ = ["Client", "InvalidArgument", "ServingError", "VersionStatus"]
