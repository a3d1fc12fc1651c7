"""The ways a run can go wrong: it was called wrongly, or it, or a server it asked, failed."""

import contextlib
from collections.abc import Iterator

__all__ = ["InvalidArgument", "RunError", "ServingError", "group", "known_as", "one_line"]


class InvalidArgument(ValueError):
    """A setting or an input that cannot be used; found before a run does anything.

    Args:
        field: name of the argument, as the caller knows it.
        requirement: what it must be: "be positive", "name a folder".
        received: the value that was given.
    """

    def __init__(self, field: str, requirement: str, received: object):
        self.field, self.requirement, self.received = field, requirement, received
        super().__init__(f"`{field}` must {requirement}. Received: {received}")

    def within(self, group: str) -> "InvalidArgument":
        """The same complaint about `group.field`."""
        return InvalidArgument(f"{group}.{self.field}", self.requirement, self.received)


@contextlib.contextmanager
def group(name: str) -> Iterator[None]:
    """Complaints about an argument become complaints about the field of this group."""
    try:
        yield
    except InvalidArgument as error:
        raise error.within(name) from error


@contextlib.contextmanager
def known_as(field: str) -> Iterator[None]:
    """Complaints about any argument become complaints about the field that it came from."""
    try:
        yield
    except InvalidArgument as error:
        raise InvalidArgument(field, error.requirement, error.received) from error


class RunError(RuntimeError):
    """A run that started well and cannot go on; what it saved stays usable."""


class ServingError(RuntimeError):
    """A model server that cannot be reached, or refuses a request, or fails in it."""


def one_line(error: BaseException) -> str:
    """An error's message on one line, shortened to what a terminal shows."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 600 else text[:600] + " …"
