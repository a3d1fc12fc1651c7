"""Errors: the sentence about a wrong argument, its name for a caller, messages on one line."""

import pytest

from tf_mdsm.errors import (
    InvalidArgument,
    RunError,
    ServingError,
    errors_about,
    errors_in_group,
    errors_renamed,
    one_line,
)

ERROR = InvalidArgument("image_size", "be positive", -1)


def test_the_sentence_of_a_wrong_argument():
    assert str(ERROR) == "`image_size` must be positive. Received: -1"
    assert (ERROR.field, ERROR.requirement, ERROR.received) == ("image_size", "be positive", -1)
    assert isinstance(ERROR, ValueError)


def test_an_error_within_groups():
    outer, inner = errors_in_group("config"), errors_in_group("data")
    with pytest.raises(InvalidArgument) as caught, outer, inner:
        raise ERROR
    assert str(caught.value) == "`config.data.image_size` must be positive. Received: -1"
    assert caught.value.__cause__.__cause__ is ERROR


def test_an_error_about_what_an_argument_came_from():
    with pytest.raises(InvalidArgument) as caught, errors_about("--config"):
        raise ERROR
    assert str(caught.value) == "`--config` must be positive. Received: -1"
    assert caught.value.__cause__ is ERROR


@pytest.mark.parametrize(
    ("names", "field"), [({"image_size": "size"}, "size"), ({"size": "image_size"}, "image_size")]
)
def test_an_error_under_another_name(names, field):
    with pytest.raises(InvalidArgument) as caught, errors_renamed(names):
        raise ERROR
    assert str(caught.value) == f"`{field}` must be positive. Received: -1"


@pytest.mark.parametrize(
    "context",
    [errors_in_group, errors_about, lambda name: errors_renamed({name: "workdir"})],
    ids=["in a group", "about", "renamed"],
)
@pytest.mark.parametrize("error", [ValueError("no"), RunError("no"), ServingError("no")], ids=repr)
def test_other_errors_pass_unchanged(context, error):
    with pytest.raises(type(error)) as caught, context("config"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("one\n  two\tthree\r\n", "one two three"),
        ("", "ValueError"),
        (" \n ", "ValueError"),
        ("x" * 600, "x" * 600),
        ("x" * 601, "x" * 600 + " …"),
    ],
    ids=["several lines", "empty", "blank", "longest", "too long"],
)
def test_one_line(message, line):
    assert one_line(ValueError(message)) == line
