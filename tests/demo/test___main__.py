"""Calls of the demonstration that end at once."""

import socket

import pytest

from tf_mdsm.demo import __main__ as program


def test_help_and_no_arguments(capsys):
    assert program.main(["--help"]) == 0
    assert program.main([]) == 2
    assert "python -m tf_mdsm.demo SOURCE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a", "b"], "`the command line` must be valid"),
        (["a", "--prot=1"], "`the command line` must be valid"),
        (["a", "--port=x"], "`the command line` must be valid"),
        (["a", "--port=99999"], "`--port` must be a free port"),
    ],
)
def test_wrong_calls(arguments, sentence, capsys):
    assert program.main(arguments) == 2
    assert sentence in capsys.readouterr().err


def test_a_port_in_use_is_refused_before_a_model_is_loaded(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert program.main(["nothing", f"--port={other.getsockname()[1]}"]) == 2
    assert "`--port` must be a free port" in capsys.readouterr().err


def test_a_missing_library_is_named(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert program.main(["nothing", "--port=0"]) == 2
    assert "pip install 'tf-mdsm[demo]'" in capsys.readouterr().err


def test_a_folder_that_is_nothing(tmp_path, capsys):
    assert program.main([str(tmp_path), "--port=0"]) == 2
    assert "`SOURCE` must be a folder that holds" in capsys.readouterr().err
