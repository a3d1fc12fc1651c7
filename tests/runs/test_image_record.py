"""A run knows its images: the same ones moved or touched are taken, others are refused."""

import json
import logging
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.helpers.eager import uncompiled
from tests.helpers.image_data import random_uint8
from tests.helpers.small_runs import call, saved_config, small_config
from tf_mdsm.config.file import get_config
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.runs import image_record
from tf_mdsm.runs.build_data import build_run_images
from tf_mdsm.runs.build_session import open_session
from tf_mdsm.runs.evaluate import evaluate
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.image_record import (
    build_images_of_run,
    describe_images,
    load_record,
    require_same_images,
    save_record,
)
from tf_mdsm.runs.likelihood import likelihood
from tf_mdsm.runs.restore import restore
from tf_mdsm.runs.train import train


def write_folder(path, images) -> None:
    """Pictures in place of those that are there."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(path / f"{number:03}.png")


def config_of(data, **changes):
    """Four steps over the pictures of a folder, then as many as asked for."""
    fields = {"training__num_steps": 4, "training__checkpoint_every": 0, **changes}
    return small_config(
        data__source="folder",
        data__path=str(data),
        optimizer__schedule="constant",
        **fields,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run on pictures, `run`, and the pictures, `data`."""
    root = tmp_path_factory.mktemp("trained")
    write_folder(root / "data", random_uint8(40, 8, 8))
    train(config_of(root / "data"), str(root / "run"))
    return root


@pytest.fixture
def place(trained, tmp_path):
    """A copy of both."""
    return shutil.copytree(trained, tmp_path / "place", symlinks=True)


def start(place, data="data", step=4, **changes) -> None:
    """Starts the steps up to 6, and makes none."""
    config = config_of(place / data, training__num_steps=6, **changes)
    with open_session(config, str(place / "run")) as session:
        assert session.checkpoints.step == step


def test_the_run_says_which_images_it_is_trained_on(trained):
    record = load_record(RunFolder(str(trained / "run")))
    assert (record.training, record.validation, record.source.num_files) == (36, 4, 40)
    assert record.split == "folder, 0.1 held out"
    assert record.source.place == str(trained / "data")


def test_images_that_were_moved_or_touched_are_taken(place, caplog):
    """Without a word; the record then says where they are."""
    for picture in (place / "data").iterdir():
        os.utime(picture)
    (place / "data").rename(place / "moved")
    with caplog.at_level(logging.INFO):
        start(place, "moved")
    (line,) = (entry.getMessage() for entry in caplog.records if "tf_mdsm" in entry.name)
    assert "36 training images" in line
    assert load_record(RunFolder(str(place / "run"))).source.place == str(place / "moved")


IMAGES = random_uint8(40, 8, 8)
ANOTHER = random_uint8(1, 8, 8, seed=9)
OTHERS = {
    "one more": np.concatenate([IMAGES, ANOTHER]),
    "one less": IMAGES[:-1],
    "one other": np.concatenate([ANOTHER, IMAGES[1:]]),
    "another order": IMAGES[::-1],
    "all others": np.full_like(IMAGES, 255),
}
MODES = {
    "train": lambda config, run: train(config, run),
    "evaluate": evaluate,
    "restore": restore,
    "likelihood": likelihood,
}


@pytest.mark.parametrize("change", OTHERS)
def test_other_images_are_refused_with_the_numbers(place, change):
    """By every mode that reads images, before anything is written."""
    write_folder(place / "data", OTHERS[change])
    before = {path: path.stat().st_mtime_ns for path in (place / "run").rglob("*")}
    count = len(OTHERS[change])
    before_and_now = (
        r"`config\.data\.path` must hold the images that this run was trained on, "
        rf"36 \+ 4 images \(40 file.*Received: .*\({count} file"
    )
    for mode, function in MODES.items():
        config = get_config(str(place / "run"))
        config.data.path = str(place / "data")
        config.training.num_steps = 6
        config.evaluation.parts = "denoising"
        with pytest.raises(InvalidArgument, match=before_and_now) as caught:
            function(config, str(place / "run"))
        assert "config.data.allow_other_images" in str(caught.value), mode
    after = {path: path.stat().st_mtime_ns for path in (place / "run").rglob("*")}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert changed <= {"lock", "checkpoints", "run", "evaluation"}


def test_the_command_line_refuses_other_images_in_one_line(place):
    write_folder(place / "data", OTHERS["one more"])
    flags = (f"--workdir={place}/run", "--config.evaluation.parts=denoising")
    path = f"--config.data.path={place}/data"
    answer = call(*flags, "--mode=evaluate", path)
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    answer = call(*flags, "--mode=evaluate", path, "--config.data.allow_other_images")
    assert answer.returncode == 0, answer.stderr
    assert "other images than before: 37 + 4 images (41 file(s)" in answer.stderr
    # Evaluated only: the run is still one of the first images.
    assert load_record(RunFolder(str(place / "run"))).source.num_files == 40


def test_other_images_that_are_allowed_become_those_of_the_run(place, caplog):
    """With their own statistics; the permission does not outlive the call."""
    write_folder(place / "data", OTHERS["all others"])
    config = config_of(place / "data", training__num_steps=5, data__allow_other_images=True)
    with uncompiled():
        train(config, str(place / "run"))
    assert caplog.text.count("other images than before: 36 + 4 images") == 1
    assert saved_config(place / "run")["data"]["allow_other_images"] is False
    with np.load(place / "run" / "checkpoints" / "statistics.npz") as arrays:
        np.testing.assert_allclose(arrays["mean"], 1, atol=1e-6)
    caplog.clear()
    start(place, step=5)
    assert "images than before" not in caplog.text
    write_folder(place / "data", IMAGES)
    with pytest.raises(InvalidArgument, match="allow_other_images"):
        start(place, step=5)


def test_a_call_that_trains_nothing_leaves_the_images_of_the_run(place):
    """Other images become those of the run with the first checkpoint that has seen them."""
    files = [place / "run" / "checkpoints" / name for name in ("images.json", "statistics.npz")]
    before = [path.read_bytes() for path in files]
    write_folder(place / "data", OTHERS["all others"])
    train(config_of(place / "data", data__allow_other_images=True), str(place / "run"))
    assert [path.read_bytes() for path in files] == before
    write_folder(place / "data", IMAGES)
    start(place)


def test_before_the_first_step_images_may_change(tmp_path):
    """A run that was killed at its start has seen none of them."""
    for images in (IMAGES, OTHERS["all others"]):
        write_folder(tmp_path / "data", images)
        with open_session(config_of(tmp_path / "data"), str(tmp_path / "run")):
            pass
    with np.load(tmp_path / "run" / "checkpoints" / "statistics.npz") as arrays:
        np.testing.assert_allclose(arrays["mean"], 1, atol=1e-6)


def test_a_run_of_an_earlier_version_is_known_from_its_next_start_on(place, caplog):
    os.remove(place / "run" / "checkpoints" / "images.json")
    config = get_config(str(place / "run"))
    config.data.path = str(place / "data")
    with caplog.at_level(logging.INFO):
        build_images_of_run(config, RunFolder(str(place / "run")))
        assert "does not say which images it was trained on" in caplog.text
        start(place)
        assert "from now on known to be trained on 36 + 4 images (40 file(s)" in caplog.text
    write_folder(place / "data", OTHERS["one other"])
    with pytest.raises(InvalidArgument, match="hold the images that this run was trained on"):
        start(place)


def test_another_part_of_the_same_images_is_refused(place):
    config = get_config(str(place / "run"))
    config.data.update(path=str(place / "data"), held_out_fraction=0.5)
    with pytest.raises(InvalidArgument, match=r"0\.1 held out.*Received: 20 .*0.5 held out"):
        build_images_of_run(config, RunFolder(str(place / "run")))


def test_a_record_is_written_and_read(tmp_path):
    config, folder = small_config(), RunFolder(str(tmp_path / "run"))
    assert load_record(folder) is None
    images = build_run_images(config)
    record = describe_images(config, images, None)
    save_record(record, folder)
    assert load_record(folder) == record
    require_same_images(config, record, describe_images(config, images, record))
    content = json.loads((tmp_path / "run" / "checkpoints" / "images.json").read_text())
    for damaged in ("", "[]", "{}", json.dumps({**content, "source": None}), "nothing"):
        (tmp_path / "run" / "checkpoints" / "images.json").write_text(damaged)
        with pytest.raises(RunError, match=r"images\.json cannot be read"):
            load_record(folder)


def test_files_are_read_only_if_they_look_new(place, monkeypatch):
    """The record holds sizes and times: the next start compares these."""
    folder, sources = RunFolder(str(place / "run")), []
    config = get_config(str(place / "run"))
    config.data.path = str(place / "data")
    known = describe_images(config, build_run_images(config), load_record(folder))
    save_record(known, folder)

    def fingerprint_source(*_, known, **__):
        sources.append(known)
        return known

    monkeypatch.setattr(image_record, "fingerprint_source", fingerprint_source)
    build_images_of_run(config, folder)
    assert sources == [known.source]
