"""The ablation's variants: valid recipes that differ, among them the recommended ones."""

import pytest

from benchmarks.quality.ablation_variants import VARIANTS
from benchmarks.recipes import load_recipe
from tests.helpers.small_runs import ROOT
from tf_mdsm.config.overrides import with_overrides


@pytest.mark.parametrize("recipe", ["fashion_mnist_small", "digits_resnet"])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_a_valid_recipe_that_differs(recipe, name):
    base = load_recipe(f"{ROOT}/configs/{recipe}.py")
    overrides = VARIANTS[name].overrides
    assert (with_overrides(base, overrides).to_dict() == base.to_dict()) == (name == "resnet")
    others = [variant.overrides for other, variant in VARIANTS.items() if other != name]
    assert overrides not in others
    assert VARIANTS[name].reason.endswith(".")


@pytest.mark.parametrize(
    ("base", "variant", "recipe"),
    [
        ("fashion_mnist_small", "unet_recommended", "fashion_mnist_unet"),
        ("digits_resnet", "unet_recommended_whole_pixels", "digits"),
    ],
)
def test_recipes_are_the_recommended_variants(base, variant, recipe):
    """But for the length of the training, its guide, and sampling."""
    base, recipe = (load_recipe(f"{ROOT}/configs/{name}.py") for name in (base, recipe))
    fields = ("training.num_steps", "training.guide_step")
    course = {field: recipe[field.split(".")[0]][field.split(".")[1]] for field in fields}
    overrides = VARIANTS[variant].overrides | course | {"guidance": recipe.guidance}
    trained = with_overrides(base, overrides)
    trained.sampling = recipe.sampling
    assert trained.to_dict() == recipe.to_dict()
