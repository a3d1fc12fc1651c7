"""The folder of a run: the path of every file that the program writes there or reads back."""

import dataclasses
import os
import tempfile

from tf_mdsm.config.file import config_path
from tf_mdsm.errors import InvalidArgument

__all__ = ["RunFolder"]


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths in a run's folder, the `--workdir` of the command line.

    Attributes:
        path: the folder.
    """

    path: str

    @property
    def name(self) -> str:
        """The folder's own name, `digits` for `runs/digits`."""
        return os.path.basename(os.path.normpath(self.path))

    @property
    def config(self) -> str:
        """The resolved configuration, written before step 1."""
        return config_path(self.path)

    @property
    def checkpoints(self) -> str:
        """The folder of checkpoints, with checksums, rollbacks and the lock of training."""
        return os.path.join(self.path, "checkpoints")

    @property
    def image_statistics(self) -> str:
        """Mean and covariance of the training images, for the Gaussian start of sampling."""
        return os.path.join(self.checkpoints, "statistics.npz")

    @property
    def image_record(self) -> str:
        """Which images the run is trained on, to notice others."""
        return os.path.join(self.checkpoints, "images.json")

    @property
    def tensorboard(self) -> str:
        """The folder of TensorBoard's events."""
        return os.path.join(self.path, "tensorboard")

    @property
    def samples(self) -> str:
        """The folder of samples and of previews during training."""
        return os.path.join(self.path, "samples")

    @property
    def restorations(self) -> str:
        """The folder of restored images: three files for each task; of photographs a folder."""
        return os.path.join(self.path, "restorations")

    @property
    def evaluation(self) -> str:
        """The folder of evaluation, likelihood, and what both keep for later."""
        return os.path.join(self.path, "evaluation")

    @property
    def exports(self) -> str:
        """The folder of exports: a subfolder for each SavedModel, `stablehlo` and `torch`."""
        return os.path.join(self.path, "export")

    @property
    def stablehlo_exports(self) -> str:
        """The folder of exports as StableHLO: a subfolder for each version."""
        return os.path.join(self.exports, "stablehlo")

    def samples_stem(self, sampler: str, num_samples: int) -> str:
        """The results of sampling, less their endings: `.npz`, `.png`, `_energy.png`, …"""
        return os.path.join(self.samples, f"{sampler}_{num_samples}")

    def restoration_stem(self, task: str) -> str:
        """The results of a restoration task, less their endings `.npz`, `.png` and `.json`."""
        return os.path.join(self.restorations, task)

    @property
    def metrics(self) -> str:
        """All numbers of an evaluation, with what they depend on."""
        return os.path.join(self.evaluation, "metrics.json")

    @property
    def report(self) -> str:
        """The evaluation as one HTML page."""
        return os.path.join(self.evaluation, "report.html")

    def likelihood_stem(self, method: str) -> str:
        """The results of a method of likelihood, less their endings `.json`, `.npz`, `.png`."""
        name = "likelihood" if method == "ais" else f"likelihood_{method}"
        return os.path.join(self.evaluation, name)

    @property
    def classifier(self) -> str:
        """The classifier whose features are compared; its name gets a hash of its data."""
        return os.path.join(self.evaluation, "classifier.keras")

    def evaluation_section(self, name: str, key: str) -> str:
        """The folder of a finished section of the evaluation; `key` says what it depends on."""
        return os.path.join(self.evaluation, "parts", f"{name}_{key}")

    def evaluation_samples_stem(self, key: str) -> str:
        """The samples of an evaluation, less the ending `.npz`; `key` says what they depend on."""
        return os.path.join(self.evaluation, f"samples_{key}")

    def feature_statistics(self, name: str, key: str) -> str:
        """Mean and covariance of the reference images' features."""
        return os.path.join(self.evaluation, f"statistics_{name}_{key}.npz")

    def torch_weights(self, step: int) -> str:
        """The weights of one training step under the names of the authors' PyTorch code."""
        return os.path.join(self.exports, "torch", f"step_{step:08d}.pt")

    def require_writable(self, folder: str) -> None:
        """Makes one of the folders above if it is not there, and tries to write in it.

        Raises:
            InvalidArgument: about `--workdir`, if nothing can be written there.
        """
        try:
            os.makedirs(folder, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise InvalidArgument("--workdir", f"be writable ({error})", self.path) from error
