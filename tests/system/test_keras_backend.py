"""The check of Keras' backend: which one is chosen, by what, and what is refused."""

import json
import sys
import types

import pytest

import tf_mdsm
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.keras_backend import require_tensorflow_backend


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """Keras not imported yet; a function that writes its file of settings."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return lambda text: (tmp_path / "keras.json").write_text(text)


def loaded_with(backend: str) -> types.SimpleNamespace:
    """Keras as it is after its import with a backend."""
    return types.SimpleNamespace(config=types.SimpleNamespace(backend=lambda: backend))


def test_tensorflow_is_kerass_own_choice(settings):
    require_tensorflow_backend()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"backend": "tensorflow"}'])
def test_a_file_that_names_no_other_backend_is_accepted(settings, text):
    settings(text)
    require_tensorflow_backend()


@pytest.mark.parametrize("backend", ["jax", "torch", "nonsense", 3])
def test_another_backend_in_the_file_is_refused(settings, backend, tmp_path):
    settings(json.dumps({"backend": backend}))
    with pytest.raises(InvalidArgument, match='`backend` must be "tensorflow"') as refused:
        require_tensorflow_backend()
    assert f"change {tmp_path}/keras.json" in str(refused.value)
    assert str(refused.value).endswith(f"Received: {backend}")


def test_without_keras_home_the_file_is_in_the_users_folder(settings, monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"backend": "jax"}')
    with pytest.raises(InvalidArgument, match=r"\.keras/keras\.json"):
        require_tensorflow_backend()


@pytest.mark.parametrize(("variable", "is_refused"), [("torch", True), ("tensorflow", False)])
def test_the_variable_overrides_the_file(settings, monkeypatch, variable, is_refused):
    settings('{"backend": "jax"}')
    monkeypatch.setenv("KERAS_BACKEND", variable)
    if is_refused:
        with pytest.raises(InvalidArgument, match=r"`KERAS_BACKEND` must .*Received: torch"):
            require_tensorflow_backend()
    else:
        require_tensorflow_backend()


def test_an_empty_variable_is_none(settings, monkeypatch):
    settings('{"backend": "jax"}')
    monkeypatch.setenv("KERAS_BACKEND", "")
    with pytest.raises(InvalidArgument, match=r"keras\.json"):
        require_tensorflow_backend()


def test_after_keras_is_imported_its_own_word_counts(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", loaded_with("tensorflow"))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    require_tensorflow_backend()
    monkeypatch.setitem(sys.modules, "keras", loaded_with("jax"))
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(InvalidArgument, match=r"start a new process.*Received: jax"):
        require_tensorflow_backend()


def test_every_entrance_refuses_another_backend(monkeypatch):
    """The public names, and the model for who imports it from its module."""
    monkeypatch.setitem(sys.modules, "keras", loaded_with("torch"))
    tf_mdsm._prepare_process.cache_clear()
    try:
        for name in ("EnergyModel", "build_network"):
            with pytest.raises(InvalidArgument, match="Received: torch"):
                getattr(tf_mdsm, name)
    finally:
        tf_mdsm._prepare_process.cache_clear()
    with pytest.raises(InvalidArgument, match="Received: torch"):
        EnergyModel(network=None)
