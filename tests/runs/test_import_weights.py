"""Import of the authors' weights: the run that it writes, and what is refused.

The weights are the golden ones, in files of a stand-in for PyTorch. Files of PyTorch itself:
`tests/slow/test_pytorch_import.py`.
"""

import errno
import functools
import os
import shutil

import numpy as np
import pytest

from tests.helpers import golden, torch_stand_in
from tests.helpers.eager import uncompiled
from tests.helpers.imported_runs import (
    SHORT,
    assert_authors_energies,
    assert_two_small_steps,
    import_file,
    restored,
)
from tests.helpers.small_runs import ROOT, call, saved_config, small_config
from tf_mdsm.config import default_config
from tf_mdsm.config.file import get_config
from tf_mdsm.datasets import image_statistics
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.pytorch_weights import from_state_dict, to_state_dict
from tf_mdsm.runs import import_weights as import_module
from tf_mdsm.runs.build_data import build_images
from tf_mdsm.runs.export import export
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.image_record import load_record
from tf_mdsm.runs.import_weights import import_weights
from tf_mdsm.runs.loaded_run import load_run
from tf_mdsm.runs.train import train
from tf_mdsm.system.torch_files import read_state_dict, write_state_dict


def files_of(folder) -> dict[str, bytes]:
    """The content of each file in a folder, by its path."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class FolderOnly:
    """Writes an empty folder in place of checkpoints."""

    def __init__(self, folder, *_):
        self._folder = folder

    def save(self):
        os.mkdir(self._folder)


@pytest.fixture(scope="module", autouse=True)
def stand_in():
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield torch_stand_in.install(monkeypatch)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """The authors' res6 in a file."""
    path = tmp_path_factory.mktemp("weights") / "res6.pt"
    write_state_dict(str(path), golden.state_dict("res6"))
    return path


@pytest.fixture(scope="module")
def imported(weights_file, tmp_path_factory):
    """The folder of the run imported from that file, and the command's answer."""
    workdir = tmp_path_factory.mktemp("imported") / "new" / "run"
    return workdir, import_file(weights_file, workdir)


@pytest.fixture
def tiny():
    """A network of images of 8 x 8 pixels, as if the authors had published it."""
    return from_state_dict(to_state_dict(build_network("res6", (8, 8, 1), 1, seed=5)))


def test_import_writes_a_run_folder(imported):
    workdir, answer = imported
    assert (answer.returncode, answer.stdout) == (0, ""), answer.stderr
    (line,) = answer.stderr.splitlines()
    assert "res6, 4 channels, quadratic head" in line
    assert "images of 32 x 32 x 1; step 0" in line
    assert {path.name for path in workdir.iterdir()} == {"config.json", "checkpoints"}
    config = saved_config(workdir)
    network = {key: config["network"][key] for key in ("name", "channels", "head")}
    assert network == {"name": "res6", "channels": 4, "head": "quadratic"}
    assert (config["data"]["image_size"], config["data"]["channels"]) == (32, 1)
    assert config["optimizer"]["ema_momentum"] == 0
    assert config["training"]["batch_size"] == SHORT["training.batch_size"]
    assert config["noise"] == default_config().noise.to_dict()


def test_an_imported_run_has_the_authors_energies(imported):
    assert_authors_energies(imported[0], "res6")


def test_export_to_pytorch_recovers_the_file(imported, weights_file, tmp_path):
    shutil.copytree(imported[0], tmp_path, dirs_exist_ok=True)
    config = get_config(str(tmp_path))
    config.export.format = "torch"
    (path,) = export(config, str(tmp_path))
    assert path.endswith("export/torch/step_00000000.pt")
    exported = read_state_dict(path)
    for name, array in read_state_dict(str(weights_file)).items():
        np.testing.assert_array_equal(exported[name], array, err_msg=name)


def test_training_continues_from_the_imported_weights(tiny, tmp_path):
    config = small_config(
        optimizer__learning_rate=5e-5, training__num_steps=2, training__steps_per_call=1
    )
    import_weights(config, str(tmp_path), tiny)
    with uncompiled():
        train(get_config(str(tmp_path)), str(tmp_path))
    model, step = restored(tmp_path)
    assert step == 2
    assert_two_small_steps(tiny.weights, model.network.trainable_variables)


def test_an_import_with_a_mixture_keeps_statistics_of_the_images(tiny, tmp_path, monkeypatch):
    """Sampling can then start at the mixture, and the run knows its images."""
    few = functools.partial(image_statistics.fit_mixture, numbers=(2,), ranks=(3,))
    monkeypatch.setattr(image_statistics, "fit_mixture", few)
    config = small_config(sampling__start="mixture", data__allow_other_images=True)
    import_weights(config, str(tmp_path), tiny)
    assert saved_config(tmp_path)["data"]["allow_other_images"] is False
    images, _ = build_images(get_config(str(tmp_path)))
    statistics = load_run(get_config(str(tmp_path)), str(tmp_path)).statistics
    np.testing.assert_allclose(statistics.mean, images.mean(0), atol=1e-6)
    assert statistics.mixture.centers.shape == (2, 3)
    assert load_record(RunFolder(str(tmp_path))).training == len(images)


def test_images_that_an_import_cannot_read_are_refused(tiny, tmp_path):
    config = small_config(sampling__start="mixture", data__source="folder", data__path="nowhere")
    with pytest.raises(InvalidArgument, match=r"`config.data.path` must"):
        import_weights(config, str(tmp_path), tiny)
    assert not list(tmp_path.iterdir())


def test_an_existing_run_is_not_overwritten(imported, weights_file, tmp_path):
    workdir, _ = imported
    before = files_of(workdir)
    answer = import_file(weights_file, workdir)
    assert answer.returncode == 2
    assert "`--workdir` must hold no run yet, and holds config.json" in answer.stderr
    assert files_of(workdir) == before
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InvalidArgument, match="holds checkpoints"):
        import_weights(default_config(), str(tmp_path), None)


@pytest.mark.parametrize("at", ["save_config", "TrainingCheckpoints"])
def test_a_failed_import_leaves_no_files(at, tiny, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "no space left")

    (tmp_path / "mine.txt").write_text("stays")
    monkeypatch.setattr(import_module, at, fail)
    with pytest.raises(InvalidArgument, match="be writable"):
        import_weights(default_config(), str(tmp_path), tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    monkeypatch.undo()
    import_weights(default_config(), str(tmp_path), tiny)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt", "config.json", "checkpoints"}


def test_the_configuration_is_written_last(tiny, tmp_path, monkeypatch):
    """An import that ends between its two parts leaves no run."""
    rename, done = os.rename, []

    def rename_once(source, target):
        if done:
            raise KeyboardInterrupt
        done.append(os.path.basename(target))
        rename(source, target)

    monkeypatch.setattr(import_module.os, "rename", rename_once)
    monkeypatch.setattr(import_module, "TrainingCheckpoints", FolderOnly)
    with pytest.raises(KeyboardInterrupt):
        import_weights(default_config(), str(tmp_path), tiny)
    assert done == ["checkpoints"]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_a_network_that_no_run_can_have_is_refused(tmp_path):
    network = build_network("res6", (8, 8, 5), 1)
    published = from_state_dict(to_state_dict(network))
    with pytest.raises(
        InvalidArgument, match=r"--torch_checkpoint.*config\.data\.channels can be 1"
    ):
        import_weights(default_config(), str(tmp_path / "run"), published)
    assert not (tmp_path / "run").exists()


def test_a_bad_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "text").write_text("weights\n")
    write_state_dict(str(tmp_path / "stranger"), {"w": np.ones(2, np.float32)})
    expected = {
        "text": "a complete PyTorch file",
        "stranger": "one of the authors' networks",
        "absent": "an existing file",
    }
    for name, words in expected.items():
        answer = import_file(tmp_path / name, tmp_path / "run")
        assert (answer.returncode, answer.stdout) == (2, "")
        (line,) = answer.stderr.splitlines()
        assert "`--torch_checkpoint` must" in line
        assert words in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([f"--config={ROOT}/configs/cifar.py"], "`--torch_checkpoint` must name the authors'"),
        ([f"--config={ROOT}/configs/cifar.py", "--torch_checkpoint="], "Received: nothing"),
        (["--torch_checkpoint=x.pt", "--workdir=w"], "`--config` must name a recipe"),
        (
            [f"--config={ROOT}/configs/cifar.py", "--mode=train", "--torch_checkpoint=x.pt"],
            "`--torch_checkpoint` must be left out unless --mode=import",
        ),
    ],
)
def test_wrong_command_lines_are_refused(arguments, words):
    answer = call("--mode=import", *arguments)
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert words in line
