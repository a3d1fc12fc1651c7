"""Asks a model server, from the command line.

    python -m tf_mdsm.serving sample  --num_images=16 --seed=0 --output=samples.png
    python -m tf_mdsm.serving energy  FILE...
    python -m tf_mdsm.serving score   FILE... --output=score.png
    python -m tf_mdsm.serving denoise FILE... --output=denoised.png
    python -m tf_mdsm.serving inpaint FILE... --mask=MASK --seed=0 --output=inpainted.png
    python -m tf_mdsm.serving status

each with  --address=grpc://localhost:8500  (or http://localhost:8501)
           --model=tf_mdsm  --version=N (newest)  --timeout=600 (seconds)  --batch_size=16

FILE is a .png, a .npy, or a .npz with an array `images`; all of the model's size. MASK is white
(or 1) where pixels are known, one for all images or one each. Image n has the seed `seed + n`.
--output: a .png shows the answers side by side (a score scaled so that grey is zero), a .npz
keeps the numbers. `energy` prints one number an image; `status` one line a version.

Exit status: 0 done; 1 the server cannot be reached, refused or failed; 2 wrongly called.
"""

import argparse
import os
import sys

import numpy as np

from tf_mdsm.errors import InvalidArgument, ServingError, one_line
from tf_mdsm.serving.client import Client
from tf_mdsm.serving.output_files import require_output, require_picture, write_answer
from tf_mdsm.system.image_files import read_images, read_mask
from tf_mdsm.system.stderr import quiet_stderr

_FLAGS = ("address", "model", "version", "timeout", "batch_size")


def main(arguments: list[str]) -> int:
    """Runs a command and returns the exit status."""
    if not arguments or {"--help", "-h"} & set(arguments):
        print(__doc__)
        return 0 if arguments else 2
    try:
        options = _parser().parse_args(arguments)
        with _client(options) as client:
            _COMMANDS[options.command](client, options)
    except InvalidArgument as error:
        return _fail(_as_typed(error), status=2)
    except (ServingError, OSError) as error:
        return _fail(error, status=1)
    except KeyboardInterrupt:
        return _fail(KeyboardInterrupt("interrupted"), status=130)
    return 0


def _client(options: argparse.Namespace) -> Client:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr():  # TensorFlow, which gRPC's messages need, prints when it is loaded.
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
    for energy in client.energy(read_images(options.files, client.image_shape)):
        print(energy)


def _score(client: Client, options: argparse.Namespace) -> None:
    _require_output(client, options)
    score = client.score(read_images(options.files, client.image_shape))
    # One scale for all, so that the pictures compare.
    largest = np.abs(score).max()
    shown = 0.5 + 0.5 * score / (largest if largest > 0 else 1)
    write_answer(options.output, {"score": score}, shown)


def _denoise(client: Client, options: argparse.Namespace) -> None:
    _require_output(client, options)
    images = client.denoise(read_images(options.files, client.image_shape))
    write_answer(options.output, {"images": images}, images)


def _inpaint(client: Client, options: argparse.Namespace) -> None:
    _require_output(client, options)
    images = read_images(options.files, client.image_shape)
    mask = read_mask(options.mask, client.image_shape, len(images))
    seeds = _seeds(options, len(images))
    images = client.inpaint(images, mask, seeds)
    arrays = {"images": images, "seeds": np.asarray(seeds)}
    write_answer(options.output, arrays, images)


def _status(client: Client, options: argparse.Namespace) -> None:
    versions = client.status()
    for one in versions:
        print(f"version {one.version}  {one.state}  {one.message}".rstrip())
    if not any(one.state == "AVAILABLE" for one in versions):
        raise ServingError(f"no version of {options.model} is available at {options.address}")


_COMMANDS = {
    "sample": _sample,
    "energy": _energy,
    "score": _score,
    "denoise": _denoise,
    "inpaint": _inpaint,
    "status": _status,
}


def _require_output(client: Client, options: argparse.Namespace) -> None:
    require_output(options.output)
    require_picture(options.output, client.image_shape)


def _seeds(options: argparse.Namespace, count: int) -> list[int]:
    return list(range(options.seed, options.seed + count))


class _Parser(argparse.ArgumentParser):
    """Complains in this project's way, without the usage that argparse prints before."""

    def error(self, message: str) -> None:
        raise InvalidArgument("the command line", "be valid (see --help)", message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    for name in _COMMANDS:
        command = commands.add_parser(name, add_help=False, allow_abbrev=False)
        command.add_argument("--address", default="grpc://localhost:8500")
        command.add_argument("--model", default="tf_mdsm")
        command.add_argument("--version", type=int)
        command.add_argument("--timeout", type=float, default=600.0)
        command.add_argument("--batch_size", type=int, default=16)
        if name in ("energy", "score", "denoise", "inpaint"):
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
    """The same complaint with the flag's name in place of the client's argument."""
    flags = {name: f"--{name}" for name in _FLAGS} | {"seeds": "--seed", "mask": "--mask"}
    return InvalidArgument(flags.get(error.field, error.field), error.requirement, error.received)


def _fail(error: BaseException, status: int) -> int:
    print(f"tf_mdsm.serving: {one_line(error)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
