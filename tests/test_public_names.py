"""Public names that are imported when they are first used."""

import sys

import pytest

from tf_mdsm.public_names import import_when_used


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a module that is not imported yet."""
    folder = tmp_path / "lazy_example"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "__init__.py").write_text("")
    (folder / "numbers.py").write_text("one, two = 1, 2")
    (folder / "__init__.py").write_text(
        "from tf_mdsm.public_names import import_when_used\n"
        "__getattr__, __dir__, __all__ = import_when_used(\n"
        "    __name__, {'numbers': ['two', 'one']}, modules=['inner'])"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("lazy_example")
    for name in [name for name in sys.modules if name.startswith("lazy_example")]:
        del sys.modules[name]


def test_a_module_is_imported_with_its_first_name(package):
    assert package.__all__ == ["one", "two"]
    assert {"one", "two", "inner", "__name__"} <= set(dir(package))
    assert "lazy_example.numbers" not in sys.modules
    assert package.two == 2
    assert "lazy_example.numbers" in sys.modules


def test_packages_are_attributes(package):
    assert package.inner is sys.modules["lazy_example.inner"]


def test_unknown_names_are_refused(package):
    with pytest.raises(AttributeError, match="module 'lazy_example' has no attribute 'three'"):
        _ = package.three


def test_the_list_of_names_is_sorted():
    assert import_when_used("any", {"m": ["b", "a"], "n": ["c"]})[2] == ["a", "b", "c"]
