"""The paths of a run's folder, and the check that it can be written."""

import pytest

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.folder import RunFolder

RUN = RunFolder("runs/digits/")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (RUN.config, "config.json"),
        (RUN.checkpoints, "checkpoints"),
        (RUN.image_statistics, "checkpoints/statistics.npz"),
        (RUN.tensorboard, "tensorboard"),
        (RUN.samples, "samples"),
        (RUN.samples_stem("heun", 64), "samples/heun_64"),
        (RUN.restorations, "restorations"),
        (RUN.restoration_stem("denoise"), "restorations/denoise"),
        (RUN.evaluation, "evaluation"),
        (RUN.metrics, "evaluation/metrics.json"),
        (RUN.report, "evaluation/report.html"),
        (RUN.likelihood_stem("ais"), "evaluation/likelihood"),
        (RUN.likelihood_stem("flow"), "evaluation/likelihood_flow"),
        (RUN.classifier, "evaluation/classifier.keras"),
        (RUN.evaluation_section("outliers", "k"), "evaluation/parts/outliers_k"),
        (RUN.evaluation_samples_stem("k"), "evaluation/samples_k"),
        (RUN.feature_statistics("inception", "k"), "evaluation/statistics_inception_k.npz"),
        (RUN.exports, "export"),
        (RUN.stablehlo_exports, "export/stablehlo"),
        (RUN.torch_weights(12), "export/torch/step_00000012.pt"),
    ],
)
def test_paths(path, expected):
    """Users and earlier runs rely on these names."""
    assert path == f"runs/digits/{expected}"


@pytest.mark.parametrize("path", ["runs/digits", "runs/digits/", "digits", "runs/./digits//"])
def test_the_name_is_the_last_folder(path):
    assert RunFolder(path).name == "digits"


def test_a_folder_that_can_be_written_is_made(tmp_path):
    run = RunFolder(str(tmp_path / "run"))
    run.require_writable(run.samples)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["samples"]
    assert list((tmp_path / "run" / "samples").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "samples").write_text("in the way")
    run = RunFolder(str(tmp_path))
    with pytest.raises(InvalidArgument, match=r"`--workdir` must be writable \(.*Received: "):
        run.require_writable(run.samples)
