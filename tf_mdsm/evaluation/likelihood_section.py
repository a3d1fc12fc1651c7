"""The reports of likelihood as a section of an evaluation."""

import json
from collections.abc import Mapping
from typing import Any

from tf_mdsm.evaluation.likelihood.summary import IMAGE_SET_LABELS
from tf_mdsm.evaluation.section_files import Metric, Section, read_section_picture

__all__ = ["is_of", "likelihood_section", "load_likelihood"]

# What the bits of each method are of.
_METHODS = {
    "ais": "annealed importance sampling",
    "bound": "bound by the ancestral chain",
    "flow": "bound by the density of the probability flow",
}


def load_likelihood(path: str) -> dict[str, Any]:
    """Reads a report of likelihood; those by earlier versions are of method "ais"."""
    with open(path, encoding="utf-8") as file:
        return {"method": "ais", **json.load(file)}


def is_of(report: Mapping[str, Any], provenance: Mapping[str, object]) -> bool:
    """Whether a report is of some weights and images.

    Args:
        report: the report.
        provenance: what its entries must be, such as the hash of the weights. An entry that the
            report lacks, as it is by an earlier version, is not compared.
    """
    return all(report.get(name, value) == value for name, value in provenance.items())


def likelihood_section(report: Mapping[str, Any], picture: str) -> Section:
    """A report of likelihood as a section.

    A metric's value is None if the bounds of annealed importance sampling have not converged.

    Args:
        report: the report.
        picture: path of its picture.
    """
    conditions = {name: report[name] for name in ("step", "weights", "version")}
    conditions["method"] = _METHODS[report["method"]]
    bits = [
        {
            "name": "bits_per_dim",
            "value": entry["bits_per_dim"],
            "of": IMAGE_SET_LABELS.get(name, name),
            "n": entry["num_images"],
            **_uncertainty(entry),
            **conditions,
        }
        for name, entry in report["images"].items()
    ]
    of_energy: list[Metric] = []
    if report["method"] == "ais":
        bracket = _interval(report["log_z_bracket"])
        log_z = {"name": "log_z", "value": report["log_z"], "of": "the energy", "bracket": bracket}
        of_energy.append({**log_z, **conditions})
    return Section([*bits, *of_energy], {report["summary"]: read_section_picture(picture)})


def _uncertainty(entry: Mapping[str, Any]) -> Metric:
    """The bracket of annealed importance sampling, or the standard error over the images."""
    if "bracket" in entry:
        return {"bracket": _interval(entry["bracket"])}
    return {"standard_error": entry["error_over_images"]}


def _interval(ends: list[float | None]) -> str:
    """Lower and upper bound as text; "?" for a bound that is not finite."""
    low, high = ("?" if end is None else f"{end:.6g}" for end in ends)
    return f"{low} … {high}"
