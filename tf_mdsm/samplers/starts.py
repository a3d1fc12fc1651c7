"""Starting points of sampling: values that make noisy images from seeds."""

import dataclasses
import threading
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.conditioning import NOTHING_KNOWN, KnownData
from tf_mdsm.samplers.smoothest import smoothest_images
from tf_mdsm.samplers.values import Value, float_array, number, pixel_array

__all__ = [
    "GaussianStart",
    "ImagesStart",
    "IsotropicStart",
    "MixtureStart",
    "SmoothStart",
    "Start",
]


class Start(Protocol):
    """Where sampling starts: a noisy image for each seed, whatever the other seeds are.

    If it reads variables, it has a property `variables`, a list of them, as `GaussianStart`. An
    exported model keeps them among its weights.
    """

    def noisy_images(self, seeds: tf.Tensor, image_shape: tuple[int, ...]) -> tf.Tensor:
        """Images, float32 [B, H, W, C], for seeds, int64 [B], each >= 0.

        Raises:
            InvalidArgument: if it cannot make images of this height, width and channels.
        """
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class IsotropicStart(Value):
    """Starts at Gaussian noise around gray, 0.5 + sigma N(0, I); the paper's start is sigma = 1.

    Attributes:
        sigma: standard deviation, in pixel units.

    Raises:
        InvalidArgument: for a sigma below 0.
    """

    sigma: float = 1.0

    def __post_init__(self) -> None:
        self._set(sigma=_checked_sigma(self.sigma))

    def noisy_images(self, seeds: tf.Tensor, image_shape: tuple[int, ...]) -> tf.Tensor:
        """Images of the start, as in `Start.noisy_images`."""
        return 0.5 + self.sigma * randomness.normal(seeds, (0, 0), "start", image_shape)


@dataclasses.dataclass(frozen=True, eq=False)
class SmoothStart(IsotropicStart):
    """Starts at the smoothest images that agree with known data, plus noise of level sigma.

    If nothing is known, it is the isotropic start.

    A start around gray is right only where sigma hides the gray. But the mean of n pixels under
    noise of level sigma has an error of sigma / sqrt(n) only. For 32 x 32 missing pixels and
    sigma = 0.6 that is 0.02: the denoiser sees the gray, takes it for a part of the image, and
    keeps it.
    """

    def noisy_images(
        self, seeds: tf.Tensor, image_shape: tuple[int, ...], known: KnownData = NOTHING_KNOWN
    ) -> tf.Tensor:
        """Images of the start, as in `Start.noisy_images`, around those that agree with `known`."""
        noise = randomness.normal(seeds, (0, 0), "start", image_shape)
        return smoothest_images(known, tf.fill(tf.shape(noise), 0.5)) + self.sigma * noise


class _StartFromArrays(Value):
    """A start that reads arrays; in an exported model they are among the weights."""

    # Functions that are compiled do not keep alive the variables that they read: these are made
    # once for each start, also if several threads compile at a time.
    _lock = threading.Lock()
    _made: list[tf.Variable] | None = None

    @property
    def variables(self) -> list[tf.Variable]:
        """The arrays that `noisy_images` reads. Constants would be copied into each graph."""
        with self._lock, tf.init_scope():
            made = self._made
            if made is None:
                arrays: dict[str, Any] = self._arrays()
                made = [
                    tf.Variable(array, trainable=False, dtype=tf.float32, name=name)
                    for name, array in arrays.items()
                ]
                self._set(_made=made)
            return made

    def _arrays(self) -> dict[str, np.ndarray]:
        """What `variables` hold, by their names."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianStart(_StartFromArrays):
    """Starts at N(mean, C + sigma^2 I), the training images' Gaussian with noise of level sigma.

    C = sum_i (variances_i - residual) v_i v_i' + residual I, as in `ImageStatistics`.

    Attributes:
        mean: mean of the images, float32 [H, W, C]; uint8 is divided by 255.
        components: orthonormal directions v_i, float32 [r, H, W, C].
        variances: variances along these directions, float32 [r].
        residual_variance: variance along all other directions.
        sigma: noise level at which sampling starts, in pixel units.

    Raises:
        InvalidArgument: for arrays of other shapes or not finite, and for negative numbers.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    residual_variance: float
    sigma: float

    def __post_init__(self) -> None:
        mean = pixel_array("mean", self.mean, "be finite, [H, W, C]")
        components = float_array("components", self.components, "be finite, [r, H, W, C]")
        variances = float_array("variances", self.variances, "be finite, [r]")
        if mean.ndim != 3:
            raise InvalidArgument("mean", "be finite, [H, W, C]", f"shape {mean.shape}")
        if variances.ndim != 1 or components.shape != (len(variances), *mean.shape):
            shape = f"have the shape {(variances.size, *mean.shape)}"
            raise InvalidArgument("components", shape, f"shape {components.shape}")
        self._set(
            mean=mean,
            components=components,
            variances=variances,
            residual_variance=number(
                "residual_variance", self.residual_variance, "not be negative", lambda v: v >= 0
            ),
            sigma=_checked_sigma(self.sigma),
        )

    def noisy_images(
        self, seeds: tf.Tensor, image_shape: tuple[int, ...], draw: tf.Tensor | int = 0
    ) -> tf.Tensor:
        """Images of the start, as in `Start.noisy_images`; each `draw` has noise of its own."""
        _require_shape("mean", self.mean.shape, image_shape)
        mean, scaled_components = self.variables
        residual_std = float(np.sqrt(self.sigma**2 + self.residual_variance))
        shape = (len(self.variances),)
        coordinates = randomness.normal(seeds, (draw, 0), "start_components", shape)
        offset = tf.reshape(tf.matmul(coordinates, scaled_components), [-1, *self.mean.shape])
        noise = randomness.normal(seeds, (draw, 0), "start", self.mean.shape)
        return offset + mean + residual_std * noise

    def _arrays(self) -> dict[str, np.ndarray]:
        """The mean [H, W, C], and the components times their standard deviations, [r, H W C]."""
        scales = np.sqrt(np.maximum(self.variances - self.residual_variance, 0.0))
        components = self.components.reshape(len(scales), self.mean.size)
        return {"start_mean": self.mean, "start_components": components * scales[:, None]}


@dataclasses.dataclass(frozen=True, eq=False)
class MixtureStart(_StartFromArrays):
    """Starts at a mixture of Gaussians of the training images, with noise of level sigma.

    The mixture is crude, but nearer to the images than one Gaussian: the energy then refines it.

    Attributes:
        weights: of the K Gaussians, float32 [K].
        mean: mean of the images, float32 [H, W, C]; uint8 is divided by 255.
        components: orthonormal directions, float32 [r, H, W, C].
        centers: means of the Gaussians along the directions, relative to `mean`, float32 [K, r].
        covariances: along the directions, float32 [K, r, r].
        residual_variances: variance along every other direction, float32 [K].
        sigma: noise level at which sampling starts, in pixel units.

    Raises:
        InvalidArgument: for arrays of other shapes or not finite, for weights that are negative or
            all zero, and for covariances that are none.
    """

    weights: np.ndarray
    mean: np.ndarray
    components: np.ndarray
    centers: np.ndarray
    covariances: np.ndarray
    residual_variances: np.ndarray
    sigma: float

    def __post_init__(self) -> None:
        mean = pixel_array("mean", self.mean, "be finite, [H, W, C]")
        weights = float_array("weights", self.weights, "be finite, [K]")
        components = float_array("components", self.components, "be finite, [r, H, W, C]")
        if mean.ndim != 3:
            raise InvalidArgument("mean", "be finite, [H, W, C]", f"shape {mean.shape}")
        if weights.ndim != 1 or not (weights >= 0).all() or not weights.sum() > 0:
            raise InvalidArgument("weights", "not be negative, and not all be 0", weights)
        number, rank = len(weights), len(components) if components.ndim else 0
        expected = {
            "components": (rank, *mean.shape),
            "centers": (number, rank),
            "covariances": (number, rank, rank),
            "residual_variances": (number,),
        }
        arrays = {}
        for name, shape in expected.items():
            arrays[name] = float_array(name, getattr(self, name), f"be finite, {list(shape)}")
            if arrays[name].shape != shape:
                raise InvalidArgument(name, f"have the shape {shape}", arrays[name].shape)
        if not (arrays["residual_variances"] >= 0).all():
            requirement = "not be negative"
            raise InvalidArgument("residual_variances", requirement, arrays["residual_variances"])
        smallest = np.linalg.eigvalsh(arrays["covariances"]).min(initial=0.0)
        if smallest < -1e-4 * np.abs(arrays["covariances"]).max(initial=1e-30):
            requirement = "have no negative eigenvalue"
            raise InvalidArgument("covariances", requirement, smallest)
        self._set(mean=mean, weights=weights, **arrays, sigma=_checked_sigma(self.sigma))

    def noisy_images(
        self, seeds: tf.Tensor, image_shape: tuple[int, ...], draw: tf.Tensor | int = 0
    ) -> tf.Tensor:
        """Images of the start, as in `Start.noisy_images`; each `draw` has noise of its own."""
        _require_shape("mean", self.mean.shape, image_shape)
        mean, components, cumulated, centers, factors, residual_stds = self.variables
        # Which Gaussian: the first whose cumulated weight exceeds a uniform number.
        chosen = randomness.uniform(seeds, (draw, 0), "start_mixture", (1,))
        which = tf.reduce_sum(tf.cast(chosen >= cumulated[None, :-1], tf.int32), axis=1)
        # Along the components the Gaussian's own covariance, which holds the noise as well.
        rank = len(self.components)
        normal = randomness.normal(seeds, (draw, 0), "start_components", (rank,))
        coordinates = tf.gather(centers, which) + tf.linalg.matvec(
            tf.gather(factors, which), normal
        )
        # Across them independent noise.
        noise = randomness.normal(seeds, (draw, 0), "start", (self.mean.size,))
        noise *= tf.gather(residual_stds, which)[:, None]
        noise -= tf.matmul(tf.matmul(noise, components, transpose_b=True), components)
        flat = tf.matmul(coordinates, components) + noise
        return mean + tf.reshape(flat, [-1, *self.mean.shape])

    def _arrays(self) -> dict[str, np.ndarray]:
        """What `noisy_images` reads; the noise of level sigma is part of the factors."""
        cumulated = np.cumsum(self.weights, dtype=np.float64) / self.weights.sum(dtype=np.float64)
        noise = self.sigma**2 * np.eye(len(self.components))
        variances, directions = np.linalg.eigh(self.covariances.astype(np.float64) + noise)
        factors = directions * np.sqrt(np.maximum(variances, 0.0))[:, None, :]
        return {
            "start_mean": self.mean,
            "start_components": self.components.reshape(len(self.components), self.mean.size),
            "start_cumulated_weights": cumulated,
            "start_centers": self.centers,
            "start_factors": factors,
            "start_residual_stds": np.sqrt(self.residual_variances + self.sigma**2),
        }


@dataclasses.dataclass(frozen=True, eq=False)
class ImagesStart(_StartFromArrays):
    """Starts at given images with noise of level sigma; seed s starts at image s mod N.

    Attributes:
        images: float32 [N, H, W, C]; uint8 is divided by 255.
        sigma: noise level at which sampling starts, in pixel units.

    Raises:
        InvalidArgument: if there are no images, or their pixels are not finite.
    """

    images: np.ndarray
    sigma: float

    def __post_init__(self) -> None:
        requirement = "be finite, [N, H, W, C]"
        images = pixel_array("images", self.images, requirement)
        if images.ndim != 4 or not images.size:
            raise InvalidArgument("images", requirement, f"shape {images.shape}")
        self._set(images=images, sigma=_checked_sigma(self.sigma))

    def noisy_images(self, seeds: tf.Tensor, image_shape: tuple[int, ...]) -> tf.Tensor:
        """Images of the start, as in `Start.noisy_images`."""
        _require_shape("images", self.images.shape[1:], image_shape)
        noise = randomness.normal(seeds, (0, 0), "start", self.images.shape[1:])
        indices = tf.math.floormod(seeds, len(self.images))
        (images,) = self.variables
        return tf.gather(images, indices) + self.sigma * noise

    def _arrays(self) -> dict[str, np.ndarray]:
        """The images [N, H, W, C]."""
        return {"start_images": self.images}


def _checked_sigma(sigma: float) -> float:
    return number("sigma", sigma, "be finite, and not negative", lambda s: s >= 0)


def _require_shape(name: str, shape: tuple[int, ...], image_shape: tuple[int, ...]) -> None:
    """Refuses a start of images of another shape than the target's."""
    if tuple(shape) != tuple(image_shape):
        raise InvalidArgument(name, f"be of the target's images, {tuple(image_shape)}", shape)
