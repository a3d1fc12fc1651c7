"""The evaluating run: numbers that say how they were made, and a report to look at."""

import json
import logging
import os

from ml_collections import ConfigDict

from tf_mdsm.distributed.strategies import place
from tf_mdsm.evaluation.report import render_report
from tf_mdsm.evaluation.section_files import (
    Section,
    load_section,
    read_likelihood,
    save_section,
)
from tf_mdsm.runs.evaluation_context import EvaluationContext
from tf_mdsm.system.atomic import atomic_write, require_writable

__all__ = ["evaluate"]

_LOGGER = logging.getLogger(__name__)

# Parts that look at samples.
_OF_SAMPLES = {"quality", "memorisation", "energies"}


def evaluate(config: ConfigDict, workdir: str) -> list[str]:
    """Evaluates a run's checkpoint, part by part (`config.evaluation.parts`).

    A part that was computed from the same weights and settings is not computed again. The
    workers of a cluster share the drawing of samples; all else is the first one's.

    Returns:
        `workdir/evaluation/metrics.json` and `report.html`; none but for worker 0.

    Raises:
        InvalidArgument: without a checkpoint, or for data or features that do not fit, before
            anything is drawn.
        RunError: if something cannot be read, or a chain leaves the finite numbers.
    """
    drawn = ConfigDict(config.to_dict())
    drawn.sampling.num_samples = config.evaluation.num_samples
    subject = EvaluationContext(drawn, workdir)
    require_writable(workdir, "evaluation")
    todo = {
        "quality": subject.quality,
        "memorisation": subject.memorisation,
        "energies": subject.energies,
        "outliers": subject.outliers,
        "denoising": subject.denoising,
    }
    asked = config.evaluation.parts.split(",")
    names = [name for name in todo if name in asked or asked == ["all"]]
    needs_samples = bool(_OF_SAMPLES & set(names))
    worker, _ = place(config.training.strategy, config.training.cluster)
    if not worker:
        subject.check(names)
    if (needs_samples and subject.samples is None) or worker:
        return []
    folder = os.path.join(workdir, "evaluation")
    found = {}
    for name in names:
        path = os.path.join(folder, "parts", f"{name}_{subject.key(name)}")
        if not os.path.isdir(path):
            _LOGGER.info("%s …", name)
            save_section(todo[name](), path)
        found[name] = load_section(path)
    return _write(folder, config, subject, found)


def _write(
    folder: str, config: ConfigDict, subject: EvaluationContext, found: dict[str, Section]
) -> list[str]:
    """All numbers with what they follow from, and the report."""
    facts = subject.facts
    made = (facts["model"]["step"], facts["model"]["weights"])
    estimated = read_likelihood(os.path.join(folder, "likelihood"), *made)
    if estimated is not None:
        found = {**found, "likelihood": estimated}
    metrics = [
        {**facts["model"], **(facts["samples"] if metric["of"] == "samples" else {}), **metric}
        for part in found.values()
        for metric in part.metrics
    ]
    written = [os.path.join(folder, name) for name in ("metrics.json", "report.html")]
    data = config.data
    shown = {
        "data": f"{data.source} {data.name or data.path}".strip(),
        "network": f"{config.network.name}, {config.network.channels} channels",
        **facts["model"],
        **facts["samples"],
    }
    title = f"Evaluation of {os.path.basename(os.path.normpath(os.path.dirname(folder)))}"
    page = render_report(title, shown, found, config.to_dict())
    for path, text in zip(
        written, (json.dumps({"metrics": metrics}, indent=2) + "\n", page), strict=True
    ):
        with atomic_write(path) as partial, open(partial, "w", encoding="utf-8") as file:
            file.write(text)
    return written
