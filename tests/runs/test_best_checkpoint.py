"""A training run that keeps its best checkpoint by the distance of samples, and its use after."""

import json
import shutil

import pytest

from tests.helpers.evaluation_runs import metrics, quick_classifier
from tests.helpers.small_runs import events, small_config
from tf_mdsm.config.file import get_config
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.evaluate import evaluate
from tf_mdsm.runs.train import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that compares samples with the training images four times."""
    workdir = tmp_path_factory.mktemp("best")
    config = small_config(
        training__num_steps=12,
        training__checkpoint_every=6,
        training__log_every=0,
        training__evaluate_every=3,
        training__evaluation_samples=64,
        sampling__sampler="heun",
        sampling__start="gaussian",
        sampling__num_levels=3,
        optimizer__ema_momentum=0.0,
        optimizer__learning_rate=3e-2,
    )
    with quick_classifier():
        train(config, str(workdir))
    return workdir


def best_of(workdir) -> dict:
    return json.loads((workdir / "checkpoints" / "best" / "distance.json").read_text())


def test_the_checkpoint_with_the_smallest_distance_is_kept(trained):
    distances = dict(events(trained, "distance/classifier(digits)"))
    assert sorted(distances) == [3, 6, 9, 12]
    best = best_of(trained)
    assert best["step"] == min(distances, key=distances.get)
    assert best["distance"] == pytest.approx(min(distances.values()), rel=1e-6)
    assert len(list((trained / "checkpoints" / "best").glob("step-*.index"))) == 1
    assert "n 64, training images, 1617 images" in best["measure"]


def test_modes_after_training_can_use_it(trained, tmp_path):
    workdir = shutil.copytree(trained, tmp_path / "run")
    config = get_config(str(workdir))
    config.checkpoint = "best"
    config.evaluation.update(parts="outliers", features="none", num_images=10)
    evaluate(config, str(workdir))
    assert {metric["step"] for metric in metrics(workdir)} == {best_of(trained)["step"]}


def test_without_a_best_checkpoint_the_message_names_the_setting(small_run):
    config = get_config(str(small_run))
    config.checkpoint = "best"
    with pytest.raises(InvalidArgument, match=r"config.checkpoint.*evaluate_every"):
        evaluate(config, str(small_run))
