"""The ablation's variants: what each changes of a recipe, and why it is tried."""

import dataclasses

__all__ = ["SAMPLERS", "VARIANTS", "Variant"]

Overrides = dict[str, object]


@dataclasses.dataclass(frozen=True)
class Variant:
    """A recipe with other settings.

    Attributes:
        overrides: fields of the configuration to their other values.
        reason: what the variant shows.
    """

    overrides: Overrides
    reason: str


# Training choices that are not the paper's: twice the learning rate, warm-up, clipped gradients.
TRAINING: Overrides = {
    "optimizer.learning_rate": 2e-3,
    "optimizer.warmup_steps": 200,
    "optimizer.clip_norm": 500.0,
}

# An energy that is the squared distance to a U-Net's guess of the clean image.
UNET: Overrides = {
    "network.name": "unet",
    "network.head": "distance",
    "network.channels": 24,
    "network.unet.patch_size": 2,
    "network.unet.num_resolutions": 3,
    "network.unet.scale_input": True,
    **TRAINING,
    "optimizer.learning_rate": 3e-3,
}

# What configs/fashion_mnist_unet.py has, and configs/digits.py with whole pixels.
RECOMMENDED: Overrides = UNET | {
    "noise.weighting": "edm",
    "optimizer.learning_rate": 2e-3,
    # This weighting's losses and gradients are about four times as large.
    "optimizer.clip_norm": 2_000.0,
}

VARIANTS: dict[str, Variant] = {
    "resnet": Variant(
        {},
        "The recipe itself: the paper's ResNet with the paper's training choices.",
    ),
    "resnet_choices": Variant(
        TRAINING,
        "What the training choices gain without another network.",
    ),
    "unet": Variant(
        UNET,
        "The U-Net with the paper's weighting; most variants below change one thing of it.",
    ),
    "unet_recommended": Variant(
        RECOMMENDED,
        "configs/fashion_mnist_unet.py: EDM's weighting, with learning rate and clipping for it.",
    ),
    "unet_recommended_whole_pixels": Variant(
        RECOMMENDED | {"network.unet.patch_size": 1},
        "configs/digits.py: the same on whole pixels, as the images are small.",
    ),
    "unet_plain": Variant(
        {"network.name": "unet", "network.head": "distance", "network.channels": 16},
        "What the U-Net alone gains: no patches, no scaled input, the paper's training choices.",
    ),
    "unet_input_as_it_is": Variant(
        UNET | {"network.unet.scale_input": False},
        "What scaling the input by its estimated noise gains.",
    ),
    "unet_small_rate": Variant(
        UNET | {"optimizer.learning_rate": 1e-3},
        "What the larger learning rate gains.",
    ),
    "unet_whole_pixels": Variant(
        UNET
        | {
            "network.channels": 16,
            "network.unet.patch_size": 1,
            "network.unet.num_resolutions": 4,
        },
        "Whole pixels instead of patches of 2x2, with fewer channels and more resolutions.",
    ),
    "unet_patches_of_4": Variant(
        UNET
        | {
            "network.channels": 48,
            "network.unet.patch_size": 4,
            "network.unet.num_resolutions": 2,
        },
        "Patches of 4x4 instead of 2x2, with more channels and fewer resolutions.",
    ),
    "unet_two_blocks": Variant(
        UNET | {"network.unet.num_blocks": 2},
        "A deeper network: two blocks at each resolution.",
    ),
    "unet_attention": Variant(
        UNET | {"network.unet.attention_size": 8},
        "Attention at 8x8 and below.",
    ),
    "unet_product": Variant(
        UNET | {"network.head": "product"},
        "Another energy: x . (x - f(x)) in place of |x - f(x)|^2.",
    ),
    "unet_two_guesses": Variant(
        UNET | {"network.head": "two_guesses"},
        "Another energy, without a lower bound: (x - f(x)) . (x - g(x)).",
    ),
    "unet_log_normal": Variant(
        UNET | {"noise.spacing": "log_normal"},
        "Noise levels at the quantiles of a log-normal distribution, as EDM samples them.",
    ),
    "unet_edm_weighting": Variant(
        UNET | {"noise.weighting": "edm"},
        "What EDM's weighting gains, with nothing else changed.",
    ),
    "unet_edm_two_guesses": Variant(
        UNET | {"noise.weighting": "edm", "network.head": "two_guesses"},
        "EDM's weighting and the energy of two guesses together.",
    ),
    "resnet_edm_weighting": Variant(
        TRAINING | {"noise.weighting": "edm"},
        "What EDM's weighting gains for the paper's ResNet.",
    ),
    "unet_batch_32": Variant(
        UNET | {"training.batch_size": 32},
        "More steps with smaller batches.",
    ),
    "unet_batch_128": Variant(
        UNET | {"training.batch_size": 128},
        "Fewer steps with larger batches.",
    ),
    "unet_no_average": Variant(
        UNET | {"optimizer.ema_momentum": 0.0},
        "What averaging the weights gains.",
    ),
}

# Samplers that generate from every trained variant, from the training images' Gaussian if they name
# no other start. None takes more than 35 gradient evaluations an image.
SAMPLERS: dict[str, Overrides] = {
    "two-step method, 6 levels, mixture start": {
        "sampler": "multistep",
        "num_levels": 6,
        "rho": 3.0,
        "start": "mixture",
    },
    **{f"Heun, {n} levels": {"sampler": "heun", "num_levels": n} for n in (5, 9, 18)},
    "ancestral Euler, 35 levels": {"sampler": "ancestral", "num_levels": 35},
    "coarse-to-fine, β = 1": {
        "sampler": "coarse_to_fine",
        "beta": 1.0,
        "h0": 0.01,
        "max_steps": 34,
    },
}
