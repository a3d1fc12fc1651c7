"""The package's layout: floors, imports that go down only, and what each floor may know."""

import ast
import functools
import graphlib
import pathlib
import subprocess
import sys

import pytest
from small_runs import ROOT

PACKAGE = ROOT / "tf_mdsm"

# Every entry of `tf_mdsm/` and its floor: it imports from lower floors only, never sideways.
FLOORS = {
    "main": 7,
    "runs": 6,
    "config": 5,
    "training": 5,
    "evaluation": 5,
    "restoration": 5,
    "serving": 5,
    "visualization": 4,
    "energy_model": 3,
    "samplers": 3,
    "datasets": 3,
    "distributed": 3,
    "noise": 2,
    "losses": 2,
    "networks": 2,
    "randomness": 1,
    "system": 1,
    "errors": 0,
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
    found = set()
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
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
    assert len(FLOORS) <= 20


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


def test_only_config_and_runs_read_a_configuration():
    assert importers_of("ml_collections") <= {"config", "runs"}
    for module in modules():
        if any(entry(imported) == "config" for imported in own_imports(module)):
            assert entry(module) in {"main", "runs", "config", PUBLIC_NAMES}, module


def test_wrong_calls_are_refused_without_tensorflow():
    """A wrong call is answered at once, and the REST client needs no TensorFlow."""
    light = {"main", "config", "system", "errors"}
    names = [module for module in modules() if entry(module) in light]
    names += ["networks.architectures", "serving.client", "serving.rest_transport"]
    imports = "".join(f"import tf_mdsm.{name}; " for name in names)
    program = f"import sys; {imports}sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


def test_networks_are_pure_keras():
    for module in modules():
        if entry(module) == "networks":
            assert not {"tensorflow", "torch", "jax"} & {
                n.split(".")[0] for n in imports_of(module)
            }
            assert {entry(other) for other in own_imports(module)} <= {"networks", "errors"}


def test_what_takes_callables_knows_no_model():
    for module in modules():
        if entry(module) in {"samplers", "losses", "restoration", "evaluation"}:
            assert "energy_model" not in own_imports(module), module


def test_recipes_import_the_configuration_only():
    for path in (ROOT / "configs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module in ("ml_collections", "tf_mdsm.config"), path.name


def test_public_names_exist():
    import tf_mdsm

    for name in tf_mdsm.__all__:
        assert getattr(tf_mdsm, name) is not None
    with pytest.raises(AttributeError):
        _ = tf_mdsm.nothing
