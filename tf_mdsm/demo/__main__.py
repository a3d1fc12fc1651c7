"""A demonstration of a trained model in the browser of this machine.

    python -m tf_mdsm.demo SOURCE [--port=8090] [--images=PATH] [--model=tf_mdsm] [--batch_size=16]

SOURCE        a run's folder, runs/digits; a version of an export, runs/digits/export/1 or
              runs/digits/export/stablehlo/1; or a server's address, grpc://localhost:8500
--port        port at which the page is served, to this machine only
--images      a file or folder of images of the model's size with whose energies others are
              compared; a run's folder has its own
--model       the model's name on a server
--batch_size  images of a request to a server, at most the export.max_batch_size of its export

The page draws images by seed and shows their way from noise, fills in what a visitor paints over,
removes noise and says how much there is, and compares the energy of an image with those of others.
An export and a server show no way from noise. Nothing is written, and nothing leaves this machine.

Exit status: 0 stopped; 1 a checkpoint or a server that does not answer; 2 wrong call.
"""

import argparse
import importlib.util
import logging
import os
import socket
import sys

from tf_mdsm.errors import InvalidArgument, RunError, ServingError, one_line
from tf_mdsm.system.argument_parser import ArgumentParser
from tf_mdsm.system.cpu_tuning import tune_process
from tf_mdsm.system.help_text import help_text
from tf_mdsm.system.stderr import quiet_stderr
from tf_mdsm.system.stdout import print_lines


def main(arguments: list[str]) -> int:
    """Serves the page; returns the exit status."""
    if not arguments or {"--help", "-h"} & set(arguments):
        print_lines([help_text(__file__)])
        return 0 if arguments else 2
    try:
        options = _parser().parse_args(arguments)
        _require_free(options.port)
        _require_library()
        tune_process()
        _load_tensorflow()
        from tf_mdsm.demo.opening import comparison_of, open_model
        from tf_mdsm.demo.page import serve

        model = open_model(options.source, options.model, options.batch_size)
        serve(model, comparison_of(model, options.images), options.port)
    except InvalidArgument as error:
        return _fail(error, status=2)
    except (RunError, ServingError) as error:
        return _fail(error, status=1)
    except KeyboardInterrupt:
        pass
    return 0


def _require_library() -> None:
    if importlib.util.find_spec("nicegui") is None:
        requirement = "have NiceGUI installed (pip install 'tf-mdsm[demo]')"
        raise InvalidArgument("the environment", requirement, "none")


def _require_free(port: int) -> None:
    """Refuses a port that cannot be served, before a model is loaded."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise InvalidArgument("--port", f"be a free port ({error})", port) from error


def _load_tensorflow() -> None:
    """Loads TensorFlow without the messages of its start."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with quiet_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("source")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--images", default="")
    parser.add_argument("--model", default="tf_mdsm")
    parser.add_argument("--batch_size", type=int, default=16)
    return parser


def _fail(error: BaseException, status: int) -> int:
    print(f"tf_mdsm.demo: {one_line(error)}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
