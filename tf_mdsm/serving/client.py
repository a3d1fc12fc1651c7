"""Client of an exported model on a TensorFlow Serving server, by gRPC or REST."""

import functools
from collections.abc import Mapping
from types import TracebackType
from urllib.parse import urlsplit

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.serving.requests import EnergyRequests, in_parts
from tf_mdsm.serving.transport import Transport, VersionStatus, without_credentials

__all__ = ["Client"]


class Client(EnergyRequests):
    """Client of a TensorFlow Serving server that has loaded an export of tf_mdsm.

    Images are float32 [B, H, W, C] for any B; 0 is black and 1 is white. Pixels are any finite
    numbers, but known pixels of `inpaint` lie in [0, 1]. More than `batch_size` images are sent in
    several requests, one after the other. Several threads may use a client at the same time.

    Args:
        address: scheme, host and port, always all three: `grpc://host:8500`,
            `http://host:8501`, or `https://host:443` if a proxy adds TLS. gRPC sends no password
            and does not encrypt; by REST, `https://name:password@host:443` is Basic
            authentication.
        model: the model's name on the server.
        timeout: seconds until a request is given up. By gRPC, this is the limit of the whole
            request. By REST, it is the limit of connecting, and then of each time in which the
            server sends nothing: the longest is the computation. Sampling takes up to thousands
            of steps: minutes on a CPU.
        version: the model's version; None: the newest version that is loaded.
        batch_size: largest number of images per request, at most the `export.max_batch_size` of
            the export.

    Every method raises

        InvalidArgument: for arguments of another shape, type or range, before anything is sent.
        ServingError: if the server cannot be reached, does not answer in time, is not TensorFlow
            Serving with an export of tf_mdsm, refuses the request, or fails. Its `status` tells
            programs which.
    """

    def __init__(
        self,
        address: str,
        model: str = "tf_mdsm",
        timeout: float = 600.0,
        version: int | None = None,
        batch_size: int = 16,
    ):
        if not isinstance(model, str) or not model:
            raise InvalidArgument("model", "be a model's name", repr(model))
        if not isinstance(batch_size, int) or batch_size < 1:
            raise InvalidArgument("batch_size", "be a positive integer", batch_size)
        self.batch_size = batch_size
        self._transport = _connect(address, model, timeout, version)

    @functools.cached_property
    def image_shape(self) -> tuple[int | None, int | None, int]:
        """Height, width and channels of the model's images; requested from the server once.

        Height and width are None for a model of images of any size.
        """
        height, width, channels = self._sizes("energy")
        if height == width == -1:
            return None, None, channels
        return height, width, channels

    @functools.cached_property
    def sample_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images of `sample` and `inpaint`, requested once."""
        height, width, channels = self.image_shape
        if height is None or width is None:
            return self._sizes("inpaint")
        return height, width, channels

    def _sizes(self, signature: str) -> tuple[int, int, int]:
        """Height, width and channels of a signature's images; -1 twice for any size."""
        sizes = self._transport.input_sizes(signature, "images")
        is_free = signature == "energy" and sizes[1:3] == [-1, -1]
        if len(sizes) != 4 or min(sizes[3:] if is_free else sizes[1:]) < 1:
            raise self._transport.wrong_model_error(f"its images have the shape {sizes}")
        _, height, width, channels = sizes
        return height, width, channels

    def status(self) -> list[VersionStatus]:
        """Status of all versions of the model that the server knows, or of the chosen version."""
        return self._transport.status()

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> dict[str, np.ndarray]:
        """Runs a signature in requests of at most `batch_size` images."""
        replies = []
        for part in in_parts(inputs, self.batch_size):
            count = len(next(iter(part.values())))
            reply = self._transport.predict(signature, part, tuple(shapes))
            for name, shape in shapes.items():
                if reply[name].shape != (count, *shape):
                    raise self._transport.wrong_model_error(
                        f"{name} of shape {list(reply[name].shape)} for {count} images"
                    )
            replies.append(reply)
        return {name: np.concatenate([reply[name] for reply in replies]) for name in shapes}


def _connect(address: str, model: str, timeout: float, version: int | None) -> Transport:
    """The transport for the scheme of the address. Only gRPC's transport imports TensorFlow."""
    try:
        parts = urlsplit(address)
        is_complete = bool(parts.hostname and parts.port) and parts.path in ("", "/")
    except (ValueError, AttributeError):
        is_complete = False
    if is_complete and parts.scheme == "grpc" and "@" in parts.netloc:
        is_complete = False  # This connection sends no password.
    if not is_complete or parts.scheme not in ("grpc", "http", "https"):
        raise InvalidArgument(
            "address",
            "be like grpc://localhost:8500 or http://localhost:8501, with a port",
            without_credentials(repr(address)),
        )
    server = f"{parts.scheme}://{parts.netloc}"
    if parts.scheme == "grpc":
        from tf_mdsm.serving.grpc_transport import GrpcTransport

        return GrpcTransport(server, model, timeout, version)
    from tf_mdsm.serving.rest_transport import RestTransport

    return RestTransport(server, model, timeout, version)
