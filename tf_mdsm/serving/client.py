"""A client of an exported model, by gRPC or REST."""

import functools
from types import TracebackType
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.serving import request_checks as checks
from tf_mdsm.serving.transport import Transport, VersionStatus

__all__ = ["Client"]


class Client:
    """Asks a TensorFlow Serving server that has an export of tf_mdsm loaded.

    Images are float32 [B, H, W, C], pixels in [0, 1]; any B: more than `batch_size` are sent
    in several requests, one after the other. Threads may share a client.

    Args:
        address: scheme, host and port, always all three: `grpc://host:8500`,
            `http://host:8501`, or `https://host:443` where a proxy adds TLS.
        model: the model's name on the server.
        timeout: seconds until a request is given up. By gRPC the whole request may take that
            long; by REST connecting may, and then each silence of the server, whose longest is
            the computation: an answer that trickles in is read to its end. A sampled batch is a
            chain of some thousand steps: minutes on a CPU.
        version: the model's version; None: the newest that is loaded.
        batch_size: images a request, no more than the export's `export.max_batch_size`.

    Every method raises

        InvalidArgument: for what should not be sent, before anything is; see `checks`.
        ServingError: for a server that cannot be reached, is late, is another, or refuses.
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
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the model's images; the server is asked once."""
        sizes = self._transport.input_sizes("energy", "images")
        if len(sizes) != 4 or min(sizes[1:]) < 1:
            raise self._transport.foreign_model(f"its images have the shape {sizes}")
        return tuple(sizes[1:])

    def status(self) -> list[VersionStatus]:
        """The versions of the model that the server knows, with their states."""
        return self._transport.status()

    def sample(self, seeds: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Draws an image for each seed, integers [B] in [0, 2^62]: images [B, H, W, C] in
        [0, 1] and their energies [B]. An image is a function of the model and its seed."""
        inputs = {"seed": checks.checked_seeds(seeds)}
        outputs = self._run("sample", inputs, {"images": self.image_shape, "energy": ()})
        return outputs["images"], outputs["energy"]

    def energy(self, images: npt.ArrayLike) -> np.ndarray:
        """E(x), [B]; low where images look like the training images."""
        inputs = {"images": checks.checked_images(images, self.image_shape)}
        return self._run("energy", inputs, {"energy": ()})["energy"]

    def score(self, images: npt.ArrayLike) -> np.ndarray:
        """-dE/dx, [B, H, W, C]."""
        inputs = {"images": checks.checked_images(images, self.image_shape)}
        return self._run("score", inputs, {"score": self.image_shape})["score"]

    def denoise(self, images: npt.ArrayLike) -> np.ndarray:
        """The denoised images, [B, H, W, C], not clipped to [0, 1]."""
        inputs = {"images": checks.checked_images(images, self.image_shape)}
        return self._run("denoise", inputs, {"images": self.image_shape})["images"]

    def inpaint(
        self, images: npt.ArrayLike, mask: npt.ArrayLike, seeds: npt.ArrayLike
    ) -> np.ndarray:
        """Fills in the unknown pixels; the known ones come back exactly.

        Args:
            images: [B, H, W, C]; finite where unknown, in [0, 1] where known.
            mask: [B, H, W, 1], 1 where known, else 0.
            seeds: one integer an image, [B], each in [0, 2^62].
        """
        images = checks.checked_images(images, self.image_shape)
        mask = checks.checked_mask(mask, images)
        checks.require_known_in_range(images, mask)
        seeds = checks.checked_seeds(seeds)
        if len(seeds) != len(images):
            raise InvalidArgument("seeds", f"be one an image ({len(images)})", len(seeds))
        inputs = {"images": images, "mask": mask, "seed": seeds}
        return self._run("inpaint", inputs, {"images": self.image_shape})["images"]

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

    def _run(
        self,
        signature: str,
        inputs: dict[str, np.ndarray],
        shapes: dict[str, tuple[int, ...]],
    ) -> dict[str, np.ndarray]:
        """Sends requests of at most `batch_size` rows and joins the replies, [B, *shape] each."""
        count = len(next(iter(inputs.values())))
        parts = []
        for first in range(0, count, self.batch_size):
            part = {name: rows[first : first + self.batch_size] for name, rows in inputs.items()}
            reply = self._transport.predict(signature, part, tuple(shapes))
            rows = len(next(iter(part.values())))
            for name, shape in shapes.items():
                if reply[name].shape != (rows, *shape):
                    raise self._transport.foreign_model(
                        f"{name} of shape {list(reply[name].shape)} for {rows} images"
                    )
            parts.append(reply)
        return {name: np.concatenate([part[name] for part in parts]) for name in shapes}


def _connect(address: str, model: str, timeout: float, version: int | None) -> Transport:
    """The transport that the address asks for, loaded only then: gRPC's needs TensorFlow."""
    try:
        parts = urlsplit(address)
        is_complete = bool(parts.hostname and parts.port) and parts.path in ("", "/")
    except (ValueError, AttributeError):
        is_complete = False
    if not is_complete or parts.scheme not in ("grpc", "http", "https"):
        raise InvalidArgument(
            "address",
            "be like grpc://localhost:8500 or http://localhost:8501, with a port",
            repr(address),
        )
    if parts.scheme == "grpc":
        from tf_mdsm.serving.grpc_transport import GrpcTransport as chosen
    else:
        from tf_mdsm.serving.rest_transport import RestTransport as chosen
    return chosen(f"{parts.scheme}://{parts.netloc}", model, timeout, version)
