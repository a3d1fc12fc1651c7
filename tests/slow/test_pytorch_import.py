"""Import of the authors' weights from PyTorch's files: energies, samples, export, bad files."""

import os
import pickle

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import golden
from tests.helpers.imported_runs import (
    assert_authors_energies,
    assert_two_small_steps,
    authors_images,
    import_file,
    restored,
)
from tests.helpers.small_runs import ROOT, call, saved_config
from tf_mdsm.config.file import get_config
from tf_mdsm.runs.export import export

torch = pytest.importorskip("torch")

# A file in PyTorch's present format, and one in its old format from training on two GPUs.
FILES = {
    "res12": golden.FOLDER / "res12_quadratic_c4.pt",
    "res18": golden.FOLDER / "res18_quadratic_c4_dataparallel_legacy.pt",
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """For each network: the folder of its imported run, and the command's answer."""
    workdirs = {name: tmp_path_factory.mktemp(name) / "new" / "run" for name in FILES}
    return {name: (workdirs[name], import_file(FILES[name], workdirs[name])) for name in FILES}


@pytest.mark.parametrize(("name", "image_channels"), [("res12", 1), ("res18", 3)])
def test_import_finds_network_and_image_size(imported, name, image_channels):
    workdir, answer = imported[name]
    assert answer.returncode == 0, answer.stderr
    (line,) = answer.stderr.splitlines()
    assert f"{name}, 4 channels, quadratic head" in line
    assert f"images of 32 x 32 x {image_channels}" in line
    config = saved_config(workdir)
    network = {key: config["network"][key] for key in ("name", "channels", "head")}
    assert network == {"name": name, "channels": 4, "head": "quadratic"}
    assert (config["data"]["image_size"], config["data"]["channels"]) == (32, image_channels)


@pytest.mark.parametrize("name", FILES)
def test_an_imported_run_has_the_authors_energies(imported, name):
    assert_authors_energies(imported[name][0], name)


@pytest.mark.parametrize("name", FILES)
def test_an_exported_run_has_the_authors_energies(imported, name):
    """Import, export as SavedModel, load."""
    workdir, _ = imported[name]
    (folder,) = export(get_config(str(workdir)), str(workdir))
    numbers = golden.load(name)
    noisy = tf.constant(authors_images(numbers))
    signatures = tf.saved_model.load(folder).signatures
    energy = signatures["energy"](images=noisy)["energy"]
    assert golden.relative_error(energy, numbers.arrays["energy"]) < 1e-5
    denoised = signatures["denoise"](images=noisy)["images"]
    assert golden.relative_error(denoised, numbers.images("denoised")) < 1e-5


@pytest.mark.parametrize("name", FILES)
def test_export_to_pytorch_recovers_the_file(imported, name):
    config = get_config(str(imported[name][0]))
    config.export.format = "torch"
    (path,) = export(config, str(imported[name][0]))
    assert path.endswith("export/torch/step_00000000.pt")
    exported = torch.load(path, weights_only=True)
    imported_state = {
        key.removeprefix("module."): tensor
        for key, tensor in torch.load(FILES[name], weights_only=True).items()
    }
    assert list(exported) == list(imported_state)
    for key, tensor in imported_state.items():
        assert exported[key].dtype is tensor.dtype
        assert torch.equal(exported[key], tensor), key


def test_sampling_from_an_imported_run(imported):
    workdir, _ = imported["res18"]
    answer = call("--mode=sample", f"--workdir={workdir}")
    assert answer.returncode == 0, answer.stderr
    with np.load(workdir / "samples" / "annealed_langevin_2.npz") as arrays:
        assert arrays["images"].shape == (2, 32, 32, 3)


def test_training_continues_from_the_imported_weights(imported):
    workdir, _ = imported["res12"]
    before, _ = restored(workdir)
    answer = call(f"--workdir={workdir}")
    assert answer.returncode == 0, answer.stderr
    assert "from step 0 to 2" in answer.stderr
    after, step = restored(workdir)
    assert step == 2
    weights = {variable.path: variable.numpy() for variable in before.network.variables}
    assert_two_small_steps(weights, after.network.trainable_variables)


class Touch:
    """An object whose pickle creates a folder when it is loaded without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def bad_files(folder) -> dict[str, str]:
    """Writes files that must be refused; returns words of the message for each file name."""
    state = torch.load(FILES["res12"], weights_only=True)
    code = {**state, "lq.bias": Touch(str(folder / "canary"))}
    renamed = {name.replace("lq.weight", "lq.wait"): array for name, array in state.items()}
    nan = torch.full_like(state["ln1.bias"], torch.nan)
    contents = {
        "list": ([1, 2], "hold a state_dict"),
        "nested": ({"state_dict": state, "step": 3}, "names and tensors"),
        "integers": ({**state, "ln1.bias": torch.tensor([3])}, "floating-point"),
        "nan": ({**state, "ln1.bias": nan}, "finite numbers in ln1.bias"),
        "vast": ({**state, "ln1.bias": torch.ones(1).expand(10**15)}, "plain, dense tensors"),
        "stranger": (torch.nn.Linear(2, 2).state_dict(), "2 unknown ('bias', 'weight')"),
        "missing": (renamed, "1 missing ('lq.weight')"),
        "shapes": ({**state, "rb1.conv_1.conv.weight": torch.ones(4)}, "(4, 4, 3, 3)"),
        "module": (torch.nn.Linear(2, 2), "no code in it is run"),
        "code": (code, "no code in it is run"),
    }
    messages = {name: words for name, (_, words) in contents.items()}
    for name, (content, _) in contents.items():
        torch.save(content, folder / name)
    torch.save(code, folder / "code_legacy", _use_new_zipfile_serialization=False)
    (folder / "code_bare").write_bytes(pickle.dumps(code["lq.bias"]))
    for name, path in FILES.items():
        (folder / f"truncated_{name}").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (folder / "empty").touch()
    (folder / "text").write_text("weights\n")
    (folder / "picture").write_bytes((ROOT / "docs/results/digits.png").read_bytes())
    (folder / "folder").mkdir()
    unreadable = ("code_legacy", "code_bare", "truncated_res12", "truncated_res18")
    unreadable += ("empty", "text", "picture")
    messages.update(dict.fromkeys(unreadable, "a complete PyTorch file"))
    return {**messages, "folder": "name an existing file", "absent": "name an existing file"}


def test_bad_files_are_refused_in_one_line(tmp_path):
    """Each on the command line: no code in the files runs, and nothing is written."""
    bad = bad_files(tmp_path)
    before = sorted(tmp_path.iterdir())
    workdir = tmp_path / "run"
    for name, words in bad.items():
        answer = import_file(tmp_path / name, workdir)
        assert answer.returncode == 2, f"{name}: {answer.stderr}"
        (line,) = answer.stderr.splitlines()
        assert "`--torch_checkpoint` must" in line, f"{name}: {line}"
        assert words in line, f"{name}: {line}"
        assert "weights_only" not in line, f"{name}: {line}"
        assert answer.stdout == ""
    assert sorted(tmp_path.iterdir()) == before
    # The canary works: loading without `weights_only` creates it.
    torch.load(tmp_path / "code", weights_only=False)
    assert (tmp_path / "canary").exists()
