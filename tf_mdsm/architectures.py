"""The networks by name, as what can be said of them without Keras."""

__all__ = ["HEADS", "NETWORKS", "STAGES"]

# Residual blocks of each stage after the one that halves the image and doubles the channels.
STAGES = {
    "res6": (0, 0, 0),
    "res12": (1, 1, 1),
    "res18": (2, 2, 2),
    "res34": (2, 3, 5, 2),
}
NETWORKS = (*STAGES, "dense")
HEADS = ("quadratic", "linear")
