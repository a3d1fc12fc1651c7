"""The command-line client, `python -m tf_mdsm.serving`."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from small_runs import ROOT, environment

from tf_mdsm.serving import Client, InvalidArgument
from tf_mdsm.serving.__main__ import main
from tf_mdsm.serving.output_files import require_picture

SHAPE = (8, 8, 1)


def call(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tf_mdsm.serving", *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


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


@pytest.fixture(scope="module")
def client(model_server):
    return Client(model_server.rest)


@pytest.fixture
def rest(model_server):
    return f"--address={model_server.rest}"


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


def test_sample(model_server, client, tmp_path):
    output = tmp_path / "samples.npz"
    result = call(
        "sample",
        f"--address={model_server.grpc}",
        "--num_images=5",
        "--seed=3",
        f"--output={output}",
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    arrays = arrays_of(output)
    images, energies = client.sample(range(3, 8))
    np.testing.assert_array_equal(arrays["seeds"], range(3, 8))
    np.testing.assert_allclose(arrays["images"], images, atol=1 / 255)
    np.testing.assert_allclose(arrays["energies"], energies, rtol=1e-4)


def test_a_picture_of_samples(rest, tmp_path):
    output = tmp_path / "samples.png"
    result = call("sample", rest, "--num_images", "5", "--output", output)
    assert (result.returncode, result.stderr) == (0, "")
    with Image.open(output) as picture:
        # Three columns and two rows of enlarged images with frames.
        assert picture.size == (3 * 66 + 2, 2 * 66 + 2)
        assert picture.mode == "L"
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]


def test_energy_prints_one_number_per_image(rest, client, images, capsys):
    array, paths = images
    assert main(["energy", rest, *map(str, paths.values())]) == 0
    printed = np.array(capsys.readouterr().out.split(), np.float32)
    expected = client.energy(np.concatenate([array, array, array[:1]]))
    np.testing.assert_allclose(printed, expected, rtol=1e-5, atol=1e-7)


def test_score_and_denoise(rest, client, images, tmp_path):
    array, paths = images
    for command, key in (("score", "score"), ("denoise", "images")):
        output = str(tmp_path / command)
        for ending in (".npz", ".png"):
            assert main([command, rest, str(paths["npz"]), f"--output={output}{ending}"]) == 0
        answer = getattr(client, command)(array)
        np.testing.assert_allclose(arrays_of(f"{output}.npz")[key], answer, atol=1e-5)
    with Image.open(tmp_path / "score.png") as picture:
        pixels = np.asarray(picture)
    # Gray is zero. The score with the largest absolute value is black or white.
    assert pixels.min() == 0 or pixels.max() == 255


@pytest.mark.parametrize("kind", ["png", "npy", "npz"])
def test_inpaint(rest, client, images, tmp_path, kind):
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
    filled = arrays_of(output)["images"]
    np.testing.assert_array_equal(filled[:, :, :5], array[:, :, :5])
    expected = client.inpaint(array, np.broadcast_to(mask[None, ..., None], array.shape), [4, 5, 6])
    np.testing.assert_allclose(filled, expected, atol=1 / 255)


def test_points_cannot_be_written_as_a_picture():
    require_picture("points.npz", (1, 1, 2))
    require_picture("digits.png", SHAPE)
    with pytest.raises(InvalidArgument, match="`--output` must end"):
        require_picture("points.png", (1, 1, 2))


def test_status(rest, capsys):
    assert main(["status", rest]) == 0
    assert capsys.readouterr().out == "version 1  AVAILABLE\n"


def test_help(capsys):
    assert main(["--help"]) == 0
    assert main(["sample", "--help"]) == 0
    assert "python -m tf_mdsm.serving sample" in capsys.readouterr().out


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_an_address_without_server_is_status_1(scheme, tmp_path):
    output = tmp_path / "samples.png"
    result = call("sample", f"--address={scheme}://localhost:9", f"--output={output}")
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"tf_mdsm.serving: {scheme}://localhost:9 is not available: ")
    assert list(tmp_path.iterdir()) == []


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
    assert list(tmp_path.iterdir()) == []


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
        ("sample --output=OUT.png --batch_size=0", "`--batch_size` must be"),
        ("energy", "arguments are required: FILE"),
        ("energy MISSING.png", "`FILE` must be readable"),
        ("energy MISSING.bmp", "`FILE` must end in .png, .jpg, .jpeg, .npy, .npz"),
        ("energy BROKEN.png", "`FILE` must be readable"),
        ("energy BROKEN.npz", "`FILE` must be a readable .npz file"),
        ("energy EMPTY.npz", "`FILE` must hold an array named `images`"),
        ("energy NO_ARCHIVE.npz", "`FILE` must be a readable .npz file"),
        ("energy HUGE.png", "`FILE` must be readable. Received: HUGE.png (Image size"),
        ("energy WIDE.png", "`FILE` must be readable. Received: WIDE.png (Image size"),
        ("energy LARGE.png", "`FILE` must hold images of 8 x 8 x 1. Received: "),
        ("energy GOOD.npy LARGE.png", "LARGE.png, [9, 8, 1]"),
        ("energy SEE_THROUGH.png", "`FILE` must be opaque"),
        ("energy INTEGERS.npy", "`FILE` must hold uint8 or floats, not int64"),
        ("energy NAN.npy", "`images` must be finite"),
        ("inpaint GOOD.npy --output=OUT.png", "arguments are required: --mask"),
        ("inpaint GOOD.npy --output=OUT.png --mask=GRAY.png", "`--mask` must be 1 (known) or 0"),
        ("inpaint GOOD.npy --output=OUT.png --mask=LARGE.png", "`--mask` must hold images of"),
        ("inpaint GOOD.npy --output=OUT.png --mask=MISSING.png", "`--mask` must be readable"),
        ("inpaint GOOD.npy --output=OUT.png --mask=GRAY.bmp", "`--mask` must end in .png"),
        ("inpaint GOOD.npy --output=OUT.png --mask=EMPTY.npz", "`--mask` must hold an array"),
        ("inpaint GOOD.npy --output=OUT.png --mask=SEE_THROUGH.png", "`--mask` must be opaque"),
        ("inpaint GOOD.npy --output=OUT.png --mask=TEXT.npy", "`--mask` must hold 1 (known) or 0"),
        ("inpaint GOOD.npy --output=OUT.png --mask=TWO.npy", "`--mask` must hold one mask"),
    ],
)
def test_wrong_calls_are_status_2(rest, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    gray = np.full((8, 8), 128, np.uint8)
    Image.fromarray(gray).save("GRAY.png")
    Image.fromarray(np.zeros((9, 8), np.uint8)).save("LARGE.png")
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save("SEE_THROUGH.png")
    for name in ("BROKEN.png", "BROKEN.npz"):
        (tmp_path / name).write_bytes(b"no picture")
    (tmp_path / "HUGE.png").write_bytes(png_header(20_000, 20_000))
    (tmp_path / "WIDE.png").write_bytes(png_header(10_000, 10_000))
    np.savez("EMPTY.npz", pictures=gray)
    with open("NO_ARCHIVE.npz", "wb") as file:
        np.save(file, gray)
    np.save("TEXT.npy", np.full((8, 8, 1), "known"))
    np.save("GOOD.npy", np.zeros((3, *SHAPE), np.float32))
    np.save("TWO.npy", np.ones((2, *SHAPE), np.float32))
    np.save("NAN.npy", np.full((3, *SHAPE), np.nan, np.float32))
    np.save("INTEGERS.npy", np.zeros((3, *SHAPE), np.int64))
    before = sorted(tmp_path.iterdir())
    words = arguments.split()
    address = [] if "--address" in arguments else [rest]
    assert main([words[0], *address, *words[1:]]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("tf_mdsm.serving: ")
    assert message in line
    assert sorted(tmp_path.iterdir()) == before
