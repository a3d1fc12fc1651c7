"""Settings of what is measured of a trained energy: a part of `config`."""

from ml_collections import ConfigDict

__all__ = ["likelihood_defaults"]


def likelihood_defaults() -> ConfigDict:
    """`config.likelihood`: log Z between bounds, by annealed importance sampling."""
    settings = ConfigDict()
    # Where annealing begins: "gaussian" has mean and covariance of the training images plus noise
    # of `reference_sigma` (0: noise.sigma0 times the temperature's root); "isotropic" is
    # 0.5 + reference_sigma N(0, I) (0: 1).
    settings.reference = "gaussian"
    settings.reference_sigma = 0.0
    # T of the density exp(-E / T) / Z that is measured.
    settings.temperature = 1.0
    # Chains from the reference to the energy, and as many back; at a time.
    settings.num_chains = 64
    settings.batch_size = 64
    # Intervals of inverse temperature from 0 to 1: the more, the narrower the bracket.
    settings.num_temperatures = 400
    # Hamiltonian moves in each interval, and leapfrog steps of each.
    settings.moves = 1
    settings.leapfrog_steps = 5
    # Share of moves to be accepted. Chains of the pilot adapt step sizes to it at some inverse
    # temperatures, by rounds of moves, and find where intervals have to be short. They carry
    # no weight; what they found is then kept.
    settings.acceptance = 0.8
    settings.pilot_chains = 32
    settings.pilot_temperatures = 24
    settings.pilot_rounds = 8
    # Rounds of moves at the end of the chains up, before their like go down: the upper bound holds
    # as far as they have become samples of the model.
    settings.rest_rounds = 50
    # Images of the training and of the held-out part whose likelihood is told (at most).
    settings.num_images = 1_000
    # Chain n follows from seed `seed + n`.
    settings.seed = 0
    # A value is presented only if its bracket, with margins, is no wider than this, in bits/dim …
    settings.tolerance = 0.1
    # … and the weights of the chains up, and down, are worth so many equal ones.
    settings.min_effective = 5.0
    return settings
