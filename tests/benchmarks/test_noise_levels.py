"""The benchmark `noise_levels`: runs differ in their noise only; the command on small runs."""

import pytest

from benchmarks.quality.noise_levels import label, prepare, table, variants
from benchmarks.recipes import load_recipe
from tests.helpers.recipes import SHORT_RECIPE
from tests.helpers.small_runs import small_config
from tf_mdsm.errors import InvalidArgument


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.py"
    path.write_text(SHORT_RECIPE)
    return str(path)


def test_runs_differ_in_their_levels_only():
    config = small_config(noise__sigma_min=0.1, noise__sigma_max=0.9)
    found = variants(config)
    spans = {name: (run.noise.sigma_min, run.noise.sigma_max) for name, run in found.items()}
    middle = pytest.approx(0.3)
    assert spans == {
        "small": (0.1, 0.1),
        "middle": (middle, middle),
        "large": (0.9, 0.9),
        "many": (0.1, 0.9),
    }
    for run in found.values():
        run.noise, reference = config.noise, found["many"].to_dict()
        assert run.to_dict() == reference | {"noise": config.noise.to_dict()}
        assert (run.sampling.sigma_min, run.sampling.sigma_max) == (0.1, 0.9)


def test_labels():
    levels = variants(small_config())
    assert label(levels["large"].noise) == "one level, 1.2"
    assert label(levels["many"].noise) == "16 levels, 0.05 … 1.2"


def test_a_recipe_that_cannot_be_compared(tmp_path, recipe):
    config = load_recipe(recipe)
    assert prepare(config, None).training.num_steps == 4
    assert prepare(config, 9).training.num_steps == 9
    with pytest.raises(InvalidArgument, match="existing recipe"):
        load_recipe(str(tmp_path / "nothing.py"))
    (tmp_path / "wrong.py").write_text("nonsense")
    with pytest.raises(InvalidArgument, match="be a recipe"):
        load_recipe(str(tmp_path / "wrong.py"))
    with pytest.raises(InvalidArgument, match="several noise levels"):
        prepare(small_config(noise__num_levels=1, noise__sigma_max=0.05), None)


def test_the_table_says_how_many_samples_are_not_finite():
    levels = [{"sigma": sigma, "residual": 10 * sigma} for sigma in (0.1, 0.2, 0.3)]
    samplers = {"a": {"distance": 1.25, "not_finite": 3}, "b": {"distance": None, "not_finite": 64}}
    run = {"trained_on": "one level, 0.1", "levels": levels, "samplers": samplers}
    lines = table({"rows": {"small": run}, "validation_distance": 0.5}).splitlines()
    cells = "| 1 | 2 | 3 | 2 | 1.25 (3 not finite) | none (64 not finite) |"
    assert lines[2] == f"| one level, 0.1 {cells}"
    assert lines[3] == "| validation images |  |  |  |  | 0.5 | 0.5 |"
