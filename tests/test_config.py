"""Recipes, defaults, ranges, relations between settings, and answers to wrong command lines."""

import importlib.util
import json
import pathlib
import re

import pytest
from ml_collections import ConfigDict
from small_runs import ROOT, call, flags, small_config

from tf_mdsm.config import default_config, defaults
from tf_mdsm.config.file import load_config, save_config
from tf_mdsm.config.ranges import CHOICES, Interval
from tf_mdsm.config.rules import check_same_run, flatten, validate
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.train import train
from tf_mdsm.system.seeds import MAX_SEED, SEED_RANGE

RECIPES = sorted((ROOT / "configs").glob("*.py"))


def load_recipe(path: pathlib.Path) -> ConfigDict:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def recipe(name: str) -> ConfigDict:
    return load_recipe(ROOT / "configs" / f"{name}.py")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_says_how_to_run_it(path):
    config = load_recipe(path)
    assert validate(config) is config
    assert config.is_locked
    assert f"--config=configs/{path.name}" in path.read_text().split('"""')[1]


def test_cifar_recipe_has_the_papers_settings():
    """MDSM, section 4."""
    config = recipe("cifar")
    assert (config.network.name, config.network.channels) == ("res18", 128)
    noise = config.noise.to_dict()
    assert noise == {
        "sigma_min": 0.05,
        "sigma_max": 1.2,
        "num_levels": 128,
        "spacing": "linear",
        "median": 0.5,
        "log_std": 1.2,
        "sigma0": 0.1,
        "weighting": "inverse_square",
        "sigma_data": 0.25,
    }
    optimizer = config.optimizer.to_dict()
    assert optimizer == {
        "learning_rate": 5e-5,
        "final_learning_rate": 1e-6,
        "schedule": "cosine",
        "warmup_steps": 0,
        "clip_norm": 0.0,
        "beta_1": 0.9,
        "beta_2": 0.95,
        "epsilon": 1e-8,
        "ema_momentum": 0.0,
    }
    assert (config.training.batch_size, config.training.num_steps) == (128, 300_000)
    assert (config.data.split, config.data.flip) == ("train", False)
    sampling = config.sampling
    assert sampling.step_size == 0.02
    steps = (sampling.hot_steps, sampling.cooling_steps, sampling.final_steps)
    assert (sampling.initial_temperature, *steps) == (100.0, 500, 2_000, 200)


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_mnist_recipes_have_the_papers_settings(name):
    config = recipe(name)
    assert (config.network.name, config.network.channels) == ("res12", 64)
    noise = config.noise
    assert (noise.sigma_min, noise.sigma_max, noise.num_levels) == (0.1, 3.0, 128)
    assert noise.spacing == "geometric"
    assert (config.optimizer.learning_rate, config.training.num_steps) == (1e-4, 100_000)
    assert (config.data.image_size, config.data.split) == (32, "train")


def test_celeba_recipe_is_cifar_with_flips():
    celeba, cifar = recipe("celeba"), recipe("cifar")
    assert celeba.data.flip
    for group in ("noise", "network", "optimizer", "training", "sampling"):
        assert celeba[group] == cifar[group]


def test_every_setting_has_a_comment_of_whole_sentences():
    """The comment directly above a setting is its documentation."""
    lines = pathlib.Path(defaults.__file__).read_text().splitlines()
    commented = 0
    for number, line in enumerate(lines):
        if not re.match(r"    \w+\.\w+ = [^_]", line):
            continue
        end = number
        while lines[number - 1].startswith("    # "):
            number -= 1
        comment = " ".join(text.removeprefix("    # ") for text in lines[number:end])
        assert re.match(r"[A-Z\"0-9]|\w+(, \w+)*: ", comment), (line, comment)
        assert comment.endswith((".", ".)")), (line, comment)
        assert "…" not in comment.replace(", …", ""), (line, comment)
        commented += 1
    assert commented == len(flatten(default_config()))


@pytest.mark.parametrize(
    ("notation", "inside", "outside"),
    [
        ("[0, 1)", (0, 0.0, 0.999), (1, -1e-9)),
        ("(0, 1]", (1, 1e-30), (0, 0.0, 1.0001)),
        ("[2, 10]", (2, 10), (1, 11)),
        ("(0, 1e30]", (1e30, 1), (0, 1.1e30)),
        ("[0.001, 100]", (0.001, 100), (0.0009, 100.5)),
        (SEED_RANGE, (0, MAX_SEED), (-1, MAX_SEED + 1)),
    ],
)
def test_intervals(notation, inside, outside):
    interval = Interval(notation)
    assert all(value in interval for value in inside)
    assert not any(value in interval for value in outside)
    assert interval.requirement == f"lie in {notation}"
    assert Interval(notation, "0: never").requirement == f"lie in {notation} (0: never)"


@pytest.mark.parametrize("notation", ["", "0, 1", "[0; 1]", "[a, b]", "[0, 1"])
def test_wrong_notations_of_intervals(notation):
    with pytest.raises(ValueError, match=r"interval|invalid literal"):
        Interval(notation)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data.source", "imagenet"),
        ("data.image_size", 0),
        ("data.channels", 4),
        ("data.held_out_fraction", 1.0),
        ("noise.sigma_min", 0.0),
        ("noise.sigma_min", -0.1),
        ("noise.sigma_min", float("nan")),
        ("noise.sigma_max", float("inf")),
        ("noise.num_levels", 0),
        ("noise.spacing", "cubic"),
        ("noise.weighting", ""),
        ("network.name", "res50"),
        ("network.channels", 0),
        ("optimizer.learning_rate", 0.0),
        ("optimizer.warmup_steps", -1),
        ("training.accumulation_steps", 0),
        ("optimizer.clip_norm", -0.5),
        ("network.unet.patch_size", 0),
        ("network.unet.num_resolutions", 11),
        ("noise.log_std", 0.0),
        ("optimizer.beta_2", 1.0),
        ("optimizer.ema_momentum", 1.0),
        ("training.batch_size", 0),
        ("training.num_steps", 0),
        ("training.log_every", -1),
        ("training.precision", "float16"),
        ("training.strategy", "magic"),
        ("sampling.sampler", "magic"),
        ("sampling.num_samples", 0),
        ("sampling.step_size", 0.0),
        ("sampling.initial_temperature", 0.5),
        ("sampling.sigma_max", -1.0),
        ("sampling.num_levels", 1),
        ("sampling.rho", 0.5),
        ("sampling.churn", -1.0),
        ("sampling.h0", 0.0),
        ("sampling.beta", 1.5),
        ("sampling.max_steps", 0),
        ("sampling.show_every", -1),
        ("seed", -1),
    ],
)
def test_values_out_of_range_are_refused_by_name(field, value):
    config = default_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InvalidArgument) as caught:
        validate(config)
    assert str(caught.value).startswith(f"`config.{field}` must ")
    assert str(caught.value).endswith(f"Received: {value}")


def test_relations_between_fields():
    config = default_config()
    config.noise.sigma_max = 0.05
    with pytest.raises(InvalidArgument, match=r"`config.noise.sigma_max` must exceed"):
        validate(config)
    config.noise.num_levels = 1
    config.sampling.sampler = "annealed_langevin"
    validate(config)
    config.noise.spacing = "log_normal"
    with pytest.raises(InvalidArgument, match=r"`config.noise.median` must lie in \[0.05, 0.05\]"):
        validate(config)
    config.noise.median = 0.05
    validate(config)
    config.data.source = "npz"
    with pytest.raises(InvalidArgument, match=r"`config.data.path` must be given for source npz"):
        validate(config)
    config.data.path = "data.npz"
    config.optimizer.final_learning_rate = 1.0
    with pytest.raises(InvalidArgument, match=r"`config.optimizer.final_learning_rate` must not"):
        validate(config)


@pytest.mark.parametrize("sampler", ["heun", "ancestral", "coarse_to_fine"])
def test_denoiser_based_samplers_need_a_denoiser_and_a_range_of_noise(sampler):
    config = default_config()
    config.sampling.sampler = sampler
    validate(config)
    config.sampling.sigma_min = 2.0
    with pytest.raises(InvalidArgument, match=r"`config.sampling.sigma_max` must exceed .*2\.0"):
        validate(config)
    config.sampling.sigma_max = 3.0
    validate(config)
    config.noise.weighting = "score"
    with pytest.raises(InvalidArgument, match=r"`config.sampling.sampler` must be annealed_lang"):
        validate(config)


def test_a_recipe_cannot_add_or_lose_fields():
    config = default_config()
    with config.unlocked():
        config.noise.sigma_typo = 1.0
    with pytest.raises(InvalidArgument, match=r"`config.noise.sigma_typo` must be a known"):
        validate(config)
    with config.unlocked():
        del config.noise.sigma_typo, config.noise.sigma_min
    with pytest.raises(InvalidArgument, match=r"`config.noise.sigma_min` must be present"):
        validate(config)


def test_saved_configurations_are_read_back(tmp_path):
    config = recipe("digits")
    save_config(config, str(tmp_path / "config.json"))
    assert load_config(str(tmp_path / "config.json")) == config
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"noise": 3}', '{"nose": {}}', "{", "null"])
def test_other_files_are_refused_as_config_json(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InvalidArgument, match=r"`--workdir` must hold a valid config.json"):
        load_config(str(tmp_path / "config.json"))


def test_a_resumed_run_keeps_its_settings():
    saved, config = default_config(), default_config()
    config.training.log_every = 7
    config.sampling.num_samples = 5
    check_same_run(config, saved)
    config.noise.sigma0 = 0.2
    with pytest.raises(InvalidArgument, match=r"`config.noise.sigma0` must stay 0.1"):
        check_same_run(config, saved)


def test_only_a_constant_learning_rate_allows_more_steps():
    saved, config = default_config(), default_config()
    config.training.num_steps += 1
    with pytest.raises(InvalidArgument, match=r"`config.training.num_steps` must stay"):
        check_same_run(config, saved)
    config.optimizer.schedule = saved.optimizer.schedule = "constant"
    check_same_run(config, saved)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "`--config` must name a recipe"),
        (["--config=configs/none.py"], "`--config` must name an existing recipe"),
        (["--config=configs/digits.py", "--mode=dream"], "`--mode` must be one of train, sample"),
        (["--config=configs/digits.py", "--config.noise.sigma_mn=1"], "did you mean sigma_min?"),
        (["--config=configs/digits.py", "--config.noise.num_levels=x"], "must be an integer"),
        (["--config=configs/digits.py", "--config.noise.num_levels=1.5"], "must be an integer"),
        (["--config=configs/digits.py", "--config.noise.sigma_min=x"], "must be a number"),
        (["--config=configs/digits.py", "--config.data.flip=maybe"], "must be true or false"),
        (["--config=configs/digits.py", "--config.noise.sigma_min=nan"], "a finite number"),
        (["--config=configs/digits.py", "--config.noise=1"], "config.noise"),
        (["--config=configs/digits.py", "--config.seed"], "config.seed"),
        (["--config=configs/digits.py", "--wrkdir=x"], "wrkdir"),
        (["--config=configs/digits.py", "something"], "must hold flags only"),
        (["--config=setup.txt"], "`--config` must name an existing recipe"),
        (["--config=configs/digits.py", "--noconfig.data.flop"], "did you mean flip?"),
        (["--mode=sample", "--workdir=/nowhere/at/all"], "hold a run's config.json"),
        (["--config"], "Missing value for flag"),
        (["--config=configs/digits.py", "--mode="], "`--mode` must be one of"),
        (["--config="], "`--config` must name an existing recipe"),
        (["--config=README.md"], "`--config` must be a recipe"),
        (["--config=configs/digits.py:x"], "`--config` must be a recipe"),
        (["--config=configs/digits.py", "--flagfile=/none"], "Unable to open flagfile"),
        (["--config=configs/digits.py", "--verbosity=x"], "--verbosity=x"),
        (
            [
                "--config=configs/digits.py",
                "--config.noise.sigma_min=1",
                "--config.noise.sigma_mn=1",
            ],
            "`config.noise.sigma_mn` must be a known setting",
        ),
    ],
)
def test_wrong_calls_end_with_one_line(arguments, message, tmp_path):
    folder = [] if arguments in ([], ["--config"]) else [f"--workdir={tmp_path}/run"]
    result = call(*folder, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"training.batch_size": 2_000}, "`config.training.batch_size` must not exceed"),
        ({"data.image_size": 12}, "`config.data.image_size` must be divisible by 8"),
        ({"data.source": "idx", "data.path": "/nowhere"}, "`config.data.path` must be a folder"),
        ({"data.channels": 2}, "`config.data.channels` must be 1"),
    ],
)
def test_wrong_data_are_refused(fields, message, tmp_path):
    config = small_config(**{name.replace(".", "__"): value for name, value in fields.items()})
    with pytest.raises(InvalidArgument, match=re.escape(message)):
        train(validate(config), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_wrong_data_end_with_one_line(tmp_path):
    result = call(*flags(training__batch_size=2_000), f"--workdir={tmp_path}/run")
    assert result.returncode == 2
    assert "`config.training.batch_size` must not exceed" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_broken_recipe_is_refused(tmp_path):
    for text in ("def get_config(:", "def get_config():\n  raise RuntimeError('no')\n", "x = 1\n"):
        (tmp_path / "recipe.py").write_text(text)
        result = call(f"--config={tmp_path}/recipe.py", f"--workdir={tmp_path}/run")
        assert result.returncode == 2, text
        assert len(result.stderr.splitlines()) == 1, result.stderr
        assert not (tmp_path / "run").exists()


def test_help():
    result = call("--help")
    assert result.returncode == 0
    assert "--mode=MODE" in result.stdout


def test_choices_are_those_of_the_code():
    from tf_mdsm import noise
    from tf_mdsm.config import ranges
    from tf_mdsm.runs import evaluation_context
    from tf_mdsm.runs.build_sampler import BUILDERS

    assert CHOICES["noise.spacing"] == tuple(noise._SPACINGS)
    assert CHOICES["noise.weighting"] == tuple(noise._WEIGHTINGS)
    assert CHOICES["sampling.sampler"] == tuple(BUILDERS)
    assert tuple(evaluation_context._FIELDS) == ranges._PARTS


def test_verbosity_shows_the_traceback(tmp_path):
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "config.json").write_text(json.dumps(default_config().to_dict()))
    arguments = ["--mode=sample", f"--workdir={workdir}", "--config.network.channels=2"]
    for verbosity in (0, 1):
        result = call(*arguments, f"--verbosity={verbosity}")
        assert result.returncode == 2
        assert "must hold a checkpoint" in result.stderr
        assert ("Traceback" in result.stderr) == bool(verbosity)
