"""Every command of the program and of its client in the documents, with small settings."""

import pathlib
import re
import shutil

import numpy as np
import pytest

from tests.helpers import golden
from tests.helpers.documented_commands import documented_commands
from tests.helpers.image_data import random_uint8
from tests.helpers.photo_runs import make_photo_run, save
from tests.helpers.small_runs import ROOT, SMALL, call
from tf_mdsm.serving.__main__ import main as client

PROGRAM = ("python -m tf_mdsm.main ", "tf-mdsm ")
CLIENT = "python -m tf_mdsm.serving "

# Added to commands that train, where they do not say otherwise, and after the commands' own.
SHORT_TRAINING = {
    **{name: value for name, value in SMALL.items() if not name.startswith("data.")},
    "network.head": "quadratic",
    "optimizer.warmup_steps": 0,
    "training.denoiser_steps": 0,
    "training.guide_step": 0,
    "training.num_steps": 4,
    "training.preview_images": 1,
}
SMALL_UNET = {
    "network.name": "unet",
    "network.head": "distance",
    "network.channels": 2,
    "network.unet.num_resolutions": 2,
    "network.unet.patch_size": 1,
}
# Put in place of the commands' own.
FEW = {
    "export.batch_sizes": "1",
    "evaluation.num_samples": 16,
    "evaluation.num_images": 10,
    "evaluation.features": "none",
    "evaluation.parts": "memorisation,energies,outliers,denoising",
    "likelihood.num_levels": 4,
    "likelihood.num_images": 4,
    "restoration.num_images": 2,
    "restoration.num_solutions": 1,
    "restoration.max_steps": 2,
    "sampling.num_samples": 6,
}


def commands_of(*programs: str) -> list[str]:
    """Their command lines in the documents, each once."""
    texts = [command.text for command in documented_commands()]
    return sorted({text for text in texts if text.startswith(programs)})


@pytest.fixture
def folder(tmp_path, monkeypatch) -> pathlib.Path:
    """The current folder, with recipes and the files for which capital letters stand."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for name in ("IMAGES", "FOLDER"):
        for number in range(20):
            save(tmp_path / name / f"{number}.png", random_uint8(8, 8, seed=number))
    for name in ("DIR", "DIR_OR_FILE"):
        for number in range(20):
            save(tmp_path / name / f"{number}.png", random_uint8(70, 80, 3, seed=number))
    mask = np.zeros((8, 8), np.uint8)
    mask[:4] = 255
    save(tmp_path / "mask.png", mask)
    save(tmp_path / "image.png", random_uint8(8, 8))
    shutil.copy(golden.FOLDER / "res12_quadratic_c4.pt", tmp_path / "FILE")
    return tmp_path


def short(text: str) -> list[str]:
    """The arguments of a command of the program, with small settings."""
    arguments = re.sub(r"^(python -m tf_mdsm\.main|tf-mdsm)", "", text).split()
    given = set(re.findall(r"--config\.([a-z_.0-9]+)", text))
    settings = dict(FEW)
    if "--config=" in text:
        has_patches = "configs/photos.py" in text or "data.patches" in given
        settings = SHORT_TRAINING | (SMALL_UNET if has_patches else {})
        if "--mode=import" in text:
            settings = {"data.source": "synthetic", "data.name": "blobs"}
        settings = {name: value for name, value in settings.items() if name not in given}
    elif "--config.restoration.measured" in text:
        settings.pop("restoration.num_images")
    return [*arguments, *(f"--config.{name}={value}" for name, value in settings.items())]


@pytest.mark.parametrize("text", commands_of(*PROGRAM))
def test_a_command_of_the_program(text, folder, small_run):
    if "--help" in text:
        assert call("--help").returncode == 0
        return
    if "--mode=import" in text:
        pytest.importorskip("torch")
    recipe, workdir = (re.search(pattern, text) for pattern in (r"configs/(\w+)", r"workdir=(\S+)"))
    run = folder / (workdir[1] if workdir else f"runs/{recipe[1]}")
    if recipe is None:
        channels = {"photos": 1, "photos_color": 3}.get(run.name)
        made = make_photo_run(folder / "IMAGES", channels) if channels else small_run
        shutil.copytree(made, run)
    earlier_result = re.search(r"restoration\.images=(runs/\S+\.png)", text)
    if earlier_result:
        save(folder / earlier_result[1], random_uint8(8, 8))
    answer = call(*short(text))
    assert answer.returncode == 0, answer.stderr
    written = [folder / line for line in answer.stdout.splitlines()]
    assert all(path.exists() for path in written)
    assert written or (run / "checkpoints" / "checkpoint").exists()


@pytest.mark.parametrize("text", commands_of(CLIENT))
def test_a_command_of_the_client(text, folder, model_server):
    text = text.replace("grpc://localhost:8500", model_server.grpc)
    text = text.replace("http://localhost:8501", model_server.rest)
    text = text.replace("--version=2", "--version=1")  # The test's server has one version.
    assert client(text.removeprefix(CLIENT).split()) == 0
    output = re.search(r"--output=(\S+)", text)
    assert output is None or (folder / output[1]).exists()
