"""Draws the figures of docs/concepts/how_it_works.md. From the project's root:

    python -m docs.figures

Nothing is trained: the figures in the plane and on a line are closed forms, those of digits come
from the trained model in examples/digits. It takes less than a minute on one processor core.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence

from tf_mdsm.system.matplotlib_backend import use_file_backend

__all__ = ["main"]

_CONCEPTS = pathlib.Path(__file__).parents[1] / "concepts"


def main(argv: Sequence[str]) -> int:
    """Writes all figures, prints their paths, and returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", default=_CONCEPTS, type=pathlib.Path, help="folder to write")
    output = parser.parse_args(argv).output
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    use_file_backend()
    # They load TensorFlow and matplotlib.
    from docs.figures import digits, levels, plane
    from docs.figures.style import write

    drawings = {
        "energy_and_score.png": plane.energy_and_score,
        "shells.png": levels.shells,
        "one_level.png": levels.one_level,
        "blind_denoiser.png": digits.blind_denoiser,
        "from_noise_to_image.png": digits.from_noise_to_image,
        "paths.png": plane.paths,
        "learned_energies.png": levels.learned_energies,
        "filling_in.png": digits.filling_in,
    }
    for name, draw in drawings.items():
        write(draw, output / name)
        print(os.path.relpath(output / name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
