"""Copies a run's folder with its averaged weights alone: small enough to be given away.

    python examples/averaged_only.py runs/digits examples/digits

The copy is for use: sampling, restoring, evaluation, likelihood, export. It cannot be trained any
further, since it holds neither the optimizer's state nor the weights before averaging.
"""

import os
import shutil
import sys

import tf_mdsm
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.system.atomic import atomic_folder
from tf_mdsm.training.checkpoints import write_averages


def copy_averaged_only(source: str, folder: str) -> int:
    """Writes configuration, averaged weights, and the statistics and record of a run's images.

    Args:
        source: the run's folder.
        folder: the folder to write, which must not exist.

    Returns:
        the step of the checkpoint.

    Raises:
        InvalidArgument: if the source is no run, or keeps no averages, or the folder exists.
    """
    if os.path.exists(folder):
        raise InvalidArgument("folder", "not exist yet", folder)
    run = tf_mdsm.load(source)
    with atomic_folder(folder) as partial:
        copy = RunFolder(partial)
        os.mkdir(copy.checkpoints)
        shutil.copy(run.folder.config, copy.config)
        for name in ("image_statistics", "image_record"):
            if os.path.exists(getattr(run.folder, name)):
                shutil.copy(getattr(run.folder, name), getattr(copy, name))
        write_averages(copy.checkpoints, run.model, step=run.step)
    return run.step


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        print(f"step {copy_averaged_only(sys.argv[1], sys.argv[2])}: {sys.argv[2]}")
    except InvalidArgument as error:
        sys.exit(f"averaged_only.py: {error}")
