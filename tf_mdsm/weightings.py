"""Names of the weightings of the loss, and what they train. Plain Python, for the settings too."""

__all__ = ["WEIGHTINGS", "trains_denoiser"]

# The weightings that `losses.loss_weights` and `losses.kernel_variances` define.
WEIGHTINGS = ("inverse_square", "constant", "score", "edm")


def trains_denoiser(weighting: str) -> bool:
    """Whether D(x) = x - sigma0^2 dE/dx is a blind denoiser, after training with a weighting.

    With "score" it is not: -dE/dx is the score of a mixture of all noise levels, and sigma0^2 is
    the variance of none of them (see `NoiseLevels`). All that uses D asks this function.
    """
    return weighting != "score"
