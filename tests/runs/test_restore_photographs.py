"""Photographs of any size, restored by the command line: files, report, refusals, resuming."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.helpers.image_data import random_uint8
from tests.helpers.photo_runs import make_photo_run, pixels_of, restore_call, save
from tf_mdsm.restoration.photographs import PhotographRestorer, Restored
from tf_mdsm.runs import restore_photographs as module


@pytest.fixture(scope="module")
def gray_run(tmp_path_factory):
    return make_photo_run(tmp_path_factory.mktemp("gray"), 1)


@pytest.fixture(scope="module")
def color_run(tmp_path_factory):
    return make_photo_run(tmp_path_factory.mktemp("color"), 3)


@pytest.fixture
def without_network(monkeypatch):
    """The restored photograph is the photograph: what is asked is what happens to its file."""

    def same(self, pixels):
        return Restored(pixels, noise_level=0.25 if self.task == "denoise" else None)

    monkeypatch.setattr(PhotographRestorer, "from_measured", same)


@pytest.fixture
def workdir(color_run, tmp_path):
    return shutil.copytree(color_run, tmp_path / "run")


def report(workdir, name="denoise") -> dict:
    return json.loads((workdir / "restorations" / f"{name}.json").read_text())


def test_each_photograph_becomes_a_file_of_its_name(workdir, tmp_path, without_network):
    photos = tmp_path / "photos"
    first = save(photos / "first.png", random_uint8(9, 14, 3))
    save(photos / "second.jpg", random_uint8(5, 6))
    third = save(photos / "third.tif", random_uint8(7, 4).astype(np.uint16) * 200)
    (photos / "sub").mkdir()
    save(photos / "sub" / "fourth.webp", random_uint8(8, 8, 3), lossless=True)
    (photos / "notes.txt").write_text("no picture")
    answer = restore_call(workdir, photos)
    assert answer.returncode == 0, answer.stderr
    folder = workdir / "restorations" / "denoise"
    assert answer.stdout.split() == [f"{folder}/", f"{folder}.json"]
    assert "files left out by their endings: 1 (.txt: 1)" in answer.stderr
    assert "1/4 first.png: 9 x 14, noise level 0.25, " in answer.stderr
    np.testing.assert_array_equal(pixels_of(folder / "first.png"), first)
    np.testing.assert_array_equal(pixels_of(folder / "third.png"), third)
    rows = report(workdir)["files"]
    assert [row["result"] for row in rows] == [
        "first.png",
        "second.png",
        "sub/fourth.png",
        "third.png",
    ]
    assert all((folder / row["result"]).exists() for row in rows)
    expected = {"file": "third.tif", "size": [7, 4], "restored_size": [7, 4], "bits": 16}
    assert expected.items() <= rows[3].items()
    assert {"channels": 1, "noise_level": 0.25, "notes": []}.items() <= rows[3].items()
    assert rows[3]["seconds"] >= 0
    summary = report(workdir)
    assert (summary["restored"], summary["refused"]) == (4, 0)
    assert (summary["sampler"], summary["max_gradient_evaluations"]) == ("half steps", 9)


def test_the_network_denoises_gray_and_color(gray_run, color_run, tmp_path):
    """A single file; gray stays gray and color color, whatever the model."""
    shutil.copytree(gray_run, tmp_path / "gray")
    shutil.copytree(color_run, tmp_path / "color")
    gray = save(tmp_path / "photos" / "gray.png", random_uint8(9, 14))
    color = save(tmp_path / "photos" / "color.png", random_uint8(9, 14, 3))
    for name in ("gray", "color"):
        answer = restore_call(tmp_path / name, tmp_path / "photos")
        assert answer.returncode == 0, answer.stderr
        results = tmp_path / name / "restorations" / "denoise"
        assert pixels_of(results / "gray.png").shape == gray.shape
        assert pixels_of(results / "color.png").shape == color.shape
        assert (pixels_of(results / "color.png") != color).any()


def test_originals_are_measured_first(workdir, tmp_path):
    save(tmp_path / "photos" / "a.png", random_uint8(13, 10, 3))
    flags = "restoration.noise=0.1", "restoration.seed=3"
    answer = restore_call(workdir, tmp_path / "photos" / "a.png", *flags, measured=False)
    assert answer.returncode == 0, answer.stderr
    (row,) = report(workdir)["files"]
    noise_psnr = row["measured_psnr"]
    assert 19 < noise_psnr < 22
    assert row["psnr"] > 0
    assert -1 <= row["ssim"] <= 1
    assert f"PSNR {row['psnr']:.2f} dB, before {noise_psnr:.2f}" in answer.stderr
    summary = report(workdir)
    np.testing.assert_allclose(
        [summary["psnr"], summary["measured_psnr"]], [row["psnr"], noise_psnr]
    )


def test_known_pixels_are_in_the_file_bit_for_bit(workdir, tmp_path):
    photos, mask = tmp_path / "photos", np.full((11, 7), 255, np.uint8)
    mask[2:6, 1:5] = 0
    save(tmp_path / "mask.png", mask)
    color = save(photos / "color.png", random_uint8(11, 7, 3))
    deep = save(photos / "deep.png", random_uint8(11, 7).astype(np.uint16) * 251)
    save(photos / "small.png", random_uint8(7, 7))
    flag = f"restoration.mask={tmp_path / 'mask.png'}"
    answer = restore_call(workdir, photos, flag, task="inpaint_mask")
    assert answer.returncode == 1
    for name, pixels in {"color": color, "deep": deep}.items():
        result = pixels_of(workdir / "restorations" / "inpaint_mask" / f"{name}.png")
        assert result.dtype == pixels.dtype
        np.testing.assert_array_equal(result[mask == 255], pixels[mask == 255])
        assert (result != pixels)[mask == 0].any()
    assert (
        "3/3 small.png: not restored: `config.restoration.mask` must be of the photograph's size, "
        "7 x 7. Received: 11 x 7"
    ) in answer.stderr
    assert answer.stderr.splitlines()[-1].startswith(
        "tf_mdsm: 1 of 3 photographs were not restored; "
    )


def test_small_pictures_are_enlarged_with_their_transparency(workdir, tmp_path):
    pixels = random_uint8(4, 6, 4)
    pixels[..., 3] = np.repeat([[0, 0, 0, 255, 255, 255]], 4, axis=0)
    save(tmp_path / "photos" / "a.png", pixels)
    answer = restore_call(workdir, tmp_path / "photos", task="super_resolution_2")
    assert answer.returncode == 0, answer.stderr
    assert "1/1 a.png: 4 x 6, now 8 x 12, " in answer.stderr
    result = pixels_of(workdir / "restorations" / "super_resolution_2" / "a.png")
    assert result.shape == (8, 12, 4)
    assert (result[:, :4, 3] < 40).all()
    assert (result[:, 8:, 3] > 215).all()
    assert report(workdir, "super_resolution_2")["files"][0]["restored_size"] == [8, 12]


def test_originals_of_odd_sides_are_cut_with_their_transparency(workdir, tmp_path):
    """To 8 x 12: nothing else happens to the opacity."""
    pixels = random_uint8(9, 13, 4)
    save(tmp_path / "photos" / "a.png", pixels)
    answer = restore_call(workdir, tmp_path / "photos", task="super_resolution_2", measured=False)
    assert answer.returncode == 0, answer.stderr
    assert "1/1 a.png: 9 x 13, now 8 x 12, PSNR " in answer.stderr
    result = pixels_of(workdir / "restorations" / "super_resolution_2" / "a.png")
    assert result.shape == (8, 12, 4)
    np.testing.assert_array_equal(result[..., 3], pixels[:8, :12, 3])
    (row,) = report(workdir, "super_resolution_2")["files"]
    assert (row["size"], row["restored_size"]) == ([9, 13], [8, 12])


def test_profile_and_orientation(workdir, tmp_path, without_network):
    """The result is upright, says nothing of turns, and has the profile."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = save(
        tmp_path / "photos" / "a.tif", random_uint8(5, 9, 3), exif=exif, icc_profile=profile
    )
    assert restore_call(workdir, tmp_path / "photos").returncode == 0
    with Image.open(workdir / "restorations" / "denoise" / "a.png") as result:
        np.testing.assert_array_equal(np.asarray(result), np.rot90(stored, -1))
        assert result.info["icc_profile"] == profile
        assert 0x0112 not in result.getexif()


def test_bad_files_do_not_stop_the_others(workdir, tmp_path, without_network):
    photos = tmp_path / "photos"
    save(photos / "a.png", random_uint8(8, 8))
    (photos / "b.png").write_text("text")
    save(photos / "c.jpg", random_uint8(40, 40))
    (photos / "c.jpg").write_bytes((photos / "c.jpg").read_bytes()[:300])
    save(photos / "d.png", random_uint8(8, 8))
    answer = restore_call(workdir, photos)
    assert answer.returncode == 1
    stem = workdir / "restorations" / "denoise"
    assert answer.stderr.splitlines()[-1] == (
        f"tf_mdsm: 2 of 4 photographs were not restored; {stem}.json says why"
    )
    rows = report(workdir)["files"]
    assert ["refused" in row for row in rows] == [False, True, True, False]
    assert "b.png (cannot identify image file" in rows[1]["refused"]
    assert "c.jpg (" in rows[2]["refused"]
    assert sorted(os.listdir(stem)) == ["a.png", "d.png"]


def test_numbers_that_are_not_finite_are_refused(workdir, tmp_path, monkeypatch):
    save(tmp_path / "photos" / "a.png", random_uint8(8, 8))
    nan = Restored(np.full((8, 8, 1), np.nan, np.float32))
    monkeypatch.setattr(PhotographRestorer, "from_measured", lambda *_: nan)
    assert restore_call(workdir, tmp_path / "photos").returncode == 1
    (row,) = report(workdir)["files"]
    assert row == {
        "file": "a.png",
        "path": str(tmp_path / "photos" / "a.png"),
        "refused": "the restored pixels are not finite numbers",
    }


class Killed(BaseException):
    """Ends a call at once, as a kill does."""


def test_what_is_done_is_not_done_again(workdir, tmp_path, without_network, monkeypatch):
    photos = tmp_path / "photos"
    for name in "abc":
        save(photos / f"{name}.png", random_uint8(8, 8, seed=ord(name)))
    read, original = [], module.read_photograph

    def read_photograph(path):
        read.append(os.path.basename(path))
        if read == ["a.png", "b.png"]:
            raise Killed
        return original(path)

    monkeypatch.setattr(module, "read_photograph", read_photograph)
    with pytest.raises(Killed):
        restore_call(workdir, photos)
    assert [row["file"] for row in report(workdir)["files"]] == ["a.png"]
    assert restore_call(workdir, photos).returncode == 0
    assert read == ["a.png", "b.png", "b.png", "c.png"]
    assert [row["file"] for row in report(workdir)["files"]] == ["a.png", "b.png", "c.png"]
    # A damaged result is no result.
    (workdir / "restorations" / "denoise" / "c.png").write_bytes(b"")
    assert restore_call(workdir, photos).returncode == 0


def test_no_result_is_overwritten_by_another(workdir, tmp_path, without_network):
    """Neither by other settings, nor by another photograph of the same name."""
    first = save(tmp_path / "one" / "a.png", random_uint8(8, 8, seed=1))
    second = save(tmp_path / "two" / "a.png", random_uint8(8, 8, seed=2))
    for photos in ("one", "two", "one", "two"):
        assert restore_call(workdir, tmp_path / photos).returncode == 0
    folder = workdir / "restorations" / "denoise"
    (other,) = [name for name in os.listdir(folder) if name != "a.png"]
    assert other.startswith("a_")
    np.testing.assert_array_equal(pixels_of(folder / "a.png"), first)
    np.testing.assert_array_equal(pixels_of(folder / other), second)
    answer = restore_call(workdir, tmp_path / "one", "restoration.seed=1")
    assert "denoise holds results of other settings or weights: see" in answer.stderr
    assert len([name for name in os.listdir(folder.parent) if name.endswith(".json")]) == 2


def rows_of(workdir) -> list[tuple[str, str]]:
    """File and result of each row of the report."""
    return [(row["file"], row.get("result", "refused")) for row in report(workdir)["files"]]


def test_the_report_keeps_the_rows_of_other_folders(
    workdir, tmp_path, without_network, monkeypatch
):
    """Also if the call for another folder is killed."""
    for name, folder in {"a.png": "one", "b.png": "one", "c.png": "two"}.items():
        save(tmp_path / folder / name, random_uint8(8, 8, seed=ord(name[0])))
    save(tmp_path / "two" / "a.png", random_uint8(8, 8, seed=5))
    assert restore_call(workdir, tmp_path / "one").returncode == 0
    first = report(workdir)["files"]
    original = module.read_photograph

    def kill(path):
        assert report(workdir)["files"] == first
        raise Killed

    monkeypatch.setattr(module, "read_photograph", kill)
    with pytest.raises(Killed):
        restore_call(workdir, tmp_path / "two")
    assert report(workdir)["files"] == first
    monkeypatch.setattr(module, "read_photograph", original)
    assert restore_call(workdir, tmp_path / "two").returncode == 0
    written = report(workdir)
    assert written["files"][:2] == first
    results = [row["result"] for row in written["files"]]
    assert results[:2] == ["a.png", "b.png"]
    assert results[2].startswith("a_")
    assert results[3:] == ["c.png"]
    assert (written["restored"], written["refused"]) == (4, 0)
    # The same results again have the same rows. A refusal of an earlier version, which does not say
    # where its file is, has none, nor has a result that is removed.
    old = written["files"] + [{"file": "old.png", "refused": "damaged"}]
    path = workdir / "restorations" / "denoise.json"
    path.write_text(json.dumps(written | {"files": old}))
    assert restore_call(workdir, tmp_path / "one").returncode == 0
    assert report(workdir)["files"] == written["files"]
    (workdir / "restorations" / "denoise" / "b.png").unlink()
    assert restore_call(workdir, tmp_path / "two").returncode == 0
    assert [row["result"] for row in report(workdir)["files"]] == ["a.png", *results[2:]]


def test_a_refusal_stays_until_its_file_is_restored_or_gone(workdir, tmp_path, without_network):
    photos = tmp_path / "photos"
    save(photos / "a.png", random_uint8(8, 8, seed=1))
    for name in ("b.png", "c.png"):
        (photos / name).write_text("text")
    save(tmp_path / "others" / "b.png", random_uint8(8, 8, seed=2))
    answer = restore_call(workdir, photos)
    assert answer.stderr.splitlines()[-1].startswith("tf_mdsm: 2 of 3 photographs were not")
    refused = [("b.png", "refused"), ("c.png", "refused")]
    assert rows_of(workdir) == [("a.png", "a.png"), *refused]
    # Those of this call alone decide about its exit status.
    assert restore_call(workdir, tmp_path / "others").returncode == 0
    assert rows_of(workdir) == [("a.png", "a.png"), *refused, ("b.png", "b.png")]
    assert (report(workdir)["restored"], report(workdir)["refused"]) == (2, 2)
    save(photos / "b.png", random_uint8(8, 8, seed=3))
    (photos / "c.png").unlink()
    assert restore_call(workdir, photos).returncode == 0
    (*others, (file, result)) = rows_of(workdir)
    assert others == [("a.png", "a.png"), ("b.png", "b.png")]
    assert file == "b.png"
    assert result.startswith("b_")


def test_a_damaged_report_does_not_stop_a_call(workdir, tmp_path, without_network):
    """It is not known what the results are of, so those of this call are in another folder."""
    save(tmp_path / "photos" / "a.png", random_uint8(8, 8))
    assert restore_call(workdir, tmp_path / "photos").returncode == 0
    stem = workdir / "restorations" / "denoise"
    key = report(workdir)["key"]
    stem.with_suffix(".json").write_text("{")
    for _ in range(2):
        answer = restore_call(workdir, tmp_path / "photos")
        assert answer.returncode == 0, answer.stderr
        assert [row["file"] for row in report(workdir, f"denoise_{key}")["files"]] == ["a.png"]
        (workdir / "restorations" / f"denoise_{key}.json").write_text('{"key": 1}')
    assert stem.with_suffix(".json").read_text() == "{"


def test_a_photograph_that_is_replaced_meanwhile_is_restored_again(workdir, tmp_path, monkeypatch):
    """The result of the one that was read is not taken for that of the other."""
    path = tmp_path / "photos" / "a.png"
    first, second = random_uint8(8, 8, 3, seed=1), random_uint8(8, 8, 3, seed=2)
    save(path, first)

    def replace(self, pixels):
        save(path, second)
        return Restored(pixels, noise_level=0.25)

    monkeypatch.setattr(PhotographRestorer, "from_measured", replace)
    for _ in range(2):
        assert restore_call(workdir, path).returncode == 0
    folder = workdir / "restorations" / "denoise"
    rows = report(workdir)["files"]
    assert [row["file"] for row in rows] == ["a.png", "a.png"]
    for row, pixels in zip(rows, (first, second), strict=True):
        np.testing.assert_array_equal(pixels_of(folder / row["result"]), pixels)


def test_photographs_of_one_stem_keep_their_endings(workdir, tmp_path, without_network):
    for name in ("a.png", "a.bmp", "b.bmp"):
        save(tmp_path / "photos" / name, random_uint8(8, 8))
    assert restore_call(workdir, tmp_path / "photos").returncode == 0
    results = sorted(os.listdir(workdir / "restorations" / "denoise"))
    assert results == ["a.bmp.png", "a.png.png", "b.png"]


def test_tiles_give_the_same_files(color_run, tmp_path):
    pixels = random_uint8(70, 61, 3)
    save(tmp_path / "photos" / "a.png", pixels)
    results = []
    for name, memory in {"whole": 2, "tiles": 0.0008}.items():
        workdir = shutil.copytree(color_run, tmp_path / name)
        answer = restore_call(workdir, tmp_path / "photos", f"restoration.memory_gib={memory}")
        assert answer.returncode == 0, answer.stderr
        results.append(pixels_of(workdir / "restorations" / "denoise" / "a.png").astype(int))
    assert np.abs(results[0] - results[1]).max() <= 1
    assert np.abs(results[0] - pixels).max() > 10


@pytest.mark.parametrize(
    ("flags", "sampler", "evaluations"),
    [([], "half steps", 9), (["restoration.one_step=True"], "one step", 1)],
)
def test_denoising_and_its_bar(workdir, tmp_path, monkeypatch, flags, sampler, evaluations):
    """The bar is as long as the work at most, and says which photograph it is."""
    bars = []

    class Bar:
        def __init__(self, description, total, unit):
            bars.append([description, total, unit, 0])

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def update(self):
            bars[-1][-1] += 1

    monkeypatch.setattr(module, "progress_bar", Bar)
    save(tmp_path / "photos" / "a.png", random_uint8(9, 9, 3))
    answer = restore_call(workdir, tmp_path / "photos", *flags)
    assert answer.returncode == 0, answer.stderr
    [[*labels, num_tiles]] = bars
    assert labels == ["1/1 a.png", evaluations, "tile"]
    assert 1 <= num_tiles <= evaluations
    written = report(workdir)
    assert (written["sampler"], written["max_gradient_evaluations"]) == (sampler, evaluations)
    assert written["sampling"] == {}


@pytest.mark.parametrize(
    ("task", "flags", "message"),
    [
        ("all", [], "`config.restoration.task` must name another task for photographs"),
        ("compressive_sensing", [], "`config.restoration.task` must name another task"),
        ("colorize", [], "`config.restoration.task` must not be colorize, as the model is gray"),
        (
            "deblur",
            ["restoration.start=gaussian"],
            "`config.restoration.start` must be isotropic or smooth",
        ),
        ("denoise", ["restoration.memory_gib=1e-5"], "`config.restoration.memory_gib` must be at"),
        ("denoise", ["restoration.memory_gib=0"], "`config.restoration.memory_gib` must lie in (0"),
        (
            "denoise",
            ["restoration.images=nowhere"],
            "restoration.images` must be a picture",
        ),
        ("denoise", ["restoration.images=EMPTY"], "must hold files that end in .png"),
        ("inpaint_mask", [], "`config.restoration.mask` must name a file"),
        ("inpaint_mask", ["restoration.mask=nowhere.png"], "must be readable. Received: nowhere.p"),
        ("inpaint_mask", ["restoration.mask=WHITE"], "must hold both known and unknown pixels"),
        ("inpaint_mask", ["restoration.mask=GRAY"], "must be white (known) or black everywhere"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(
    gray_run, tmp_path, task, flags, message
):
    (tmp_path / "empty").mkdir()
    save(tmp_path / "photos" / "a.png", random_uint8(8, 8))
    save(tmp_path / "white.png", np.full((8, 8), 255, np.uint8))
    save(tmp_path / "gray.png", np.full((8, 8), 128, np.uint8))
    names = {"EMPTY": "empty", "WHITE": "white.png", "GRAY": "gray.png"}
    for name, path in names.items():
        flags = [flag.replace(name, str(tmp_path / path)) for flag in flags]
    answer = restore_call(gray_run, tmp_path / "photos", *flags, task=task)
    assert answer.returncode == 2
    assert message in answer.stderr.splitlines()[-1]
    folder = gray_run / "restorations"
    assert not folder.exists() or not os.listdir(folder)


def test_arrays_of_the_patches_size_are_restored_as_before(workdir, tmp_path):
    np.savez(tmp_path / "images.npz", images=random_uint8(2, 8, 8, 3))
    answer = restore_call(
        workdir, tmp_path / "images.npz", "restoration.num_solutions=1", task="inpaint_half"
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split()[0].endswith("restorations/inpaint_half.npz")
