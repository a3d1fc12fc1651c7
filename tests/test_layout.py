"""The layout: floors, imports that go down only, what each floor may know; tests as the package."""

import ast
import functools
import graphlib
import importlib
import pathlib
import sys
from collections.abc import Iterable

import pytest

from tests.helpers.small_runs import ROOT

PACKAGE, TESTS = ROOT / "tf_mdsm", ROOT / "tests"

# Every entry of `tf_mdsm/` and its floor: it imports from lower floors only, never sideways.
FLOORS = {
    "main": 8,
    "demo": 8,
    "runs": 7,
    "config": 6,
    "training": 6,
    "evaluation": 6,
    "restoration": 6,
    "serving": 6,
    "visualization": 5,
    "energy_model": 4,
    "samplers": 3,
    "datasets": 3,
    "distributed": 3,
    "noise": 2,
    "losses": 2,
    "networks": 2,
    "randomness": 1,
    "system": 1,
    "errors": 0,
    "public_names": 0,
    "weightings": 0,
}
# The package's public names are not a floor: whoever imports them gets the floor they come from.
PUBLIC_NAMES = "__init__"


def module_name(path: pathlib.Path) -> str:
    """`samplers.heun`; a package's `__init__` goes by the package's name."""
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


@functools.cache
def modules() -> dict[str, ast.Module]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return {module_name(path): ast.parse(path.read_text()) for path in paths}


@functools.cache
def imports_of(module: str) -> frozenset[str]:
    """All that a module imports, anywhere in it, by absolute names."""
    return imported_by(ast.walk(modules()[module]))


def imported_by(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """All that import statements import, by absolute names; other statements are left out."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import: {ast.unparse(node)}"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix("tf_mdsm.")
                found.add(f"tf_mdsm.{inner}" if inner in modules() else node.module)
    return frozenset(found)


def own_imports(module: str) -> set[str]:
    """The modules of this package that a module imports."""
    inside = (name.removeprefix("tf_mdsm.") for name in imports_of(module) if "tf_mdsm" in name)
    return {name for name in inside if name in modules()}


def entry(module: str) -> str:
    return module.split(".")[0]


def importers_of(library: str) -> set[str]:
    """Entries of the package in which some module imports a library by name."""
    return {
        entry(module)
        for module in modules()
        if any(name.split(".")[0] == library for name in imports_of(module))
    }


def test_every_entry_has_its_floor():
    assert {entry(module) for module in modules()} - {PUBLIC_NAMES} == FLOORS.keys()
    assert len(FLOORS) <= 21


@pytest.mark.parametrize("name", FLOORS)
def test_imports_go_down(name):
    for module in modules():
        if entry(module) != name:
            continue
        for imported in own_imports(module):
            below = FLOORS[entry(imported)] < FLOORS[name] or entry(imported) == name
            assert below, f"{module} imports {imported}, which is not on a lower floor"


@pytest.mark.parametrize("name", FLOORS)
def test_no_circles_within_an_entry(name):
    graph = {
        module: {other for other in own_imports(module) if entry(other) == name} - {module}
        for module in modules()
        if entry(module) == name
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


def test_the_package_stands_alone():
    outside = {"benchmarks", "configs", "docs", "examples", "launch", "tests"}
    for module in modules():
        assert not {name.partition(".")[0] for name in imports_of(module)} & outside, module


def test_only_config_and_runs_read_a_configuration():
    assert importers_of("ml_collections") <= {"config", "runs"}
    for module in modules():
        if any(entry(imported) == "config" for imported in own_imports(module)):
            assert entry(module) in {"main", "runs", "config", PUBLIC_NAMES}, module


def loaded_with(module: str) -> set[str]:
    """The module and all modules of this package that are loaded when it is imported."""
    loaded, waiting = set(), {module, PUBLIC_NAMES}
    while waiting:
        name = waiting.pop()
        loaded.add(name)
        packages = {".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 1)}
        names = {
            own
            for imported in imports_at_start_of(name)
            if (own := imported.removeprefix("tf_mdsm.")) in modules()
        }
        waiting |= (names | packages) - loaded
    return loaded


@functools.cache
def imports_at_start_of(module: str) -> frozenset[str]:
    """What a module imports when it is itself imported: not within its functions, not for types."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    found, waiting = [], list(modules()[module].body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        elif not isinstance(node, functions) and not is_for_types(node):
            waiting += ast.iter_child_nodes(node)
    return imported_by(found)


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def test_wrong_calls_are_refused_without_tensorflow():
    """A wrong call is answered at once, workers wait for each other, and the REST client runs."""
    light = {"main", "config", "system", "errors"}
    names = {module for module in modules() if entry(module) in light}
    names |= {"networks.architectures", "serving.client", "serving.rest_transport"}
    names |= {f"distributed.{name}" for name in ("cluster_sources", "rendezvous", "watchdog")}
    for name in names:
        for module in loaded_with(name):
            libraries = {imported.split(".")[0] for imported in imports_at_start_of(module)}
            assert not libraries & {"tensorflow", "keras", "torch"}, f"{name} loads {module}"


def test_the_portable_program_needs_numpy_and_jaxlib_only():
    """Machines that run StableHLO exports have nothing else."""
    for module in loaded_with("serving.stablehlo_model"):
        libraries = {imported.split(".")[0] for imported in imports_at_start_of(module)}
        unknown = libraries - {"tf_mdsm", "numpy", "jaxlib"} - sys.stdlib_module_names
        assert not unknown, f"{module} loads {unknown}"


def test_networks_are_pure_keras():
    for module in modules():
        if entry(module) == "networks":
            assert not {"tensorflow", "torch", "jax"} & {
                n.split(".")[0] for n in imports_of(module)
            }
            assert {entry(other) for other in own_imports(module)} <= {
                "networks",
                "errors",
                "public_names",
            }


def test_what_takes_callables_knows_no_model():
    for module in modules():
        if entry(module) in {"samplers", "losses", "restoration", "evaluation"}:
            assert "energy_model" not in own_imports(module), module


def test_recipes_import_the_configuration_only():
    for path in (ROOT / "configs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module in ("ml_collections", "tf_mdsm.config"), path.name


def test_random_numbers_are_those_of_seed_and_stream():
    """Generators of TensorFlow and Keras hold a state, which a resumed run would not have."""
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) not in ("tf.random", "keras.random"), module


# What a reader of the paper needs first; the packages hold the rest.
FIFTEEN = {
    *("EnergyModel", "NoiseLevels", "build_network"),
    *("default_config", "train", "load", "sample", "restore", "export"),
    *("Heun", "AncestralEuler", "AnnealedLangevin", "CoarseToFine", "MALA", "HMC"),
}


def test_the_public_names_are_fifteen():
    import tf_mdsm

    assert set(tf_mdsm.__all__) == FIFTEEN
    assert len(FIFTEEN) == 15


PUBLIC = "config datasets evaluation networks restoration runs samplers serving system training"


@pytest.mark.parametrize("name", ["", *PUBLIC.split(), "evaluation.likelihood", "visualization"])
def test_public_names_exist(name):
    """Of each package; they are found in its listing, and none hides a module."""
    package = importlib.import_module(f"tf_mdsm.{name}".rstrip("."))
    for public in package.__all__:
        assert getattr(package, public) is not None
        assert public in dir(package)
        assert f"{name}.{public}".lstrip(".") not in modules()
    with pytest.raises(AttributeError):
        _ = package.nothing


def test_packages_are_reached_without_an_import():
    import tf_mdsm

    assert tf_mdsm.restoration.Inpainting.__module__ == "tf_mdsm.restoration.operators"
    assert tf_mdsm.samplers.falling_sigmas(2.0, 1.0, 2)[0] == 2


# Files of tests that ask about no single module, and what about.
CROSS_CUTTING = {
    "test_layout.py": "imports of the whole package, and the places of the tests",
    "test_documents.py": "the README, WORKSPACE.md and docs/",
    "test_figures.py": "docs/figures: the closed forms behind the figures of a page",
    "test_troubleshooting.py": "docs/guide/troubleshooting.md: the errors of the whole package",
    "test_recipes.py": "configs/",
    "test_examples.py": "examples/",
    "test_tutorial.py": "docs/guide/tutorial.ipynb as it is stored",
    "test_requirements.py": "requirements.txt and requirements.lock",
    "test_packaging.py": "pyproject.toml: what pip installs",
    "test_global_settings.py": "models under global settings of Keras and TensorFlow",
    "test_keras_habits.py": "EnergyModel as a Keras model",
    "test_odd_images.py": "odd files of images through all entrances alike",
    "test_golden.py": "the authors' numbers: network, loss, gradients, optimizer, sampler together",
    "runs/test_old_runs.py": "runs of an earlier version",
    "runs/test_best_checkpoint.py": "training, evaluation and sampling with the best checkpoint",
    "runs/test_patches.py": "runs on patches of photographs, from training to their use",
    "runs/test_processes.py": "the program in processes of its own",
}

# Files outside of tests/slow that start a process of the program, and which.
PROCESSES = {
    "test_main.py": "a call that is refused",
    "runs/test_processes.py": "a training run, one that is stopped, and sampling",
    "system/test_stdout.py": "streams of other encodings, closed and full, without TensorFlow",
    "system/test_stderr.py": "a closed stream, without TensorFlow",
    "distributed/test_watchdog.py": "a process that the watchdog ends, without TensorFlow",
}


def mirror_of(module: str) -> str:
    """Where the tests of a module stand: `samplers/test_heun.py`."""
    *folders, name = module.split(".")
    return "/".join([*folders, f"test_{name}.py"])


def files_of_tests() -> dict[str, str]:
    """Paths within `tests/` of all files of tests but the slow ones, and what they hold."""
    paths = {path.relative_to(TESTS): path for path in TESTS.rglob("test_*.py")}
    return {n.as_posix(): path.read_text() for n, path in paths.items() if n.parts[0] != "slow"}


@pytest.mark.parametrize("name", FLOORS)
def test_every_module_has_its_tests(name):
    packages, files = {module.rpartition(".")[0] for module in modules()}, files_of_tests()
    for module in modules().keys() - packages:
        if entry(module) == name and not module.endswith("__main__"):
            assert "\ndef test_" in files.get(mirror_of(module), ""), f"tests/{mirror_of(module)}"


def test_every_file_of_tests_asks_about_a_module():
    """Besides the benchmarks' tests, and those of shell scripts and files for clusters."""
    mirrors, elsewhere = {mirror_of(module) for module in modules()}, ("benchmarks", "launch")
    names = {name for name in files_of_tests() if name.split("/")[0] not in elsewhere}
    assert names - mirrors == CROSS_CUTTING.keys()


def test_few_tests_start_a_process():
    """It takes seconds to load: other tests call `main` in their own process."""
    starts = {"subprocess", "multiprocessing", "call_process", "started", "fork"}
    found = set()
    for file, text in files_of_tests().items():
        for node in ast.walk(ast.parse(text)):
            names = {alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")}
            if starts & {*names, getattr(node, "id", None), getattr(node, "attr", None)}:
                found.add(file)
    scripts = {file for file in found if file.startswith("launch/")}
    assert found - scripts == PROCESSES.keys()
