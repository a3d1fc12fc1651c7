"""Import of the authors' PyTorch weights: command line, energies, samples, export, bad files."""

import concurrent.futures
import errno
import os
import pickle
import sys

import golden
import numpy as np
import pytest
import tensorflow as tf
from small_runs import ROOT, call, saved_config

from tf_mdsm.config import default_config
from tf_mdsm.config.file import get_config
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.pytorch_weights import from_state_dict, to_state_dict
from tf_mdsm.runs import import_weights as import_module
from tf_mdsm.runs.build_model import build_model
from tf_mdsm.runs.export import export
from tf_mdsm.runs.import_weights import import_weights
from tf_mdsm.system.torch_files import read_state_dict, write_state_dict
from tf_mdsm.training.checkpoints import restore_weights

torch = pytest.importorskip("torch")

# A file in PyTorch's present format, and one in its old format from training on two GPUs.
FILES = {
    "res12": ROOT / "tests/golden/res12_quadratic_c4.pt",
    "res18": ROOT / "tests/golden/res18_quadratic_c4_dataparallel_legacy.pt",
}
# Settings that make the imported runs short.
SHORT = {
    "data.source": "synthetic",
    "data.name": "blobs",
    "optimizer.ema_momentum": 0.9,
    "training.batch_size": 8,
    "training.num_steps": 2,
    "training.sample_every": 0,
    "sampling.num_samples": 2,
    "sampling.hot_steps": 1,
    "sampling.cooling_steps": 2,
    "sampling.final_steps": 1,
}


def import_file(path, workdir):
    settings = [f"--config.{name}={value}" for name, value in SHORT.items()]
    return call(
        *("--config=configs/cifar.py", f"--workdir={workdir}", "--mode=import"),
        *(f"--torch_checkpoint={path}", *settings),
    )


def files_of(folder) -> dict[str, bytes]:
    """The content of each file in a folder, by its path."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """For each network: the folder of its imported run, and the command's result."""
    workdirs = {name: tmp_path_factory.mktemp(name) / "new" / "run" for name in FILES}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda name: import_file(FILES[name], workdirs[name]), FILES)
        return dict(zip(FILES, zip(workdirs.values(), results, strict=True), strict=True))


def restored(workdir):
    """The model of a run with the weights of its newest checkpoint, and the checkpoint's step."""
    model = build_model(get_config(str(workdir)))
    return model, restore_weights(str(workdir / "checkpoints"), model)


@pytest.mark.parametrize(("name", "image_channels"), [("res12", 1), ("res18", 3)])
def test_import_writes_a_run_folder(imported, name, image_channels):
    workdir, result = imported[name]
    assert result.returncode == 0, result.stderr
    (line,) = result.stderr.splitlines()
    assert f"{name}, 4 channels, quadratic head" in line
    assert f"images of 32 x 32 x {image_channels}" in line
    assert {path.name for path in workdir.iterdir()} == {"config.json", "checkpoints"}
    config = saved_config(workdir)
    network = {key: config["network"][key] for key in ("name", "channels", "head")}
    assert network == {"name": name, "channels": 4, "head": "quadratic"}
    assert (config["data"]["image_size"], config["data"]["channels"]) == (32, image_channels)
    assert config["optimizer"]["ema_momentum"] == 0
    assert config["noise"] == default_config().noise.to_dict()


@pytest.mark.parametrize("name", FILES)
def test_an_imported_run_has_the_authors_energies(imported, name):
    numbers = golden.load(name)
    sigma = numbers.arrays["sigma"][:, None, None, None]
    noisy = numbers.images("image") + sigma * numbers.images("noise")
    model, step = restored(imported[name][0])
    assert step == 0
    energy, score = model.energy_and_score(noisy)
    assert golden.relative_error(model.energy(noisy), numbers.arrays["energy"]) < 1e-5
    assert golden.relative_error(energy, numbers.arrays["energy"]) < 1e-5
    assert golden.relative_error(-score, numbers.images("energy_gradient")) < 1e-5
    assert golden.relative_error(model.denoise(noisy), numbers.images("denoised")) < 1e-5


@pytest.mark.parametrize("name", ["res12", pytest.param("res18", marks=pytest.mark.long)])
def test_an_exported_run_has_the_authors_energies(imported, name):
    """Import, export as SavedModel, load."""
    workdir, _ = imported[name]
    (folder,) = export(get_config(str(workdir)), str(workdir))
    numbers = golden.load(name)
    sigma = numbers.arrays["sigma"][:, None, None, None]
    noisy = tf.constant(numbers.images("image") + sigma * numbers.images("noise"))
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
    result = call("--mode=sample", f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    with np.load(workdir / "samples" / "annealed_langevin_2.npz") as arrays:
        assert arrays["images"].shape == (2, 32, 32, 3)


def test_training_continues_from_the_imported_weights(imported):
    workdir, _ = imported["res12"]
    before, _ = restored(workdir)
    result = call(f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    assert "from step 0 to 2" in result.stderr
    after, step = restored(workdir)
    assert step == 2
    pairs = zip(before.network.trainable_variables, after.network.trainable_variables, strict=True)
    moved = [np.abs(old.numpy() - new.numpy()).max() for old, new in pairs]
    # Two steps of Adam change a weight by at most 5e-5 each; new initial weights would differ by
    # up to 0.6.
    assert min(moved) > 0
    assert max(moved) < 1.1e-4


def test_an_existing_run_is_not_overwritten(imported, tmp_path):
    workdir, _ = imported["res18"]
    before = files_of(workdir)
    result = import_file(FILES["res12"], workdir)
    assert result.returncode == 2
    assert "`--workdir` must hold no run yet, and holds config.json" in result.stderr
    assert files_of(workdir) == before
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InvalidArgument, match="holds checkpoints"):
        import_weights(default_config(), str(tmp_path), None)


@pytest.mark.parametrize("at", ["save_config", "TrainingCheckpoints"])
def test_a_failed_import_leaves_no_files(at, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "no space left")

    published = from_state_dict(read_state_dict(str(FILES["res12"])))
    (tmp_path / "mine.txt").write_text("stays")
    monkeypatch.setattr(import_module, at, fail)
    with pytest.raises(InvalidArgument, match="be writable"):
        import_weights(default_config(), str(tmp_path), published)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    monkeypatch.undo()
    import_weights(default_config(), str(tmp_path), published)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt", "config.json", "checkpoints"}


def module_of(state: dict) -> torch.nn.Module:
    """A PyTorch module with parameters of the names and shapes in a state_dict."""
    module = torch.nn.Module()
    for name, array in state.items():
        *path, kind = name.split(".")
        inner = module
        for part in path:
            if part not in dict(inner.named_children()):
                inner.add_module(part, torch.nn.Module())
            inner = inner.get_submodule(part)
        inner.register_parameter(kind, torch.nn.Parameter(torch.zeros(array.shape)))
    return module


@pytest.mark.parametrize("is_zip", [True, False])
def test_files_are_exchanged_with_pytorch_modules(tmp_path, is_zip):
    path = str(tmp_path / "file.pt")
    state = read_state_dict(str(FILES["res12"]))
    write_state_dict(path, state)
    module = module_of(state)
    module.load_state_dict(torch.load(path), strict=True)
    parallel = torch.nn.DataParallel(module).state_dict()
    torch.save(parallel, path, _use_new_zipfile_serialization=is_zip)
    read = read_state_dict(path)
    assert list(read) == [f"module.{name}" for name in state]
    for name, array in state.items():
        np.testing.assert_array_equal(array, read[f"module.{name}"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_become_float32(tmp_path, dtype):
    torch.save({"w": torch.tensor([0.5, -3], dtype=dtype)}, tmp_path / "file.pt")
    array = read_state_dict(str(tmp_path / "file.pt"))["w"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [0.5, -3])


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "old.pt").write_bytes(b"old")

    def fail(*_):
        raise RuntimeError("no space left")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RunError, match=r"old\.pt cannot be written \(no space left\)"):
        write_state_dict(str(tmp_path / "old.pt"), {"w": np.ones(2, np.float32)})
    assert files_of(tmp_path) == {str(tmp_path / "old.pt"): b"old"}


def test_without_pytorch_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    for function, arguments, field in (
        (read_state_dict, (str(FILES["res12"]),), "`--torch_checkpoint`"),
        (write_state_dict, (str(tmp_path / "x.pt"), {}), "`config.export.format`"),
    ):
        with pytest.raises(InvalidArgument, match=r"pip install -e '\.\[torch\]'") as refusal:
            function(*arguments)
        assert field in str(refusal.value)


def test_an_unsafe_release_of_pytorch_is_refused(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(InvalidArgument, match=r"PyTorch 2\.6 or later"):
        read_state_dict(str(FILES["res12"]))


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
    (folder / "picture").write_bytes((ROOT / "docs/digits.png").read_bytes())
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
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda name: import_file(tmp_path / name, workdir), bad)
        for (name, words), result in zip(bad.items(), results, strict=True):
            assert result.returncode == 2, f"{name}: {result.stderr}"
            (line,) = result.stderr.splitlines()
            assert "`--torch_checkpoint` must" in line, f"{name}: {line}"
            assert words in line, f"{name}: {line}"
            assert "weights_only" not in line, f"{name}: {line}"
            assert result.stdout == ""
    assert sorted(tmp_path.iterdir()) == before
    # The canary works: loading without `weights_only` creates it.
    torch.load(tmp_path / "code", weights_only=False)
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "must hold a state_dict"),
        ({1: torch.ones(2)}, "a name of <class 'int'>"),
        ({"w": torch.ones(2).to_sparse()}, "plain, dense tensors"),
        ({"w": torch.ones(2, device="meta")}, "plain, dense tensors"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(InvalidArgument, match=words):
        read_state_dict(str(tmp_path / "odd.pt"))


def test_a_network_that_no_run_can_have_is_refused(tmp_path):
    network = build_network("res6", (8, 8, 5), 1)
    published = from_state_dict(to_state_dict(network))
    with pytest.raises(
        InvalidArgument, match=r"--torch_checkpoint.*config\.data\.channels can be 1"
    ):
        import_weights(default_config(), str(tmp_path / "run"), published)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config=configs/cifar.py"], "`--torch_checkpoint` must name the authors'"),
        (["--config=configs/cifar.py", "--torch_checkpoint="], "Received: nothing"),
        (["--torch_checkpoint=x.pt", "--workdir=w"], "`--config` must name a recipe"),
        (
            ["--config=configs/cifar.py", "--mode=train", "--torch_checkpoint=x.pt"],
            "`--torch_checkpoint` must be left out unless --mode=import",
        ),
    ],
)
def test_wrong_command_lines_are_refused(arguments, words):
    result = call("--mode=import", *arguments)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert words in line
