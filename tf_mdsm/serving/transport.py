"""What the two ways to a server, gRPC and REST, have in common."""

import abc
import dataclasses

import numpy as np

from tf_mdsm.errors import InvalidArgument, ServingError

__all__ = ["Transport", "VersionStatus", "sentence"]

# Eleven days; from 25 on, sockets cannot count the milliseconds.
_MAX_TIMEOUT = 1_000_000
# A version is an int64.
_MAX_VERSION = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """One version of a model: its number, its state (AVAILABLE, LOADING, …), what went wrong."""

    version: int
    state: str
    message: str


class Transport(abc.ABC):
    """One model of one server; every method raises `ServingError` and nothing else.

    Args:
        address: scheme, host and port.
        model: the model's name there.
        timeout: seconds, at most a million, after which a request is given up: the whole request
            by gRPC; by REST connecting to the server and each of its silences, by themselves.
        version: the model's version; None: the newest one that is loaded.
    """

    def __init__(self, address: str, model: str, timeout: float, version: int | None):
        if not (isinstance(timeout, int | float) and 0 < timeout <= _MAX_TIMEOUT):
            requirement = f"be a positive number of seconds, at most {_MAX_TIMEOUT}"
            raise InvalidArgument("timeout", requirement, timeout)
        if version is not None and not (isinstance(version, int) and 0 <= version <= _MAX_VERSION):
            raise InvalidArgument("version", "be a whole number in [0, 2^63 - 1]", version)
        self.address, self.model, self.timeout, self.version = address, model, timeout, version

    @abc.abstractmethod
    def predict(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        """Runs a signature on named arrays; its outputs, float32, by name."""

    @abc.abstractmethod
    def input_sizes(self, signature: str, name: str) -> list[int]:
        """The shape of one input of a signature; -1: free."""

    @abc.abstractmethod
    def status(self) -> list[VersionStatus]:
        """All versions of the model that the server knows, or the one that was asked for."""

    @abc.abstractmethod
    def close(self) -> None:
        """Gives up connections."""

    def unavailable(self, detail: str) -> ServingError:
        """Nobody there, or a server that is too busy to take requests."""
        return ServingError(f"{self.address} is not available: {sentence(detail)}")

    def too_late(self) -> ServingError:
        return ServingError(f"{self.address} gave no answer within {self.timeout:g} s")

    def unknown_model(self, detail: str) -> ServingError:
        version = "" if self.version is None else f" in version {self.version}"
        return ServingError(
            f"{self.address} has no model {self.model}{version}: {sentence(detail)}"
        )

    def refused(self, detail: str) -> ServingError:
        return ServingError(f"{self.address} refused the request: {sentence(detail)}")

    def failed(self, detail: str) -> ServingError:
        return ServingError(f"{self.address} failed in the request: {sentence(detail)}")

    def foreign(self, detail: str) -> ServingError:
        """Another program, or the server's other port."""
        kind = self.address.split(":")[0]
        return ServingError(
            f"what answers at {self.address} is not TensorFlow Serving by {kind}: "
            f"{sentence(detail)}"
        )

    def foreign_model(self, detail: str) -> ServingError:
        return ServingError(
            f"model {self.model} at {self.address} is no export of tf_mdsm: {sentence(detail)}"
        )


def sentence(message: str) -> str:
    """A server's message on one line, without TensorFlow's wrapping round it."""
    lines = [line.strip() for line in message.strip().splitlines()]
    # Names of the graph's nodes, which say nothing to a caller.
    text = " ".join(" ".join(line for line in lines if not line.startswith("[[")).split())
    if text.startswith("assertion failed: [") and "Received:] " in text:
        text = text.removeprefix("assertion failed: [").replace("Received:] ", "Received: ", 1)
    return (text if len(text) <= 300 else text[:300] + " …") or "it gave no reason"
