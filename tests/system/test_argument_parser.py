"""A wrong command line raises the package's error, and ends nothing."""

import pytest

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.argument_parser import ArgumentParser


@pytest.mark.parametrize("wrong", [["--port=many"], ["--unknown"], ["one", "two"]])
def test_what_argparse_finds_is_raised(wrong, capsys):
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--port", type=int)
    parser.add_argument("word", nargs="?")
    with pytest.raises(InvalidArgument, match=r"`the command line` must be valid \(see --help\)"):
        parser.parse_args(wrong)
    assert capsys.readouterr().err == ""
