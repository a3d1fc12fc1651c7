"""The text of --help."""

from tf_mdsm import main
from tf_mdsm.system.help_text import help_text


def test_it_is_the_docstring():
    assert help_text(main.__file__).strip() == str(main.__doc__).strip()


def test_a_file_without_one_has_no_text(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    assert help_text(str(tmp_path / "a.py")) == ""
