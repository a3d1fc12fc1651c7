"""What all references share: rejection outside the domain, and too little mass inside."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.evaluation.likelihood.reference import Reference, require_mass


class Uniform(Reference):
    """Uniform on [0, 2]^2, of which a quarter lies in [0, 1]^2. Draw n of a seed is known."""

    def __init__(self, domain: Domain):
        super().__init__(self, (1, 2, 1), 1.0, domain)

    def noisy_images(self, seeds, image_shape, draw=0):
        generator = [
            np.random.default_rng([int(seed), int(draw)]).uniform(0, 2, image_shape)
            for seed in np.asarray(seeds)
        ]
        return tf.constant(np.stack(generator), tf.float32)

    def energy_and_score(self, images):
        return tf.fill([tf.shape(images)[0]], np.float32(np.log(4))), tf.zeros_like(images)


def test_the_mass_is_the_share_of_draws_inside():
    log_mass = Uniform(Domain(0.0)).log_mass
    assert log_mass.low < np.log(0.25) < log_mass.high
    # The relative error of a share p of n draws is sqrt((1 - p) / (p n)).
    assert log_mass.error == pytest.approx((0.75 / 0.25 / 16_384) ** 0.5, rel=0.05)


def test_each_seed_keeps_the_first_of_its_draws_inside():
    samples = Uniform(Domain(0.0)).sample(tf.constant([3, 5, 8], tf.int64)).numpy()
    for seed, sample in zip((3, 5, 8), samples, strict=True):
        draws = (np.random.default_rng([seed, n]).uniform(0, 2, (1, 2, 1)) for n in range(100))
        first = next(draw for draw in draws if (draw <= 1).all())
        np.testing.assert_allclose(sample, first, rtol=1e-6)


def test_a_domain_with_hardly_any_mass_is_refused():
    require_mass(0.01)
    with pytest.raises(InvalidArgument, match=r"`domain_margin` must be so wide .* 0\.99 % inside"):
        require_mass(0.0099)
