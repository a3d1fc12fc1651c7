"""What a source is: a run, an export, an address; and what others are compared with."""

import os

import numpy as np
import pytest

from tests.helpers.demo_models import KnownModel
from tests.helpers.served_inputs import some_images
from tf_mdsm.demo import opening
from tf_mdsm.demo.models import RequestsModel
from tf_mdsm.demo.run_model import RunModel
from tf_mdsm.errors import InvalidArgument, ServingError


def test_a_folder_is_known_by_its_files(small_run, exported_run):
    run = opening.open_model(str(small_run))
    assert isinstance(run, RunModel)
    assert "step 10" in run.title
    export = opening.open_model(str(exported_run / "export" / "1"))
    assert isinstance(export, RequestsModel)
    assert export.image_shape == run.image_shape
    images = some_images(2)
    np.testing.assert_allclose(export.energy(images), run.energy(images), rtol=1e-4)


@pytest.mark.parametrize(
    ("source", "requirement"),
    [
        ("nothing/here", "be a folder that holds config.json, saved_model.pb, model.json"),
        ("ftp://host:1", "be like grpc://localhost:8500"),
        ("http://host", "be like grpc://localhost:8500"),
    ],
)
def test_what_is_none_is_refused(source, requirement):
    with pytest.raises(InvalidArgument) as refusal:
        opening.open_model(source)
    assert str(refusal.value).startswith(f"`SOURCE` must {requirement}")


def test_damaged_exports_are_refused_by_the_sources_name(tmp_path):
    for name in ("saved_model.pb", "model.json"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text("broken")
        with pytest.raises(InvalidArgument, match=r"`SOURCE` must be a .* of tf_mdsm"):
            opening.open_model(str(folder))


def test_a_server_that_does_not_answer():
    with pytest.raises(ServingError):
        opening.open_model("http://127.0.0.1:9")


def test_a_run_brings_its_own_images(small_run):
    model = opening.open_model(str(small_run))
    found = opening.comparison_of(model)
    assert {name: len(e) for name, e in found.energies.items()} == {
        "training images": 1000,
        "validation images": 180,
    }
    assert found.remark == ""


def test_without_images_a_remark_says_how_to_name_some():
    found = opening.comparison_of(KnownModel())
    assert found.images == found.energies == {}
    assert "--images=PATH" in found.remark


def test_a_folder_of_images(tmp_path):
    images = some_images(3)
    np.save(tmp_path / "three.npy", images)
    found = opening.comparison_of(KnownModel(), str(tmp_path))
    ((name, energies),) = found.energies.items()
    assert name == os.path.basename(tmp_path)
    np.testing.assert_allclose(energies, (images**2).sum((1, 2, 3)) / 2, rtol=1e-5)
    with pytest.raises(InvalidArgument, match="`--images` must"):
        opening.comparison_of(KnownModel(), str(tmp_path / "none.npy"))


def test_images_of_a_run_that_are_gone(small_run, monkeypatch):
    model = opening.open_model(str(small_run))

    def refuse(self):
        raise InvalidArgument("config.data.path", "be a folder", "gone")

    monkeypatch.setattr(RunModel, "own_images", refuse)
    found = opening.comparison_of(model)
    assert "cannot be shown: `config.data.path` must be a folder" in found.remark
