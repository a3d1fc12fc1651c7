"""Tables and plots of the ablation's results."""

import numpy as np

from benchmarks.results import markdown_table

__all__ = ["tables", "write_plots"]


def tables(report: dict) -> str:
    """Markdown: quality, cost, and what else the energies do. Means over the seeds.

    Args:
        report: what the ablation's results hold: `rows` of trained runs, `costs` of variants,
            `validation_distance`.
    """
    names = list(report["costs"])
    runs = {name: [run for run in report["rows"].values() if run["name"] == name] for name in names}
    parts = (_quality_rows(report, runs), _cost_rows(report, runs), _other_rows(runs))
    return "\n".join(markdown_table(rows) for rows in parts)


def _quality_rows(report: dict, runs: dict[str, list[dict]]) -> list[list[str]]:
    """Loss and Fréchet distances."""
    samples = _first(runs)["samples"]
    samplers = [
        f"{name}: {row['gradients']:.3g} gradient evaluations" for name, row in samples.items()
    ]
    rows = [["variant", "steps", "validation loss", *samplers]]
    for name, runs_of_name in runs.items():
        losses = [run["validation_loss"] for run in runs_of_name]
        cells = [
            _mean_and_range([run["samples"][sampler]["distance"] for run in runs_of_name])
            for sampler in samples
        ]
        rows.append([name, str(runs_of_name[0]["num_steps"]), _mean_and_range(losses), *cells])
    if report["validation_distance"] is not None:
        floor = f"{report['validation_distance']:.2f}"
        rows.append(["validation images", "", "", *[floor] * len(samples)])
    return rows


def _cost_rows(report: dict, runs: dict[str, list[dict]]) -> list[list[str]]:
    """Parameters, seconds and memory."""
    rows = [["variant", "parameters", "forward pass, ms", "gradient", "training step", "peak MiB"]]
    for name, runs_of_name in runs.items():
        cost = report["costs"][name]
        forward = cost["forward"]
        cells = [f"{cost['parameters']:,}", f"{1e3 * forward:.1f}"]
        cells += [
            f"{1e3 * cost[part]:.1f} ms = {cost[part] / forward:.1f} passes"
            for part in ("gradient", "step")
        ]
        peak = max(run["training"]["peak_mib"] for run in runs_of_name)
        rows.append([name, *cells, f"{peak:.0f}"])
    return rows


def _other_rows(runs: dict[str, list[dict]]) -> list[list[str]]:
    """Denoising at four noise levels, and outlier detection by energy and by gradient norm."""
    levels = _first(runs)["levels"]
    last = len(levels) - 1
    shown_levels = (0, len(levels) // 3, 2 * len(levels) // 3, last)
    headings = [f"PSNR at {levels[index]['sigma']:.2g}" for index in shown_levels]
    kinds = list(_first(runs)["outliers"])
    rows = [["variant", *headings, *(f"AUROC, {kind}" for kind in kinds)]]
    for name, runs_of_name in runs.items():
        cells = [
            f"{np.mean([run['levels'][index]['psnr'] for run in runs_of_name]):.2f}"
            for index in shown_levels
        ]
        for kind in kinds:
            areas = [list(run["outliers"][kind].values()) for run in runs_of_name]
            cells.append("; ".join(f"{area:.2f}" for area in np.mean(areas, axis=0)))
        rows.append([name, *cells])
    return rows


def _first(runs: dict[str, list[dict]]) -> dict:
    return next(iter(runs.values()))[0]


def _mean_and_range(values: list[float | None]) -> str:
    if None in values:
        return "not finite"
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.2f} … {max(values):.2f})"


def write_plots(report: dict, stem: str) -> None:
    """Writes `STEM_distances.png`, distance against cost, and `STEM_levels.png`, loss by level."""
    from tf_mdsm.visualization.images import write_png
    from tf_mdsm.visualization.plots import curves

    runs = list(report["rows"].values())
    distances, levels = {}, {}
    reference = np.array([row["residual"] for row in runs[0]["levels"]])
    for label, run in report["rows"].items():
        points = [
            (row["gradients"], row["distance"])
            for name, row in run["samples"].items()
            if name.startswith("Heun") and row["distance"] is not None
        ]
        if points:
            distances[label] = tuple(np.array(values) for values in zip(*points, strict=True))
        sigmas, residuals = (
            np.array([row[field] for row in run["levels"]]) for field in ("sigma", "residual")
        )
        levels[label] = sigmas, residuals / reference
    if distances:
        axes = (
            "gradient evaluations an image (Heun)",
            "Fréchet distance (features of a small classifier)",
        )
        picture = curves(distances, *axes, log_x=True, log_y=True)
        write_png(picture, f"{stem}_distances.png")
    axes = ("noise level sigma of validation images", f"loss over that of {runs[0]['name']}")
    write_png(curves(levels, *axes, log_x=True), f"{stem}_levels.png")
