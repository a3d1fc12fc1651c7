"""Description of a cluster: the addresses of its workers, and the rank of this process."""

import dataclasses
import re
from collections.abc import Mapping

from tf_mdsm.errors import InvalidArgument

__all__ = ["ClusterSpec", "required_number", "required_variable"]


@dataclasses.dataclass(frozen=True)
class ClusterSpec:
    """Workers that train together, and which of them this process is.

    Args:
        variable: environment variable that describes the workers; error messages name it.
        addresses: "host:port" of every worker in the order of their ranks; the first is the chief.
        rank: rank of this process, counted from 0.

    Raises:
        InvalidArgument: for a malformed address, an address that occurs twice, or a rank that is
            not below the number of workers.
    """

    variable: str
    addresses: tuple[str, ...]
    rank: int

    def __post_init__(self) -> None:
        for address in self.addresses:
            if not (isinstance(address, str) and re.fullmatch(r"[^\s/]+:\d{1,5}", address)):
                raise InvalidArgument(self.variable, "give every worker a host:port", address)
            if self.addresses.count(address) > 1:
                raise InvalidArgument(self.variable, "give every worker its own address", address)
        if not 0 <= self.rank < self.world_size:
            below = f"give this process a number below that of the workers ({self.world_size})"
            raise InvalidArgument(self.variable, below, self.rank)

    @property
    def world_size(self) -> int:
        """Number of workers."""
        return len(self.addresses)


def required_variable(environment: Mapping[str, str], name: str, requirement: str) -> str:
    """Returns an environment variable that describes the workers.

    Args:
        environment: names and values of all variables, as `os.environ`.
        name: the variable to read.
        requirement: what must be done about it, for the message: "be set by srun".

    Raises:
        InvalidArgument: if the variable is missing or empty.
    """
    value = environment.get(name, "")
    if not value:
        requirement += " for the strategy multi_worker_mirrored"
        raise InvalidArgument(name, requirement, "nothing")
    return value


def required_number(environment: Mapping[str, str], name: str, requirement: str) -> int:
    """Returns an environment variable that holds a number; arguments as `required_variable`.

    Raises:
        InvalidArgument: if the variable is missing, or not a number.
    """
    text = required_variable(environment, name, requirement)
    if not text.isdigit():
        raise InvalidArgument(name, "be a number", text)
    return int(text)
