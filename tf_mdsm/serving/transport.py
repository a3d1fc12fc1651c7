"""Base class of the client's two connections to a server, gRPC and REST, and its errors."""

import abc
import dataclasses
import re

import numpy as np

from tf_mdsm.errors import InvalidArgument, ServingError

__all__ = ["Transport", "VersionStatus", "clean_message", "without_credentials"]

# Seconds: 11.6 days. Sockets count milliseconds, and overflow from 25 days on.
_MAX_TIMEOUT = 1_000_000
# A version is an int64.
_MAX_VERSION = 2**63 - 1
# The `status` of a ServingError.
Status = str | int | None


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """Status of one version of a model on a server.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        message: the error if the version could not be loaded, else empty.
    """

    version: int
    state: str
    message: str


class Transport(abc.ABC):
    """Connection to one model of one server; all methods raise `ServingError` and nothing else.

    The last methods make these errors; their `status` is that of `ServingError`.

    Args:
        address: scheme, host and port; the attribute `url` keeps it as it is, and `address`, for
            messages, leaves out a name and a password.
        model: the model's name on the server.
        timeout: seconds, at most 1,000,000, until a request is given up. gRPC: for the whole
            request. REST: for connecting, and then for each time without any data.
        version: the model's version; None: the newest version that is loaded.

    Raises:
        InvalidArgument: for a timeout or a version that is out of range.
    """

    def __init__(self, address: str, model: str, timeout: float, version: int | None):
        if not (isinstance(timeout, int | float) and 0 < timeout <= _MAX_TIMEOUT):
            requirement = f"be a positive number of seconds, at most {_MAX_TIMEOUT}"
            raise InvalidArgument("timeout", requirement, timeout)
        if version is not None and not (isinstance(version, int) and 0 <= version <= _MAX_VERSION):
            raise InvalidArgument("version", "be a whole number in [0, 2^63 - 1]", version)
        self.url, self.address = address, without_credentials(address)
        self.model, self.timeout, self.version = model, timeout, version

    @abc.abstractmethod
    def predict(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: its name.
            inputs: arrays by the names of the signature's inputs.
            outputs: names of all outputs of the signature.

        Returns:
            float32 arrays by the names of the outputs.
        """

    @abc.abstractmethod
    def input_sizes(self, signature: str, name: str) -> list[int]:
        """Shape of one input of a signature; -1 stands for any size."""

    @abc.abstractmethod
    def status(self) -> list[VersionStatus]:
        """Status of the requested version, or of all versions that the server knows."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the connection."""

    def unavailable_error(self, detail: str, status: Status = "UNAVAILABLE") -> ServingError:
        """Error: no server answers at the address, or it is too busy."""
        message = f"{self.address} is not available: {clean_message(detail)}"
        return ServingError(message, status=status)

    def timeout_error(self) -> ServingError:
        """Error: no answer within the timeout."""
        message = f"{self.address} gave no answer within {self.timeout:g} s"
        return ServingError(message, status="DEADLINE_EXCEEDED")

    def unknown_model_error(self, detail: str, status: Status = None) -> ServingError:
        """Error: the server does not have the model or the version."""
        version = "" if self.version is None else f" in version {self.version}"
        message = f"{self.address} has no model {self.model}{version}: {clean_message(detail)}"
        return ServingError(message, status=status)

    def refused_error(self, detail: str, status: Status = None) -> ServingError:
        """Error: the server considers the request invalid or too large, or does not permit it."""
        message = f"{self.address} refused the request: {clean_message(detail)}"
        return ServingError(message, status=status)

    def failed_error(self, detail: str, status: Status = None) -> ServingError:
        """Error: the server failed while it worked on the request."""
        message = f"{self.address} failed in the request: {clean_message(detail)}"
        return ServingError(message, status=status)

    def wrong_server_error(self, detail: str, status: Status = None) -> ServingError:
        """Error: the program at the address is not TensorFlow Serving, or this is the port of
        its other interface."""
        scheme = self.address.split(":")[0]
        message = (
            f"the program at {self.address} is not TensorFlow Serving over {scheme}: "
            f"{clean_message(detail)}"
        )
        return ServingError(message, status=status)

    def wrong_model_error(self, detail: str) -> ServingError:
        """Error: the model on the server is not an export of tf_mdsm."""
        return ServingError(
            f"model {self.model} at {self.address} is not an export of tf_mdsm: "
            f"{clean_message(detail)}"
        )


def without_credentials(address: str) -> str:
    """An address without the name and the password before its host, for messages."""
    return re.sub(r"//.*@", "//", address)


def clean_message(message: str) -> str:
    """A server's error message on one line of at most 300 characters, without graph details."""
    lines = [line.strip() for line in message.strip().splitlines()]
    # Lines that begin with [[ name nodes of the graph.
    text = " ".join(" ".join(line for line in lines if not line.startswith("[[")).split())
    if text.startswith("assertion failed: [") and "Received:] " in text:
        text = text.removeprefix("assertion failed: [").replace("Received:] ", "Received: ", 1)
    return (text if len(text) <= 300 else text[:300] + " …") or "it gave no reason"
