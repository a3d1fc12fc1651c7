"""Allowed values of each setting by itself: bounds, choices, and a range for every number."""

import collections

import pytest

from tests.helpers.wrong_calls import CHECKED, DEFAULTS, WRONG_VALUES, is_free_text
from tf_mdsm.config import default_config
from tf_mdsm.config.ranges import CHOICES, INTERVALS, PATHS, Interval, unmet_requirement
from tf_mdsm.config.rules import flatten, validate
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.seeds import MAX_SEED, SEED_RANGE


def refusal(field: str, value: object) -> str:
    """Validates the defaults with another value, and returns the error's message."""
    config = default_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InvalidArgument) as caught:
        validate(config)
    return str(caught.value)


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
def test_values_just_out_of_range_are_refused_by_name(field, value):
    message = refusal(field, value)
    assert message.startswith(f"`config.{field}` must ")
    assert message.endswith(f"Received: {value}")


@pytest.mark.parametrize("field", [field for field in DEFAULTS if not is_free_text(field)])
def test_values_far_out_of_range_are_refused_by_name(field):
    for value in WRONG_VALUES[type(DEFAULTS[field])]:
        message = refusal(field, value)
        assert message.startswith(f"`config.{field}` must "), message[:80]
        assert message.endswith(f"Received: {value}"), message[:80]


def test_every_default_is_allowed():
    for field, value in DEFAULTS.items():
        assert unmet_requirement(field, value) is None


def test_none_is_no_name_of_a_file():
    """The command line has no word for nothing but an empty one."""
    for field in ("data.data_dir", "data.path", "data.cache", "restoration.mask"):
        assert unmet_requirement(field, "None") == "be left empty where nothing is meant"
        assert unmet_requirement(field, "") is None
    assert unmet_requirement("sampling.extra_files", "none") is None


@pytest.mark.parametrize("parts", ["quality,denoising", "all"])
def test_parts_of_an_evaluation(parts):
    assert unmet_requirement("evaluation.parts", parts) is None
    assert unmet_requirement("evaluation.parts", f"{parts},nothing").startswith(
        "be all, or some of"
    )


def test_choices_are_those_of_the_code():
    from tf_mdsm import noise
    from tf_mdsm.config import ranges
    from tf_mdsm.runs import evaluation_context
    from tf_mdsm.runs.build_method import BUILDERS

    assert CHOICES["noise.spacing"] == tuple(noise._SPACINGS)
    assert CHOICES["sampling.sampler"] == tuple(BUILDERS)
    assert tuple(evaluation_context._FIELDS) == ranges._PARTS


def test_every_number_has_a_range():
    """Without a range, a setting would accept a number that overflows later."""
    numbers = {field for field, value in DEFAULTS.items() if type(value) in (int, float)}
    counts = collections.Counter(type(DEFAULTS[field]) for field in numbers)
    assert numbers == INTERVALS.keys() | {"data.channels"}
    assert counts[int] > 50
    assert counts[float] > 30


def test_every_check_is_of_a_setting():
    assert set(DEFAULTS) >= CHECKED
    assert not CHOICES.keys() & INTERVALS.keys()


@pytest.mark.parametrize("sizes", ["1", "1,16", "64,1,3", "65536"])
def test_batch_sizes_of_an_export(sizes):
    assert unmet_requirement("export.batch_sizes", sizes) is None


@pytest.mark.parametrize("sizes", ["", "0", "1,", "1,1", "1 2", "-1", "1.5", "65537", "x", "²"])
def test_wrong_batch_sizes_of_an_export(sizes):
    assert "different integers" in str(unmet_requirement("export.batch_sizes", sizes))


def test_every_path_is_checked_and_every_setting_of_a_path_is_known():
    """`data.data_dir` is opened by TensorFlow Datasets alone, which reads buckets."""
    for field in PATHS:
        assert "address" in str(unmet_requirement(field, "gs://bucket/x"))
        assert unmet_requirement(field, "") is None
        assert unmet_requirement(field, "/a/[b] c") is None
    words = ("path", "cache", "images", "mask", "statistics", "dir")
    named = {
        field
        for field, value in flatten(default_config()).items()
        if value == "" and field.rsplit(".", 1)[1].endswith(words)
    }
    assert named == {*PATHS, "data.data_dir"}
