"""The authors' files of weights, from the command line to energies, samples and back."""

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
from tf_mdsm.networks import pytorch_layout as layout
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.pytorch_weights import read_published
from tf_mdsm.runs import build_model as build
from tf_mdsm.runs import import_weights as import_checkpoint
from tf_mdsm.runs.export import export
from tf_mdsm.system.torch_files import read_state_dict, write_state_dict
from tf_mdsm.training.checkpoints import restore_weights

torch = pytest.importorskip("torch")

# Each network of which there is a file: today's format, and the old one from two GPUs.
FILES = {
    "res12": ROOT / "tests/golden/res12_quadratic_c4.pt",
    "res18": ROOT / "tests/golden/res18_quadratic_c4_dataparallel_legacy.pt",
}
# What makes runs short: settings of the run, as the recipe of the import says them.
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
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Imported runs, by network, and what the command said."""
    workdirs = {name: tmp_path_factory.mktemp(name) / "new" / "run" for name in FILES}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda name: import_file(FILES[name], workdirs[name]), FILES)
        return dict(zip(FILES, zip(workdirs.values(), results, strict=True), strict=True))


def restored(workdir):
    """The model of a run, with the weights of its newest checkpoint, and their step."""
    model = build.build_model(get_config(str(workdir)))
    return model, restore_weights(str(workdir / "checkpoints"), model)


@pytest.mark.parametrize(("name", "colours"), [("res12", 1), ("res18", 3)])
def test_a_run_is_made_of_the_file(imported, name, colours):
    workdir, result = imported[name]
    assert result.returncode == 0, result.stderr
    (line,) = result.stderr.splitlines()
    assert f"{name}, 4 channels, quadratic head" in line
    assert f"images of 32 x 32 x {colours}" in line
    assert {path.name for path in workdir.iterdir()} == {"config.json", "checkpoints"}
    config = saved_config(workdir)
    network = {key: config["network"][key] for key in ("name", "channels", "head")}
    assert network == {"name": name, "channels": 4, "head": "quadratic"}
    assert (config["data"]["image_size"], config["data"]["channels"]) == (32, colours)
    assert config["optimizer"]["ema_momentum"] == 0
    assert config["noise"] == default_config().noise.to_dict()


@pytest.mark.parametrize("name", FILES)
def test_energies_are_the_authors(imported, name):
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
def test_an_export_answers_with_the_authors_energies(imported, name):
    """Import, export, reload, from one end to the other."""
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
def test_the_run_gives_the_file_back(imported, name):
    config = get_config(str(imported[name][0]))
    config.export.format = "torch"
    (path,) = export(config, str(imported[name][0]))
    assert path.endswith("export/torch/step_00000000.pt")
    back = torch.load(path, weights_only=True)
    theirs = {
        key.removeprefix("module."): tensor
        for key, tensor in torch.load(FILES[name], weights_only=True).items()
    }
    assert list(back) == list(theirs)
    for key, tensor in theirs.items():
        assert back[key].dtype is tensor.dtype
        assert torch.equal(back[key], tensor), key


def test_sampling_from_an_imported_run(imported):
    workdir, _ = imported["res18"]
    result = call("--mode=sample", f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    with np.load(workdir / "samples" / "annealed_langevin_2.npz") as arrays:
        assert arrays["images"].shape == (2, 32, 32, 3)


def test_training_goes_on_from_the_file(imported):
    workdir, _ = imported["res12"]
    before, _ = restored(workdir)
    result = call(f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    assert "from step 0 to 2" in result.stderr
    after, step = restored(workdir)
    assert step == 2
    pairs = zip(before.network.trainable_variables, after.network.trainable_variables, strict=True)
    moved = [np.abs(old.numpy() - new.numpy()).max() for old, new in pairs]
    # Adam takes two steps of 5e-5 at most; fresh weights would be up to 0.6 away.
    assert min(moved) > 0
    assert max(moved) < 1.1e-4


def test_nothing_is_written_over(imported, tmp_path):
    workdir, _ = imported["res18"]
    before = files_of(workdir)
    result = import_file(FILES["res12"], workdir)
    assert result.returncode == 2
    assert "`--workdir` must hold no run yet, and holds config.json" in result.stderr
    assert files_of(workdir) == before
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InvalidArgument, match="holds checkpoints"):
        import_checkpoint.import_checkpoint(default_config(), str(tmp_path), None)


@pytest.mark.parametrize("at", ["save_config", "TrainingCheckpoints"])
def test_a_failure_leaves_nothing(at, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "no space left")

    published = read_published(read_state_dict(str(FILES["res12"])))
    (tmp_path / "mine.txt").write_text("stays")
    monkeypatch.setattr(import_checkpoint, at, fail)
    with pytest.raises(InvalidArgument, match="be writable"):
        import_checkpoint.import_checkpoint(default_config(), str(tmp_path), published)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    monkeypatch.undo()
    import_checkpoint.import_checkpoint(default_config(), str(tmp_path), published)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt", "config.json", "checkpoints"}


def module_of(state: dict) -> torch.nn.Module:
    """A PyTorch module whose parameters have these names and shapes."""
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
def test_modules_of_pytorch_load_what_is_written_and_write_what_is_read(tmp_path, is_zip):
    path = str(tmp_path / "file.pt")
    state = read_state_dict(str(FILES["res12"]))
    write_state_dict(path, state)
    module = module_of(state)
    module.load_state_dict(torch.load(path), strict=True)
    parallel = torch.nn.DataParallel(module).state_dict()
    torch.save(parallel, path, _use_new_zipfile_serialization=is_zip)
    back = read_state_dict(path)
    assert list(back) == [f"module.{name}" for name in state]
    for name, array in state.items():
        np.testing.assert_array_equal(array, back[f"module.{name}"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_become_float32(tmp_path, dtype):
    torch.save({"w": torch.tensor([0.5, -3], dtype=dtype)}, tmp_path / "file.pt")
    array = read_state_dict(str(tmp_path / "file.pt"))["w"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [0.5, -3])


def test_a_file_is_whole_or_not_there(tmp_path, monkeypatch):
    (tmp_path / "old.pt").write_bytes(b"old")

    def fail(*_):
        raise RuntimeError("no space left")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RunError, match=r"old\.pt cannot be written \(no space left\)"):
        write_state_dict(str(tmp_path / "old.pt"), {"w": np.ones(2, np.float32)})
    assert files_of(tmp_path) == {str(tmp_path / "old.pt"): b"old"}


def test_without_pytorch_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    for function, arguments, field in (
        (read_state_dict, (str(FILES["res12"]),), "`--torch_checkpoint`"),
        (write_state_dict, (str(tmp_path / "x.pt"), {}), "`config.export.format`"),
    ):
        with pytest.raises(InvalidArgument, match=r"pip install -e '\.\[torch\]'") as refusal:
            function(*arguments)
        assert field in str(refusal.value)


def test_a_pytorch_that_files_can_fool_is_not_used(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(InvalidArgument, match=r"PyTorch 2\.6 or later"):
        read_state_dict(str(FILES["res12"]))


class Touch:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def bad_files(folder) -> dict[str, str]:
    """Files that must be refused, by path, and what is to be said of each."""
    state = torch.load(FILES["res12"], weights_only=True)
    code = {**state, "lq.bias": Touch(str(folder / "canary"))}
    renamed = {name.replace("lq.weight", "lq.wait"): array for name, array in state.items()}
    nan = torch.full_like(state["ln1.bias"], torch.nan)
    contents = {
        "list": ([1, 2], "hold a state_dict"),
        "nested": ({"state_dict": state, "step": 3}, "names with tensors"),
        "integers": ({**state, "ln1.bias": torch.tensor([3])}, "floating-point"),
        "nan": ({**state, "ln1.bias": nan}, "finite numbers as ln1.bias"),
        "vast": ({**state, "ln1.bias": torch.ones(1).expand(10**15)}, "plain, dense tensors"),
        "stranger": (torch.nn.Linear(2, 2).state_dict(), "2 unknown ('bias', 'weight')"),
        "missing": (renamed, "1 missing ('lq.weight')"),
        "shapes": ({**state, "rb1.conv_1.conv.weight": torch.ones(4)}, "(4, 4, 3, 3)"),
        "module": (torch.nn.Linear(2, 2), "no code in it is run"),
        "code": (code, "no code in it is run"),
    }
    found = {name: words for name, (_, words) in contents.items()}
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
    whole = ("code_legacy", "code_bare", "truncated_res12", "truncated_res18")
    found.update(dict.fromkeys((*whole, "empty", "text", "picture"), "a whole PyTorch file"))
    return {**found, "folder": "name an existing file", "absent": "name an existing file"}


def test_bad_files_are_refused_in_one_line(tmp_path):
    """Each through the command line; nothing in them runs, nothing is written."""
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
    # The canary is one: loading without care makes it.
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
def test_odd_contents_are_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(InvalidArgument, match=words):
        read_state_dict(str(tmp_path / "odd.pt"))


def test_what_no_run_can_have_is_refused(tmp_path):
    network = build_network("res6", (8, 8, 5), 1)
    published = read_published(layout.state_dict(network))
    with pytest.raises(
        InvalidArgument, match=r"--torch_checkpoint.*config\.data\.channels can be 1"
    ):
        import_checkpoint.import_checkpoint(default_config(), str(tmp_path / "run"), published)
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
def test_wrong_calls(arguments, words):
    result = call("--mode=import", *arguments)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert words in line
