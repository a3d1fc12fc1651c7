"""The command `python -m tf_mdsm.serving`, called in this process."""

import pathlib
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.helpers.known_export import energy_tolerance, known_energy, known_noise_level, spelled
from tests.helpers.served_inputs import SHAPE
from tf_mdsm.serving import Client, VersionStatus
from tf_mdsm.serving.__main__ import main


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three images with 256 levels, as files of each format: (array, {ending: path})."""
    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(0).integers(256, size=(3, *SHAPE)).astype(np.uint8)
    array = pixels.astype(np.float32) / 255
    paths = {"npz": folder / "three.npz", "npy": folder / "three.npy", "png": folder / "first.png"}
    np.savez(paths["npz"], images=pixels)
    np.save(paths["npy"], array)
    Image.fromarray(pixels[0, ..., 0]).save(paths["png"])
    return array, paths


@pytest.fixture
def rest(server):
    return f"--address={server.rest}"


def png_header(width: int, height: int) -> bytes:
    """A PNG file of a gray picture of this size without its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"IHDR", header), (b"IDAT", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def arrays_of(path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


def names_in(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- Answers


@pytest.mark.parametrize("scheme", ["grpc", "rest"])
def test_sample(server, tmp_path, capfd, scheme):
    """Image n has the seed 3 + n; images are requested two at a time."""
    address = getattr(server, scheme)
    output = tmp_path / "samples.npz"
    options = ["--num_images=5", "--seed=3", "--batch_size=2", f"--output={output}"]
    assert main(["sample", f"--address={address}", *options]) == 0
    assert tuple(capfd.readouterr()) == ("", "")
    arrays = arrays_of(output)
    np.testing.assert_array_equal(arrays["seeds"], range(3, 8))
    np.testing.assert_array_equal(arrays["images"], spelled(range(3, 8)))
    np.testing.assert_array_equal(arrays["energies"], known_energy(arrays["images"]))


def test_a_picture_of_samples(rest, tmp_path):
    output = tmp_path / "samples.png"
    assert main(["sample", rest, "--num_images", "5", "--output", str(output)]) == 0
    with Image.open(output) as picture:
        # Three columns and two rows of enlarged images with frames.
        assert picture.size == (3 * 66 + 2, 2 * 66 + 2)
        assert picture.mode == "L"
        # Of seed 1, the first pixel is white and the next one black.
        assert [picture.getpixel((left, 2)) for left in (68, 76)] == [255, 0]
    assert names_in(tmp_path) == ["samples.png"]


def test_without_options_16_images_from_seed_0_are_sampled(rest, tmp_path):
    assert main(["sample", rest, f"--output={tmp_path}/samples.npz"]) == 0
    arrays = arrays_of(tmp_path / "samples.npz")
    np.testing.assert_array_equal(arrays["images"], spelled(range(16)))


def test_energy_prints_one_number_per_image(rest, images, capsys):
    array, paths = images
    assert main(["energy", rest, *map(str, paths.values())]) == 0
    printed = np.array(capsys.readouterr().out.split(), np.float32)
    expected = known_energy(np.concatenate([array, array, array[:1]]))
    np.testing.assert_allclose(printed, expected, rtol=energy_tolerance())


def test_noise_level_prints_one_number_per_image(rest, images, capsys):
    array, paths = images
    assert main(["noise_level", rest, str(paths["npz"])]) == 0
    printed = np.array(capsys.readouterr().out.split(), np.float32)
    np.testing.assert_allclose(printed, known_noise_level(array), rtol=energy_tolerance())


def test_score_and_denoise(rest, images, tmp_path):
    array, paths = images
    for command, key, expected in (("score", "score", -array), ("denoise", "images", array / 2)):
        output = f"{tmp_path}/{command}.npz"
        assert main([command, rest, str(paths["npz"]), f"--output={output}"]) == 0
        np.testing.assert_array_equal(arrays_of(output)[key], expected)


def test_a_picture_of_denoised_images(rest, images, tmp_path):
    array, paths = images
    output = tmp_path / "denoised.png"
    assert main(["denoise", rest, str(paths["npz"]), f"--output={output}"]) == 0
    with Image.open(output) as picture:
        first = np.asarray(picture)[2:66:8, 2:66:8]
    np.testing.assert_array_equal(first, np.round(255 * array[0, ..., 0] / 2))


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        # Gray is zero; the score of the largest absolute value, -0.8, is black.
        ((0.0, 0.4, 0.8), (128, 64, 0)),
        # Images beyond [0, 1] have scores of both signs: white is 1, black would be -1.
        ((-1.0, 0.0, 0.5), (255, 128, 64)),
        ((0.0, 0.0, 0.0), (128, 128, 128)),
    ],
)
def test_a_picture_of_scores_has_one_scale_for_all(rest, tmp_path, values, levels):
    """The scores of the test's energy are -x, here one for each image."""
    images = np.broadcast_to(np.float32(values)[:, None, None, None], (3, *SHAPE))
    np.save(tmp_path / "images.npy", images)
    output = tmp_path / "score.png"
    assert main(["score", rest, str(tmp_path / "images.npy"), f"--output={output}"]) == 0
    with Image.open(output) as picture:
        pixels = np.asarray(picture)
    shown = [pixels[row, column] for row, column in ((2, 2), (2, 68), (68, 2))]
    np.testing.assert_array_equal(shown, levels)


@pytest.mark.parametrize("kind", ["png", "npy", "npz"])
def test_inpaint(rest, images, tmp_path, kind):
    array, paths = images
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :5] = 1
    path = str(tmp_path / f"mask.{kind}")
    {
        "png": lambda: Image.fromarray(255 * mask).save(path),
        "npy": lambda: np.save(path, mask.astype(bool)),
        "npz": lambda: np.savez(path, mask=np.stack([mask] * 3)[..., None]),
    }[kind]()
    output = str(tmp_path / "filled.npz")
    arguments = [str(paths["npz"]), f"--mask={path}", "--seed=4", f"--output={output}"]
    assert main(["inpaint", rest, *arguments]) == 0
    arrays = arrays_of(output)
    np.testing.assert_array_equal(arrays["images"][:, :, :5], array[:, :, :5])
    np.testing.assert_array_equal(arrays["images"][:, :, 5:], spelled([4, 5, 6])[:, :, 5:])
    np.testing.assert_array_equal(arrays["seeds"], [4, 5, 6])


def test_status(rest, capsys):
    assert main(["status", rest]) == 0
    assert capsys.readouterr().out == "version 1  AVAILABLE\n"


def test_status_without_a_version_that_answers_is_status_1(rest, monkeypatch, capsys):
    versions = [VersionStatus(2, "LOADING", ""), VersionStatus(1, "END", "no memory")]
    monkeypatch.setattr(Client, "status", lambda _: versions)
    assert main(["status", rest]) == 1
    printed = capsys.readouterr()
    assert printed.out == "version 2  LOADING\nversion 1  END  no memory\n"
    assert "no version of tf_mdsm is available at http://" in printed.err


def test_help(capsys):
    for arguments, status in ((["--help"], 0), (["sample", "-h"], 0), ([], 2)):
        assert main(arguments) == status
        assert "python -m tf_mdsm.serving sample" in capsys.readouterr().out


# --- Failures


def test_an_interrupt_is_status_130(rest, monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "status", interrupt)
    assert main(["status", rest]) == 130
    assert capsys.readouterr().err == "tf_mdsm.serving: interrupted\n"


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_an_address_without_server_is_status_1(scheme, tmp_path, capfd):
    arguments = [f"--address={scheme}://localhost:9", f"--output={tmp_path}/samples.png"]
    assert main(["sample", *arguments]) == 1
    printed = capfd.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"tf_mdsm.serving: {scheme}://localhost:9 is not available: ")
    assert names_in(tmp_path) == []


def test_a_file_that_cannot_be_written_is_status_1(rest, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    assert main(["sample", rest, f"--output={tmp_path}/samples.npz"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert names_in(tmp_path) == []


def test_refusals_of_the_server_are_status_1(rest, tmp_path, capsys):
    for arguments, message in [
        (["status", "--model=other"], "has no model other"),
        (["sample", "--version=7", f"--output={tmp_path}/x.png"], "in version 7"),
        (
            ["sample", "--batch_size=65", "--num_images=65", f"--output={tmp_path}/x.png"],
            "refused the request",
        ),
    ]:
        assert main([*arguments, rest]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert names_in(tmp_path) == []


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """A folder of files that the command cannot use, and a good one."""
    folder = tmp_path_factory.mktemp("bad_files")
    gray = np.full((8, 8), 128, np.uint8)
    Image.fromarray(gray).save(folder / "GRAY.png")
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(folder / "LARGE.png")
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(folder / "SEE_THROUGH.png")
    for name in ("BROKEN.png", "BROKEN.npz"):
        (folder / name).write_bytes(b"no picture")
    (folder / "HUGE.png").write_bytes(png_header(20_000, 20_000))
    (folder / "WIDE.png").write_bytes(png_header(10_000, 10_000))
    np.savez(folder / "EMPTY.npz", pictures=gray)
    np.save(folder / "TEXT.npy", np.full((8, 8, 1), "known"))
    np.save(folder / "GOOD.npy", np.zeros((3, *SHAPE), np.float32))
    np.save(folder / "TWO.npy", np.ones((2, *SHAPE), np.float32))
    np.save(folder / "NAN.npy", np.full((3, *SHAPE), np.nan, np.float32))
    np.save(folder / "INTEGERS.npy", np.zeros((3, *SHAPE), np.int64))
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("draw", "invalid choice: 'draw'"),
        ("sample", "arguments are required: --output"),
        ("sample --output=OUT.png --colour=red", "unrecognized arguments: --colour=red"),
        ("sample --output=OUT.png --num=3", "unrecognized arguments: --num=3"),
        ("sample --output=OUT.png --num_images=many", "invalid int value: 'many'"),
        ("sample --output=OUT.png --num_images=0", "`--num_images` must be at least 1"),
        ("sample --output=OUT.png --seed=-1", "`--seed` must be integers in [0, 2^62]"),
        ("sample --output=OUT.png --seed=9223372036854775807", "`--seed` must be integers"),
        ("sample --output=OUT.jpg", "`--output` must end in .png"),
        ("sample --output=MISSING/out.png", "`--output` must be a file in a folder"),
        ("sample --output=OUT.png --address=localhost:8500", "`--address` must be like"),
        ("sample --output=OUT.png --timeout=0", "`--timeout` must be a positive number"),
        ("sample --output=OUT.png --timeout=1e12", "`--timeout` must be a positive number"),
        ("status --version=9223372036854775808", "`--version` must be a whole number in"),
        ("status --address=https://localhost", "`--address` must be like"),
        ("status --model=", "`--model` must be a model's name"),
        ("sample --output=OUT.png --batch_size=0", "`--batch_size` must be"),
        ("energy", "arguments are required: FILE"),
        ("energy MISSING.png", "`FILE` must be readable"),
        ("energy MISSING.heic", "`FILE` must end in .png, .apng, .jpg"),
        ("energy BROKEN.png", "`FILE` must be readable"),
        ("energy BROKEN.npz", "`FILE` must be a readable .npz file"),
        ("energy EMPTY.npz", "`FILE` must hold an array named `images`"),
        ("energy HUGE.png", "`FILE` must be readable. Received: HUGE.png (Image size"),
        ("energy WIDE.png", "`FILE` must be readable. Received: WIDE.png (Image size"),
        ("energy LARGE.png", "`FILE` must hold images of 8 x 8 x 1. Received: "),
        ("energy GOOD.npy LARGE.png", "LARGE.png, [9, 8, 1]"),
        ("energy INTEGERS.npy", "`FILE` must hold pixels of uint8, or floats"),
        ("energy NAN.npy", "`images` must be finite"),
        ("score GOOD.npy --output=OUT.jpg", "`--output` must end in .png"),
        ("denoise GOOD.npy --output=OUT.jpg", "`--output` must end in .png"),
        ("inpaint GOOD.npy --output=OUT.jpg --mask=GRAY.png", "`--output` must end in .png"),
        ("inpaint GOOD.npy --output=OUT.png", "arguments are required: --mask"),
        ("inpaint GOOD.npy --output=OUT.png --mask=GRAY.png", "`--mask` must be white (known) or"),
        ("inpaint GOOD.npy --output=OUT.png --mask=LARGE.png", "`--mask` must hold images of"),
        ("inpaint GOOD.npy --output=OUT.png --mask=MISSING.png", "`--mask` must be readable"),
        ("inpaint GOOD.npy --output=OUT.png --mask=GRAY.heic", "`--mask` must end in .png"),
        ("inpaint GOOD.npy --output=OUT.png --mask=EMPTY.npz", "`--mask` must hold an array"),
        ("inpaint GOOD.npy --output=OUT.png --mask=SEE_THROUGH.png", "`--mask` must be opaque"),
        ("inpaint GOOD.npy --output=OUT.png --mask=TEXT.npy", "`--mask` must hold 1 (known) or 0"),
        ("inpaint GOOD.npy --output=OUT.png --mask=TWO.npy", "`--mask` must hold one mask"),
    ],
)
def test_wrong_calls_are_status_2(rest, bad_files, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(bad_files)
    before = names_in(bad_files)
    words = arguments.split()
    address = [] if "--address" in arguments else [rest]
    assert main([words[0], *address, *words[1:]]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("tf_mdsm.serving: ")
    assert message in line
    assert names_in(bad_files) == before
