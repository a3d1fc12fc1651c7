"""The architecture as WORKSPACE.md draws it: imports point one way."""

import ast
import subprocess
import sys

import pytest
from small_runs import ROOT

PACKAGE = ROOT / "tf_mdsm"

# Each layer may import from those below it, and a module from its own layer only where the
# order of the names here says so (from right to left).
LAYERS = [
    ["main", "serving.__main__"],
    [
        "export",
        "sample",
        "restore",
        "evaluate",
        "likelihood",
        "train",
        "preparation",
        "import_checkpoint",
        "subject",
        "drawing",
    ],
    [
        "build_evaluation",
        "build",
        "build_sampler",
        "build_likelihood",
        "cluster",
        "checkpoints",
        "checksums",
        "observer",
        "views",
        "monitor",
        "steps",
        "warmup",
    ],
    ["energy", "signatures"],
    [
        "losses",
        "networks",
        "unet",
        "heads",
        "patches",
        "noise_scaling",
        "convolutions",
        "activations",
        "noise",
        "optimizers",
    ],
    ["authors.published", "authors.layout", "authors.torch_files"],
    [
        "evaluation.parts",
        "evaluation.report",
        "evaluation.part",
        "evaluation.outliers",
        "evaluation.neighbours",
        "evaluation.denoising",
        "evaluation.distances",
        "evaluation.statistics",
        "evaluation.classifier",
        "evaluation.inception",
        "evaluation.features",
    ],
    [
        "datasets.labels",
        "datasets.loading",
        "datasets.conforming",
        "datasets.readers",
        "datasets.synthetic",
        "datasets.batches",
        "datasets.stored",
    ],
    ["datasets.statistics"],
    [
        "evaluation.annealing",
        "evaluation.pilot",
        "evaluation.bridge",
        "evaluation.reference",
        "evaluation.verdict",
        "evaluation.bounds",
    ],
    [
        "samplers.chains",
        "samplers.coarse_to_fine",
        "samplers.ancestral",
        "samplers.heun",
        "samplers.denoising",
        "samplers.metropolis",
        "samplers.moves",
        "samplers.langevin",
        "samplers.sampler",
        "samplers.known",
        "samplers.starts",
        "samplers.schedules",
    ],
    ["restoration.quality", "restoration.tasks", "restoration.measurements"],
    ["serving.client", "serving.over_grpc", "serving.over_rest"],
    ["serving.checks", "serving.transport"],
    [
        "validation",
        "limits",
        "config",
        "settings",
        "randomness",
        "image_files",
        "pictures",
        "plots",
        "progress",
        "shards",
        "signals",
        "schedulers",
    ],
    ["quiet", "tuning", "locking", "rollbacks", "checksums", "arrays", "files", "errors"],
    ["architectures"],
]
RANK = {
    name: (layer, place) for layer, names in enumerate(LAYERS) for place, name in enumerate(names)
}


def modules() -> list[str]:
    names = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(".".join(name.parts) for name in names if name.name != "__init__")


def imports_of(module: str) -> set[str]:
    """Modules of the package that a module imports, anywhere in it."""
    path = PACKAGE / (module.replace(".", "/") + ".py")
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tf_mdsm"):
            inside = node.module.removeprefix("tf_mdsm").lstrip(".")
            for alias in node.names:
                full = f"{inside}.{alias.name}".lstrip(".")
                found.add(full if full in RANK else inside)
    return found - {""}


def test_every_module_has_its_layer():
    assert modules() == sorted(RANK)


@pytest.mark.parametrize("module", modules())
def test_imports_point_downwards(module):
    for imported in imports_of(module):
        assert RANK[imported] > RANK[module], f"{module} imports {imported}"


def test_configs_import_the_package_only():
    for path in (ROOT / "configs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module in ("ml_collections", "tf_mdsm.config"), path.name


def test_settings_are_checked_without_tensorflow():
    program = "import sys, tf_mdsm.main; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


def test_public_names_exist():
    import tf_mdsm

    for name in tf_mdsm.__all__:
        assert getattr(tf_mdsm, name) is not None
    with pytest.raises(AttributeError):
        _ = tf_mdsm.nothing


def test_modules_stay_small():
    for module in set(modules()) - {"settings"}:  # A list, whatever its length.
        lines = len((PACKAGE / (module.replace(".", "/") + ".py")).read_text().splitlines())
        assert lines <= 260, f"{module} has {lines} lines; does it hold more than one idea?"
