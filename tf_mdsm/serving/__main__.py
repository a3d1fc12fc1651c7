"""Command-line client of a TensorFlow Serving server with an exported model.

    python -m tf_mdsm.serving sample  --num_images=16 --seed=0 --output=samples.png
    python -m tf_mdsm.serving energy  FILE...
    python -m tf_mdsm.serving score   FILE... --output=score.png
    python -m tf_mdsm.serving denoise FILE... --output=denoised.png
    python -m tf_mdsm.serving noise_level FILE...
    python -m tf_mdsm.serving inpaint FILE... --mask=MASK --seed=0 --output=inpainted.png
    python -m tf_mdsm.serving status

Options of all commands:

    --address=grpc://localhost:8500   or http://localhost:8501
    --model=tf_mdsm                   the model's name on the server
    --version=N                       the model's version; by default the newest
    --timeout=600                     seconds until a request is given up
    --batch_size=16                   images per request

FILE is a picture (.png, .jpg, .bmp, .gif, .webp, .tif, .ppm, …), a .npy, a .npz with an array
`images`, or a folder of such files. Images must have the size of the model's images. Arrays are
uint8, or floats for which 0 is black and 1 is white. MASK is white (or 1) where pixels are known:
one mask for all images, or one for each image. Image n has the seed `seed + n`.

--output is a .png, which shows all images side by side, or a .npz, which keeps the numbers. In a
picture of scores, gray is zero. `energy` and `noise_level` print one number per image. `status`
prints one line per version.

Exit status: 0 success; 1 the server cannot be reached, refused the request or failed; 2 wrong call;
130 interrupted.
"""

import argparse
import os
import sys

import numpy as np

from tf_mdsm.errors import InvalidArgument, ServingError, one_line
from tf_mdsm.serving.client import Client
from tf_mdsm.serving.output_files import require_output, require_picture, write_answer
from tf_mdsm.serving.transport import without_credentials
from tf_mdsm.system.argument_parser import ArgumentParser
from tf_mdsm.system.help_text import help_text
from tf_mdsm.system.image_files import read_images, read_mask
from tf_mdsm.system.local_paths import local_path
from tf_mdsm.system.stderr import quiet_stderr
from tf_mdsm.system.stdout import print_lines

# Flags of all commands, which are arguments of `Client`.
_FLAGS = ("address", "model", "version", "timeout", "batch_size")


def main(arguments: list[str]) -> int:
    """Runs a command and returns the exit status."""
    if not arguments or {"--help", "-h"} & set(arguments):
        print_lines([help_text(__file__)])
        return 0 if arguments else 2
    try:
        options = _parser().parse_args(arguments)
        _require_local_paths(options)
        with _client(options) as client:
            _COMMANDS[options.command](client, options)
    except InvalidArgument as error:
        return _fail(_as_typed(error), status=2)
    except (ServingError, OSError) as error:
        return _fail(error, status=1)
    except KeyboardInterrupt:
        return _fail(KeyboardInterrupt("interrupted"), status=130)
    return 0


def _require_local_paths(options: argparse.Namespace) -> None:
    """Refuses addresses in place of files."""
    for path in getattr(options, "files", []):
        local_path("FILE", path)
    for name in ("mask", "output"):
        local_path(f"--{name}", getattr(options, name, ""))


def _client(options: argparse.Namespace) -> Client:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():  # gRPC's messages need TensorFlow, which prints when it is imported.
        return Client(**{name: getattr(options, name) for name in _FLAGS})


def _sample(client: Client, options: argparse.Namespace) -> None:
    if options.num_images < 1:
        raise InvalidArgument("--num_images", "be at least 1", options.num_images)
    _require_output(client, options)
    seeds = _seeds(options, options.num_images)
    images, energies = client.sample(seeds)
    arrays = {"images": images, "energies": energies, "seeds": np.asarray(seeds)}
    write_answer(options.output, arrays, images)


def _energy(client: Client, options: argparse.Namespace) -> None:
    print_lines(client.energy(_noisy_images(client, options)))


def _score(client: Client, options: argparse.Namespace) -> None:
    _require_output(client, options)
    score = client.score(_noisy_images(client, options))
    # All images have the same scale, so that they can be compared.
    largest = np.abs(score).max()
    picture = 0.5 + 0.5 * score / (largest if largest > 0 else 1)
    write_answer(options.output, {"score": score}, picture)


def _denoise(client: Client, options: argparse.Namespace) -> None:
    _require_output(client, options)
    images = client.denoise(_noisy_images(client, options))
    write_answer(options.output, {"images": images}, images)


def _noise_level(client: Client, options: argparse.Namespace) -> None:
    print_lines(client.noise_level(_noisy_images(client, options)))


def _inpaint(client: Client, options: argparse.Namespace) -> None:
    _require_output(client, options)
    # Unknown pixels are any numbers; known ones must lie in [0, 1], which the client checks.
    images = read_images(options.files, client.sample_shape, floats="any")
    mask = read_mask(options.mask, client.sample_shape, len(images))
    seeds = _seeds(options, len(images))
    images = client.inpaint(images, mask, seeds)
    arrays = {"images": images, "seeds": np.asarray(seeds)}
    write_answer(options.output, arrays, images)


def _status(client: Client, options: argparse.Namespace) -> None:
    versions = client.status()
    print_lines(f"version {v.version}  {v.state}  {v.message}".rstrip() for v in versions)
    if not any(status.state == "AVAILABLE" for status in versions):
        address = without_credentials(options.address)
        raise ServingError(f"no version of {options.model} is available at {address}")


_COMMANDS = {
    "sample": _sample,
    "energy": _energy,
    "score": _score,
    "denoise": _denoise,
    "noise_level": _noise_level,
    "inpaint": _inpaint,
    "status": _status,
}


def _require_output(client: Client, options: argparse.Namespace) -> None:
    require_output(options.output)
    require_picture(options.output, client.image_shape)


def _noisy_images(client: Client, options: argparse.Namespace) -> np.ndarray:
    """The images of the files, [B, H, W, C]; noise may carry them out of [0, 1]."""
    return read_images(options.files, client.image_shape, floats="noisy")


def _seeds(options: argparse.Namespace, count: int) -> list[int]:
    return list(range(options.seed, options.seed + count))


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=ArgumentParser)
    for name in _COMMANDS:
        command = commands.add_parser(name, add_help=False, allow_abbrev=False)
        command.add_argument("--address", default="grpc://localhost:8500")
        command.add_argument("--model", default="tf_mdsm")
        command.add_argument("--version", type=int)
        command.add_argument("--timeout", type=float, default=600.0)
        command.add_argument("--batch_size", type=int, default=16)
        if name in ("energy", "score", "denoise", "noise_level", "inpaint"):
            command.add_argument("files", nargs="+", metavar="FILE")
        if name in ("sample", "score", "denoise", "inpaint"):
            command.add_argument("--output", required=True)
        if name in ("sample", "inpaint"):
            command.add_argument("--seed", type=int, default=0)
        if name == "sample":
            command.add_argument("--num_images", type=int, default=16)
        if name == "inpaint":
            command.add_argument("--mask", required=True)
    return parser


def _as_typed(error: InvalidArgument) -> InvalidArgument:
    """The same error about the flag that the user typed, instead of the client's argument."""
    flags = {name: f"--{name}" for name in _FLAGS} | {"seeds": "--seed", "mask": "--mask"}
    return InvalidArgument(flags.get(error.field, error.field), error.requirement, error.received)


def _fail(error: BaseException, status: int) -> int:
    print(f"tf_mdsm.serving: {one_line(error)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
