"""One table of odd files through every entrance: all read the same pixels, or all refuse."""

import ast
import os
import shutil
import types

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from tests.helpers.odd_images import EPS, WHITE, OddFile, odd_files
from tests.helpers.small_runs import ROOT, small_config
from tf_mdsm.datasets.loading import load_images
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.restoration.tasks import create_task
from tf_mdsm.runs import restore
from tf_mdsm.runs.build_method import build_method
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.serving import __main__ as client_program
from tf_mdsm.serving.request_checks import checked_images, checked_mask
from tf_mdsm.system.pictures import PICTURE_ENDINGS

SHAPE = (8, 8, 1)
FILES = odd_files()
# Pillow tells of damaged fields.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def train(path):
    """As `data.source=folder`, which needs two images at least, or as `npz`."""
    if path.lower().endswith((".npy", ".npz")):
        source, arguments = "npz", {"path": path}
    else:
        folder = os.path.join(os.path.dirname(path), "folder")
        os.makedirs(folder)
        for word in ("first", "second"):
            shutil.copy(path, os.path.join(folder, f"{word} {os.path.basename(path)}"))
        source, arguments = "folder", {"path": folder}
    images = np.concatenate(load_images(source, image_size=8, channels=1, **arguments))
    return images / 255 if images.dtype == np.uint8 else images


def _read_problems(config, task):
    """The run's folder is needed for images of the run only."""
    return restore._read_problems(config, RunFolder("nowhere"), [task], SHAPE)


def restore_images(path):
    config = small_config(restoration__images=path)
    (problem,) = _read_problems(config, create_task("inpaint_half", SHAPE))
    return problem.originals


def restore_measured(path):
    config = small_config(restoration__images=path, restoration__measured=True)
    (problem,) = _read_problems(config, create_task("denoise", SHAPE))
    return problem.values


def start(path):
    changes = {"sampling__start": "images", "sampling__start_images": path}
    return build_method(small_config(**changes), None).start.images


class RecordingClient(types.SimpleNamespace):
    """A client that keeps what it would send."""

    image_shape = sample_shape = SHAPE

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def energy(self, images):
        self.images = checked_images(images, SHAPE)
        return []

    def inpaint(self, images, mask, seeds):
        self.mask = checked_mask(mask, images)
        return images


def call_client(monkeypatch, arguments):
    """Runs a command of the client; refusals are raised, as they were before they were printed."""
    client = RecordingClient()

    def refuse(error, status):
        raise error

    monkeypatch.setattr(client_program, "_client", lambda options: client)
    monkeypatch.setattr(client_program, "_fail", refuse)
    assert client_program.main(arguments) == 0
    return client


def restore_mask(path):
    settings = small_config(restoration__mask=path, restoration__task="inpaint_mask").restoration
    (task,) = restore._create_tasks(settings, SHAPE, has_denoiser=True)
    return task.mask[None]


def entrances_of_images(monkeypatch):
    def client(path):
        return call_client(monkeypatch, ["energy", path]).images

    return {
        "train": train,
        "restore": restore_images,
        "measured": restore_measured,
        "start": start,
        "client": client,
    }


def entrances_of_masks(monkeypatch, folder):
    images, output = folder / "images for the mask.npy", folder / "filled.png"
    np.save(images, np.zeros((2, *SHAPE)))

    def client(path):
        words = ["inpaint", str(images), f"--mask={path}", f"--output={output}"]
        return call_client(monkeypatch, words).mask

    return {"restore": restore_mask, "client": client}


def answer(entrance, path, tolerance):
    """ "right", the sentence of a refusal, or what is wrong."""
    try:
        images = entrance(path)
    except InvalidArgument as error:
        return str(error)
    distance = np.abs(images[..., 0] - WHITE).max()
    return "right" if distance <= tolerance else f"wrong by {distance:.3g}"


def answers(file, folder, monkeypatch):
    """What each entrance makes of a file, by kind and name of the entrance."""
    found = {}
    for name, entrance in entrances_of_images(monkeypatch).items():
        found["image", name] = answer(entrance, file.write(folder), file.tolerance)
    for name, entrance in entrances_of_masks(monkeypatch, folder).items():
        found["mask", name] = answer(entrance, file.write(folder, as_mask=True), 0)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_all_entrances_read_a_file_or_all_refuse_it(file, tmp_path, monkeypatch):
    for (kind, name), found in answers(file, tmp_path, monkeypatch).items():
        is_right = file.is_image if kind == "image" else file.is_mask
        assert found == "right" if is_right else found.startswith("`"), f"{kind}, {name}: {found}"


def test_the_table_is_long():
    assert len({file.name for file in FILES}) == len(FILES) >= 100


@pytest.fixture
def ghostscript(tmp_path, monkeypatch):
    """The path of a file that a stand-in for Ghostscript leaves when it is started."""
    (tmp_path / "bin").mkdir()
    program, trace = tmp_path / "bin" / "gs", tmp_path / "started"
    program.write_text(f"#!/bin/sh\necho started >> {trace}\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    return trace


def test_pillow_by_itself_starts_ghostscript(ghostscript, tmp_path):
    """Else the next test would ask nothing."""
    (tmp_path / "a.png").write_bytes(EPS)
    with pytest.raises(OSError), Image.open(tmp_path / "a.png") as image:  # noqa: PT011
        image.load()
    assert ghostscript.exists()


@pytest.mark.parametrize("ending", PICTURE_ENDINGS)
def test_a_picture_starts_no_program(ending, ghostscript, tmp_path, monkeypatch):
    """A page in PostScript under every name of a picture, at every entrance."""
    file = OddFile(f"photo{ending}", EPS, is_image=False, is_mask=False)
    for entrance, found in answers(file, tmp_path, monkeypatch).items():
        assert found.startswith("`"), entrance
    assert not ghostscript.exists()


def test_every_picture_is_opened_with_a_list_of_formats():
    """Also those that the package has written itself."""
    for path in (ROOT / "tf_mdsm").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                assert "formats" in {keyword.arg for keyword in node.keywords}, path
