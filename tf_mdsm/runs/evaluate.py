"""`--mode=evaluate`: numbers that say what they depend on, and a report to look at."""

import dataclasses
import logging
import os
from typing import Any

from ml_collections import ConfigDict

from tf_mdsm.distributed.cluster_sources import read_worker_rank
from tf_mdsm.evaluation.likelihood_section import likelihood_section
from tf_mdsm.evaluation.report import render_report
from tf_mdsm.evaluation.section_files import Section, joined_sections, load_section, save_section
from tf_mdsm.runs.evaluation_context import EvaluationContext
from tf_mdsm.runs.likelihood_reports import find_likelihood
from tf_mdsm.runs.loaded_run import LoadedRun, load_run
from tf_mdsm.system.atomic import write_json, write_text
from tf_mdsm.system.locks import job_lock

__all__ = ["evaluate", "evaluate_run"]

_LOGGER = logging.getLogger(__name__)

# The methods of likelihood, in the order of the report.
_METHODS = ("bound", "flow", "ais")


def evaluate(config: ConfigDict, workdir: str) -> list[str]:
    """Evaluates a run's checkpoint, as `evaluate_run`.

    Raises:
        InvalidArgument: without a checkpoint, and as `evaluate_run`.
        RunError: if the checkpoint cannot be read, and as `evaluate_run`.
    """
    return evaluate_run(load_run(config, workdir))


def evaluate_run(run: LoadedRun) -> list[str]:
    """Evaluates a loaded run, one section after the other (`config.evaluation.parts`).

    A section that was computed from the same weights and settings is not computed again. The
    workers of a cluster share the sampling; the first worker does everything else.

    Returns:
        `workdir/evaluation/metrics.json` and `report.html`; no paths on the other workers.

    Raises:
        InvalidArgument: for data or features that do not fit, before anything is sampled, or if
            another process evaluates in the folder.
        RunError: if something cannot be read, or an energy is not finite.
    """
    config = ConfigDict(run.config.to_dict())
    config.sampling.num_samples = config.evaluation.num_samples
    context = EvaluationContext(dataclasses.replace(run, config=config))
    folder = context.run.folder
    folder.require_writable(folder.evaluation)
    rank, _ = read_worker_rank(config.training.strategy, config.training.cluster)
    if rank > 0:
        return _evaluate(context, rank)
    once = "be evaluated by one process at a time"
    with job_lock(os.path.join(folder.evaluation, "lock"), once):
        return _evaluate(context, rank)


def _evaluate(context: EvaluationContext, rank: int) -> list[str]:
    """Computes the sections that are missing, and writes the report."""
    names, folder = context.section_names, context.run.folder
    # Everything that does not fit is found before any sampling.
    if rank == 0:
        context.prepare(names)
    if context.needs_samples(names):
        context.sample()
    if rank > 0:
        return []
    sections = {}
    for name in names:
        path = folder.evaluation_section(name, context.key(name))
        if not os.path.isdir(path):
            _LOGGER.info("%s …", name)
            save_section(context.compute(name), path)
        sections[name] = load_section(path)
    return _write(context.run, sections)


def _write(run: LoadedRun, sections: dict[str, Section]) -> list[str]:
    """Writes all numbers with what they depend on, and the report."""
    found = [found for method in _METHODS if (found := find_likelihood(run, method))]
    if found:
        likelihoods = [likelihood_section(report, f"{stem}.png") for report, stem in found]
        sections = {**sections, "likelihood": joined_sections(likelihoods)}
    of_samples = _facts_of_samples(run)
    metrics = [
        {**run.provenance, **(of_samples if metric["of"] == "samples" else {}), **metric}
        for section in sections.values()
        for metric in section.metrics
    ]
    data, network = run.config.data, run.config.network
    facts = {
        "data": f"{data.source} {data.name or data.path}".strip(),
        "network": f"{network.name}, {network.channels} channels",
        **run.provenance,
        **of_samples,
    }
    title = f"Evaluation of {run.folder.name}"
    report = render_report(title, facts, sections, run.config.to_dict())
    write_json({"metrics": metrics}, run.folder.metrics)
    write_text(report, run.folder.report)
    return [run.folder.metrics, run.folder.report]


def _facts_of_samples(run: LoadedRun) -> dict[str, Any]:
    """What the numbers of samples depend on, besides the weights."""
    sampling = run.config.sampling
    return {
        "weights": run.weights_of_samples,
        "sampler": sampling.sampler,
        "start": sampling.start,
        "seeds": f"{sampling.seed} … {sampling.seed + sampling.num_samples - 1}",
        "gradient_evaluations_per_image": run.gradient_evaluations,
    }
