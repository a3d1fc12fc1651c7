"""Evaluations for tests: few samples, a classifier that learns for a moment, and the numbers."""

import contextlib
import functools
import json
import pathlib

import pytest
from ml_collections import ConfigDict

from tf_mdsm.config.file import get_config
from tf_mdsm.config.rules import validate
from tf_mdsm.evaluation.classifier import train_classifier
from tf_mdsm.runs import build_evaluation
from tf_mdsm.runs.evaluate import evaluate

SECTIONS = ("quality", "memorisation", "energies", "outliers", "denoising")


def evaluation_config(workdir: pathlib.Path, **changes) -> ConfigDict:
    """The configuration of a run, with few samples and changes of `config.evaluation`."""
    config = get_config(str(workdir))
    config.sampling.update(sampler="heun", start="gaussian", num_levels=3, batch_size=64)
    config.evaluation.update(num_samples=64, num_images=16)
    config.evaluation.update(changes)
    return validate(config)


@contextlib.contextmanager
def quick_classifier():
    """Classifiers learn for 10 steps: distances in their features mean little, and cost little."""
    with pytest.MonkeyPatch.context() as patch:
        quick = functools.partial(train_classifier, steps=10)
        patch.setattr(build_evaluation, "train_classifier", quick)
        yield


def run_evaluation(workdir: pathlib.Path, **changes) -> list[str]:
    """Evaluates with changes of `config.evaluation`; returns the written files."""
    with quick_classifier():
        return evaluate(evaluation_config(workdir, **changes), str(workdir))


def metrics(workdir: pathlib.Path) -> list[dict]:
    return json.loads((workdir / "evaluation" / "metrics.json").read_text())["metrics"]
