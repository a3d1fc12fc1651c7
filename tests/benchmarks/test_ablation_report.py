"""The ablation's tables."""

from benchmarks.quality.ablation_report import tables


def report_of(distances, seeds=(0,)):
    """A report of one variant, one sampler and one kind of outliers."""
    level = {"sigma": 0.1, "psnr": 20.0, "residual": 0.5}
    rows = {
        f"resnet, seed {seed}": {
            "name": "resnet",
            "seed": seed,
            "num_steps": 7,
            "training": {"peak_mib": 800.0 + seed, "seconds": 3.0},
            "validation_loss": 60.0 + seed,
            "levels": [{**level, "psnr": 20.0 + seed}] * 17,
            "samples": {"Heun, 5 levels": {"gradients": 9.0, "distance": distance}},
            "outliers": {"constant": {"energy": 0.75, "gradient_norm": 1.0}},
        }
        for seed, distance in zip(seeds, distances, strict=True)
    }
    costs = {"parameters": 1_234, "forward": 0.01, "gradient": 0.025, "step": 0.06}
    return {"rows": rows, "costs": {"resnet": costs}, "validation_distance": 0.5}


def test_tables_of_several_seeds():
    lines = tables(report_of([30.0, 31.0], seeds=(0, 1))).splitlines()
    assert "Heun, 5 levels: 9 gradient evaluations" in lines[0]
    assert lines[2] == "| resnet | 7 | 60.50 (60.00 … 61.00) | 30.50 (30.00 … 31.00) |"
    assert lines[3] == "| validation images |  |  | 0.50 |"
    assert (
        lines[7] == "| resnet | 1,234 | 10.0 | 25.0 ms = 2.5 passes | 60.0 ms = 6.0 passes | 801 |"
    )
    assert lines[11] == "| resnet | 20.50 | 20.50 | 20.50 | 20.50 | 0.75; 1.00 |"


def test_tables_say_which_samples_are_not_finite():
    assert tables(report_of([None])).splitlines()[2] == "| resnet | 7 | 60.00 | not finite |"
