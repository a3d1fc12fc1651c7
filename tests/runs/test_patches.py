"""Runs on patches of photographs: trained, killed and resumed, used by other modes, refused."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers import small_runs as runs
from tests.helpers.evaluation_runs import evaluation_config, metrics
from tests.helpers.image_data import random_uint8
from tf_mdsm.datasets.batches import training_batches
from tf_mdsm.datasets.photographs import load_patches
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.build_session import open_session
from tf_mdsm.runs.evaluate import evaluate
from tf_mdsm.runs.evaluation_context import EvaluationContext
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.image_record import load_record
from tf_mdsm.runs.loaded_run import load_run
from tf_mdsm.runs.restore import restore
from tf_mdsm.system import checksums

SIZES = [(30, 20), (16, 16), (24, 40), (9, 9), (20, 20), (7, 30)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six photographs, the last of which is smaller than a patch."""
    path = tmp_path_factory.mktemp("photos")
    for number, size in enumerate(SIZES):
        Image.fromarray(random_uint8(*size, 3, seed=number)).save(path / f"{number}.png")
    return path


def settings_of(photos, **changes) -> dict:
    return {
        "data__source": "folder",
        "data__path": str(photos),
        "data__patches": True,
        "data__flip": True,
        "data__turn": True,
        "training__num_steps": 20,
        "network__name": "unet",
        "network__head": "distance",
        "network__channels": 4,
        "network__unet__num_resolutions": 1,
        **changes,
    }


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """An uninterrupted run from memory, and what the program said."""
    workdir = tmp_path_factory.mktemp("trained")
    answer = runs.call(*runs.flags(**settings_of(photos)), f"--workdir={workdir}")
    assert answer.returncode == 0, answer.stderr
    return workdir, answer


def test_a_run_says_what_it_is_trained_on(photos, trained):
    workdir, answer = trained
    left_out = f"left out, as smaller than a patch of 8 x 8 pixels: {photos}/5.png (7 x 30)"
    assert left_out in answer.stderr
    assert ": patches of 4 training images, " in answer.stderr
    record = load_record(RunFolder(str(workdir)))
    assert (record.training, record.validation, record.source.num_files) == (4, 1, 6)
    assert record.split == "folder, 0.1 held out, patches"


def test_the_statistics_are_those_of_all_patches(photos, trained):
    """Here they are few enough."""
    workdir, _ = trained
    patches, _ = load_patches("folder", path=str(photos), image_size=8, channels=1)
    with np.load(workdir / "checkpoints" / "statistics.npz") as arrays:
        mean = patches[np.arange(len(patches))].mean(axis=0) / 255
        np.testing.assert_allclose(arrays["mean"], mean, atol=1e-5)


def test_batches_of_a_run_are_patches_of_its_training_images(photos, tmp_path):
    config = runs.small_config(**settings_of(photos, seed=5))
    patches, _ = load_patches("folder", path=str(photos), image_size=8, channels=1)
    expected = training_batches(patches, batch_size=16, seed=5, flip=True, turn=True)
    with open_session(config, str(tmp_path)) as session:
        for batch in expected.take(3):
            np.testing.assert_array_equal(next(session.batches), batch)


class Killed(BaseException):
    """Ends a run at once, as a kill does."""


@pytest.fixture(scope="module")
def killed(photos, tmp_path_factory):
    """A run that was killed after its checkpoint of step 10."""
    workdir = tmp_path_factory.mktemp("killed")
    original = checksums.forget

    def forget(*values):
        if runs.latest_step(workdir) == 10:
            raise Killed
        return original(*values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checksums, "forget", forget)
        with pytest.raises(Killed):
            runs.call(*runs.flags(**settings_of(photos)), f"--workdir={workdir}")
    assert runs.latest_step(workdir) == 10
    return workdir


def test_a_run_that_was_killed_ends_as_the_uninterrupted_one(photos, trained, killed, tmp_path):
    """It read the photographs from memory, and then continues with those of a cache."""
    workdir, _ = trained
    flags = runs.flags(**settings_of(photos, data__cache=tmp_path))
    answer = runs.call(*flags, f"--workdir={killed}")
    assert answer.returncode == 0, answer.stderr
    assert "from step 10 to 20" in answer.stderr
    assert list(tmp_path.glob("*/values.npy"))
    runs.assert_same_weights(runs.final_weights(killed), runs.final_weights(workdir))


def test_evaluation_looks_at_patches(trained):
    workdir, _ = trained
    config = evaluation_config(workdir, parts="memorisation,energies", features="none")
    evaluate(config, str(workdir))
    entries = metrics(workdir)
    assert {"training images", "validation images"} <= {metric["of"] for metric in entries}
    with pytest.raises(InvalidArgument, match=r"inception or none, as there are no labels of pat"):
        evaluate(evaluation_config(workdir, parts="quality"), str(workdir))


@pytest.mark.parametrize("parts", ["memorisation", "energies,memorisation", "all"])
def test_samples_of_another_size_are_not_compared_with_patches(trained, monkeypatch, parts):
    """They are refused before anything is prepared or sampled, by each worker of a cluster."""
    for name in ("prepare", "sample"):
        monkeypatch.setattr(EvaluationContext, name, lambda *_: pytest.fail("not refused"))
    workdir, _ = trained
    config = evaluation_config(workdir, parts=parts, features="none")
    config.sampling.update(image_size=16, start="isotropic")
    message = (
        r"`config.sampling.image_size` must be 0 or 8 for the part memorisation, .* Received: 16"
    )
    with pytest.raises(InvalidArgument, match=message):
        evaluate(config, str(workdir))
    config.evaluation.parts = "quality,energies,outliers,denoising"
    EvaluationContext(load_run(config, str(workdir)))


def test_validation_patches_are_restored(photos, trained):
    """The one photograph that is held out has four of them."""
    workdir, _ = trained
    config = evaluation_config(workdir)
    config.restoration.update(task="inpaint_half", num_images=3, sampler="heun", start="gaussian")
    (grid, *_) = restore(config, str(workdir))
    assert grid


@pytest.mark.parametrize("changes", [{"data__patches": False}, {"data__turn": False}])
def test_a_run_stays_one_of_patches(photos, trained, changes):
    workdir, _ = trained
    config = runs.small_config(**settings_of(photos, **changes))
    (field,) = (name.replace("__", ".") for name in changes)
    with (
        pytest.raises(InvalidArgument, match=rf"`config.{field}` must stay True"),
        open_session(config, str(workdir)),
    ):
        pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__image_size": 25}, "`config.data.image_size` must not exceed height and width"),
        ({"data__crop": 20}, "`config.data.crop` must be 0 for config.data.patches"),
        ({"data__source": "digits"}, "`config.data.source` must be one of folder, npz"),
        ({"data__path": "nowhere"}, "`config.data.path` must be a folder"),
        ({"data__patches": "perhaps"}, "`config.data.patches` must be true or false"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(photos, tmp_path, changes, message):
    flags = runs.flags(**settings_of(photos, **changes))
    answer = runs.call(*flags, f"--workdir={tmp_path / 'run'}")
    assert answer.returncode == 2
    assert message in answer.stderr.splitlines()[-1]
    assert not (tmp_path / "run" / "config.json").exists()
