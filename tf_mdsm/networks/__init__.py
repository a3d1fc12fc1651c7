"""Energy networks in Keras 3: ResNet, U-Net, dense network, their heads, the authors' weights."""

from tf_mdsm.public_names import import_when_used

__getattr__, __dir__, __all__ = import_when_used(
    __name__,
    {
        "architectures": [
            "DENOISER_HEADS",
            "FEATURE_HEADS",
            "NETWORKS",
            "UNetStructure",
            "heads_of",
        ],
        "build": ["build_network"],
        "heads": ["DistanceHead", "LinearHead", "ProductHead", "QuadraticHead", "TwoGuessesHead"],
        "layers": ["NoiseScaling", "SiLU"],
    },
)
