"""Recipes: all are valid and say how to run them; those of the paper have its settings."""

import pytest

from tests.helpers.recipes import RECIPES, recipe
from tf_mdsm.config.file import load_recipe
from tf_mdsm.config.rules import validate


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_valid_and_says_how_to_run_it(path):
    config = load_recipe(str(path))
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
