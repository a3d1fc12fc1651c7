"""Exceptions of the package: a wrong call, a run that failed, a model server that failed."""

import contextlib
from collections.abc import Iterator, Mapping

__all__ = [
    "InvalidArgument",
    "RunError",
    "ServingError",
    "errors_about",
    "errors_in_group",
    "one_line",
]


class InvalidArgument(ValueError):
    """A setting or an input that cannot be used, found before a run does anything.

    The message is "`field` must requirement. Received: received".

    Args:
        field: name of the argument, as the caller knows it.
        requirement: what it must do or be: "be positive", "name a folder".
        received: the value that was given.
    """

    def __init__(self, field: str, requirement: str, received: object):
        self.field, self.requirement, self.received = field, requirement, received
        super().__init__(f"`{field}` must {requirement}. Received: {received}")

    def within(self, group: str) -> "InvalidArgument":
        """The same error about `group.field`."""
        return InvalidArgument(f"{group}.{self.field}", self.requirement, self.received)


@contextlib.contextmanager
def errors_in_group(group: str) -> Iterator[None]:
    """Makes an InvalidArgument about `field` one about `group.field`.

    For a function that takes settings as arguments: its caller knows `image_size` as
    `config.data.image_size`.
    """
    try:
        yield
    except InvalidArgument as error:
        raise error.within(group) from error


@contextlib.contextmanager
def errors_about(field: str) -> Iterator[None]:
    """Makes an InvalidArgument about any argument one about `field`, from which it came."""
    try:
        yield
    except InvalidArgument as error:
        raise InvalidArgument(field, error.requirement, error.received) from error


@contextlib.contextmanager
def errors_renamed(names: Mapping[str, str]) -> Iterator[None]:
    """Makes an InvalidArgument about one of some names one about the name that stands for it.

    For a function that is called by others than the command line: `{"--workdir": "workdir"}`.
    """
    try:
        yield
    except InvalidArgument as error:
        name = names.get(error.field, error.field)
        raise InvalidArgument(name, error.requirement, error.received) from error


class RunError(RuntimeError):
    """A run that started well and cannot continue. What it has saved stays usable."""


class ServingError(RuntimeError):
    """A model server that cannot be reached, refuses a request, or fails to answer it.

    Args:
        message: one sentence.
        status: the error's status, for programs; also an attribute. By gRPC it is the name of the
            code, as "INTERNAL"; by REST it is HTTP's number, as 500. Without a connection it is
            "UNAVAILABLE", and without an answer in time "DEADLINE_EXCEEDED", by both. None: what
            answered is no server of an export, and its answer was no error.
    """

    def __init__(self, message: str, status: str | int | None = None):
        self.status = status
        super().__init__(message)


def one_line(error: BaseException) -> str:
    """An error's message on one line, at most 600 characters long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 600 else text[:600] + " …"
