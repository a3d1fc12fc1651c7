"""Rules between settings, unknown and missing settings, and what a resumed run may change."""

import pytest
from ml_collections import ConfigDict

from tf_mdsm.config import default_config
from tf_mdsm.config.rules import CHANGEABLE, check_same_run, final_sigma, flatten, validate
from tf_mdsm.errors import InvalidArgument

DENOISER_FIRST = {
    "network.name": "unet",
    "network.head": "distance",
    "training.denoiser_steps": 9,
}
PATCHES = {
    "data.source": "folder",
    "data.path": "photographs",
    "data.patches": True,
    "network.name": "unet",
    "network.head": "distance",
}
LANGEVIN = {"sampling.sampler": "annealed_langevin"}

# Settings that are allowed, a change after which they do not fit together, and the refusal.
RELATIONS = [
    (
        PATCHES,
        {"data.source": "idx"},
        "`config.data.source` must be one of folder, npz, photographs for",
    ),
    ({}, {"data.patches": True}, "`config.data.source` must be one of folder, npz"),
    (
        PATCHES | {"data.source": "photographs"},
        {"data.patches": False},
        "`config.data.patches` must be true for source photographs",
    ),
    (
        PATCHES,
        {"data.crop": 5},
        "`config.data.crop` must be 0 for config.data.patches",
    ),
    ({}, {"noise.sigma_max": 0.05}, r"`config.noise.sigma_max` must exceed .* \(0\.05\)"),
    ({}, {"noise.num_levels": 1}, "`config.noise.num_levels` must exceed 1 unless"),
    (
        {"noise.spacing": "log_normal", "noise.median": 1.2},
        {"noise.median": 1.3},
        r"`config.noise.median` must lie in \[0\.05, 1\.2\]",
    ),
    (
        {"noise.num_levels": 1, "noise.sigma_max": 0.05} | LANGEVIN,
        {"noise.sigma_max": 0.06},
        "`config.noise.num_levels` must exceed 1 unless",
    ),
    (
        {"network.name": "unet", "network.head": "distance"},
        {"network.name": "res12"},
        "`config.network.head` must be one of quadratic, linear for network res12",
    ),
    (
        PATCHES,
        {"network.name": "res12", "network.head": "quadratic"},
        "`config.network.name` must be unet for data.patches",
    ),
    (
        PATCHES,
        {"network.unet.attention_size": 4},
        "`config.network.unet.attention_size` must be 0 for data.patches",
    ),
    (
        PATCHES | {"sampling.image_size": 48, "sampling.start": "isotropic"},
        {"sampling.start": "gaussian"},
        r"`config.sampling.start` must be isotropic, smooth or images for another size .* \(32\)",
    ),
    (
        PATCHES | {"sampling.image_size": 48, "sampling.start": "isotropic"},
        {"data.patches": False},
        "`config.sampling.image_size` must be 0 or 32",
    ),
    ({}, {"sampling.image_size": 48}, "`config.sampling.image_size` must be 0 or 32"),
    (
        PATCHES | {"restoration.images": "photos", "restoration.task": "deblur"},
        {"restoration.task": "all"},
        "`config.restoration.task` must name another task for photographs",
    ),
    (
        PATCHES | {"restoration.images": "photos.npz", "restoration.start": "gaussian"},
        {"restoration.images": "photos"},
        "`config.restoration.start` must be isotropic or smooth for photographs",
    ),
    (
        {"optimizer.final_learning_rate": 5e-5},
        {"optimizer.final_learning_rate": 6e-5},
        "`config.optimizer.final_learning_rate` must not exceed",
    ),
    (
        {"optimizer.schedule": "constant", "optimizer.final_learning_rate": 6e-5},
        {"optimizer.schedule": "cosine"},
        "`config.optimizer.final_learning_rate` must not exceed",
    ),
    (
        {"sampling.start": "images", "sampling.start_images": "x.npz"},
        {"sampling.start_images": ""},
        "`config.sampling.start_images` must name a file",
    ),
    (
        {"sampling.hot_steps": 0, "sampling.cooling_steps": 0, "sampling.final_steps": 1}
        | LANGEVIN,
        {"sampling.final_steps": 0},
        "`config.sampling.hot_steps` must leave the sampler at least one step",
    ),
    (
        {"restoration.task": "inpaint_mask", "restoration.mask": "x.png"},
        {"restoration.mask": ""},
        "`config.restoration.mask` must name a file",
    ),
    (
        {"training.evaluate_every": 1},
        {"evaluation.features": "none"},
        "`config.evaluation.features` must name features, not none",
    ),
    (
        {"likelihood.sigma_min": 1.1},
        {"likelihood.sigma_min": 1.2},
        r"`config.likelihood.sigma_min` must lie below .* \(1\.2\)",
    ),
    ({"guidance": 2.0}, {"export.format": "torch"}, "`config.guidance` must be 1 for"),
    (
        {"sampling.guide_sigma_max": 1.0},
        {"sampling.guide_sigma_min": 2.0},
        r"`config.sampling.guide_sigma_min` must not exceed .*guide_sigma_max \(1.0\)",
    ),
    (
        {"guidance": 2.0, "sampling.guide_sigma_max": 1.0, "sampling.guide_sigma_min": 0.5},
        {"sampling.guide_sigma_max": 0.0},
        "`config.sampling.guide_sigma_min` must be 0 without config.sampling.guide_sigma_max",
    ),
    (
        {"sampling.guide_sigma_max": 1.0, "sampling.sampler": "coarse_to_fine"},
        {"guidance": 2.0},
        "`config.sampling.guide_sigma_max` must be 0 for coarse_to_fine",
    ),
    (
        DENOISER_FIRST,
        {"network.head": "two_guesses"},
        "`config.training.denoiser_steps` must be 0 for other heads than distance or product",
    ),
    (
        DENOISER_FIRST | LANGEVIN,
        {"noise.weighting": "score"},
        "`config.training.denoiser_steps` must be 0, as",
    ),
    (
        DENOISER_FIRST | {"training.num_steps": 10},
        {"training.num_steps": 9},
        r"`config.training.denoiser_steps` must be less than config.training.num_steps \(9\)",
    ),
    (
        {"noise.weighting": "score"} | LANGEVIN,
        {"sampling.sampler": "hmc"},
        "`config.sampling.sampler` must be annealed_langevin",
    ),
    *(
        (
            {f"{group}.source": source, f"{group}.path": "x"},
            {f"{group}.path": ""},
            f"`config.{group}.path` must be given for source {source}",
        )
        for group in ("data", "evaluation.foreign")
        for source in ("idx", "npz", "folder")
    ),
]


@pytest.mark.parametrize(
    ("allowed", "change", "message"), RELATIONS, ids=[f"{c}" for _, c, _ in RELATIONS]
)
def test_settings_that_do_not_fit_together(allowed, change, message):
    config = default_config()
    config.update_from_flattened_dict(allowed)
    validate(config)
    config.update_from_flattened_dict(change)
    with pytest.raises(InvalidArgument, match=message):
        validate(config)


@pytest.mark.parametrize(
    ("field", "value", "requirement"),
    [
        ("seed", True, "be an integer"),
        ("seed", 1.0, "be an integer"),
        ("data.flip", 1, "be true or false"),
        ("data.path", 1, "be text"),
        ("noise.sigma_min", True, "be a finite number"),
        ("noise.sigma_min", "1", "be a finite number"),
    ],
)
def test_values_of_another_type(field, value, requirement):
    config = default_config()
    group, _, name = field.rpartition(".")
    (config[group] if group else config)._fields[name] = value
    with pytest.raises(InvalidArgument) as caught:
        validate(config)
    assert str(caught.value) == f"`config.{field}` must {requirement}. Received: {value}"


def test_an_integer_is_a_number():
    config = default_config()
    config.noise._fields["sigma_max"] = 2
    assert validate(config) is config


def test_flat_names():
    config = ConfigDict({"seed": 1, "network": {"channels": 2, "unet": {"patch_size": 3}}})
    flat = {"seed": 1, "network.channels": 2, "network.unet.patch_size": 3}
    assert flatten(config) == flat


@pytest.mark.parametrize(
    ("sampler", "given", "sigma"),
    [
        ("ancestral", 0.0, 0.05),
        ("heun", 0.0, 0.005),
        ("multistep", 0.0, 0.025),
        ("heun", 0.3, 0.3),
        ("hmc", 0.3, 0.3),
    ],
)
def test_the_level_where_sampling_ends(sampler, given, sigma):
    """The smallest trained level 0.05, a tenth or half of it for some, or the setting."""
    config = default_config()
    config.sampling.sampler, config.sampling.sigma_min = sampler, given
    assert final_sigma(config) == sigma


@pytest.mark.parametrize(
    "sampler", ["heun", "multistep", "ancestral", "coarse_to_fine", "mala", "hmc"]
)
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


@pytest.mark.parametrize(
    ("group", "field", "value", "message"),
    [
        ("restoration", "task", "denoise", "`config.restoration.task` must not be denoise"),
        ("evaluation", "parts", "energies,denoising", "`config.evaluation.parts` must not name"),
    ],
)
def test_what_denoises_is_refused_where_nothing_trains_a_denoiser(group, field, value, message):
    config = default_config()
    config[group][field] = value
    validate(config)
    config.noise.weighting = "score"
    config.sampling.sampler = "annealed_langevin"
    with pytest.raises(InvalidArgument, match=message):
        validate(config)
    config[group][field] = "all"
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


@pytest.mark.parametrize(
    ("field", "value", "is_changeable"),
    [
        ("training.log_every", 7, True),
        ("sampling.num_samples", 5, True),
        ("evaluation.foreign.image_size", 8, True),
        ("data.path", "elsewhere", True),
        ("checkpoint", "best", True),
        ("noise.sigma0", 0.2, False),
        ("data.source", "digits", False),
        ("network.unet.patch_size", 2, False),
        ("training.batch_size", 64, False),
        ("seed", 1, False),
    ],
)
def test_a_resumed_run_keeps_what_is_trained(field, value, is_changeable):
    saved, config = default_config(), default_config()
    config.update_from_flattened_dict({field: value})
    if is_changeable:
        check_same_run(config, saved)
    else:
        expected = rf"`config.{field}` must stay {flatten(saved)[field]!r}.*Received: {value!r}"
        with pytest.raises(InvalidArgument, match=expected):
            check_same_run(config, saved)


def test_what_may_change_is_a_setting_or_a_group():
    fields = flatten(default_config())
    for name in CHANGEABLE:
        assert name in fields or (name.endswith(".") and any(f.startswith(name) for f in fields))


def test_only_a_constant_learning_rate_allows_more_steps():
    saved, config = default_config(), default_config()
    config.training.num_steps += 1
    with pytest.raises(InvalidArgument, match=r"`config.training.num_steps` must stay"):
        check_same_run(config, saved)
    config.optimizer.schedule = saved.optimizer.schedule = "constant"
    check_same_run(config, saved)
