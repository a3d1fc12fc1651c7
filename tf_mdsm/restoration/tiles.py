"""The energy of a large image in bounded memory: tile by tile, equal to that of the whole image."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tf_mdsm import losses
from tf_mdsm.datasets.pixels import as_images
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.energy_network import require_sides
from tf_mdsm.networks.free_size import MirrorPadding
from tf_mdsm.networks.layers import estimate_noise_variance
from tf_mdsm.networks.local_energy import LocalEnergy
from tf_mdsm.noise import NoiseLevels

__all__ = ["TiledEnergy"]

# A gradient evaluation needs about this many bytes for each number that the network computes: the
# numbers and their derivatives, 4 bytes each, of which not all are held at once. Measured: 3.1 to
# 5.0 (docs/results/photographs.md).
_BYTES_PER_VALUE = 6


class TiledEnergy:
    """An energy of images of any size, evaluated tile by tile: a target of samplers.

        tiled = tf_mdsm.restoration.TiledEnergy(run.model, memory_gib=2)
        clean = tiled.denoise(photo[None])[0]
        filled = tf_mdsm.restore(tiled, operator.measure(photo[None]), operator)

    There are no seams. The energy is a sum over pixels of parts that depend on a neighborhood of
    the pixel (`LocalEnergy`). Each tile adds up the parts of its own pixels. It sees so many pixels
    around them that these parts are those of the whole image; the gradient of its sum also reaches
    these pixels, and the gradients of all tiles are added. So energy and score are those of the
    model for the whole image, up to rounding. The noise variance v, by which the network may scale
    its input, is estimated in the whole image and given to all tiles. The gradient through v is
    added at the end: (dE/dv) dv/dx.

    Args:
        model: an `EnergyModel` whose network computes images of any size.
        memory_gib: memory for a tile, in GiB. Besides, the memory holds about ten arrays of the
            size of the image. The more memory, the larger the tiles, and the fewer pixels are
            computed twice.
        after_tile: called after each tile, for a progress bar.

    Attributes:
        image_shape: (None, None, channels).
        sigma0: the fixed kernel width of the model's loss, in pixel units.
        noise: the noise levels that the model was trained for.
        tile_size: height and width of a tile with what it sees around its own pixels.
        overlap: how far a tile looks beyond its own pixels.
        multiple: a side that this number divides is not padded. A part of an image whose first row
            and column are multiples has the parts of the energy that it has in the image.
        smallest_side: height and width that images must have at least.

    Raises:
        InvalidArgument: for another model, or too little memory.
    """

    def __init__(
        self,
        model: Any,
        *,
        memory_gib: float = 2.0,
        after_tile: Callable[[], object] | None = None,
    ):
        network = model.inference_network
        self.noise: NoiseLevels = model.noise
        self.sigma0: float = model.noise.sigma0
        self.image_shape: tuple[None, None, int] = (None, None, model.image_shape[2])
        self._local = local = LocalEnergy.of(network)
        self.smallest_side = model.smallest_side
        self.multiple = local.multiple
        self._padding = MirrorPadding(local.multiple, local.reach, dtype="float32")
        self.overlap = -(-local.reach // local.multiple) * local.multiple
        smallest = 2 * self.overlap + local.multiple
        bytes_per_pixel = _BYTES_PER_VALUE * local.values_per_pixel
        side = int((memory_gib * 2**30 / bytes_per_pixel) ** 0.5) if memory_gib > 0 else 0
        self.tile_size = side // local.multiple * local.multiple
        if self.tile_size < smallest:
            needed = smallest**2 * bytes_per_pixel / 2**30
            requirement = f"be at least {needed:.2g} for this network"
            raise InvalidArgument("memory_gib", requirement, memory_gib)
        self._after_tile = after_tile
        self._compiled = tf.function(
            self._energy_and_score,
            input_signature=[tf.TensorSpec([None, *self.image_shape], tf.float32)],
            autograph=False,
        )

    def num_tiles(self, height: int, width: int) -> int:
        """The number of tiles in which an image of some size is evaluated."""
        sides = (side + -side % self._padding.multiple for side in (height, width))
        return math.prod(int(self._num_tiles(side)) for side in sides)

    def energy_and_score(self, images: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The energies [B] and the scores -dE/dx, [B, H, W, C], as `EnergyModel`.

        Args:
            images: uint8 or floats, [B, H, W, C]. One tile of one image is evaluated at a time.

        Raises:
            InvalidArgument: for images of another shape, or too small ones.
        """
        images = as_images(images, self.image_shape)
        require_sides(images.shape[1:3], self.smallest_side)
        energy, score = self._compiled(images)
        return energy, tf.ensure_shape(score, images.shape)

    def energy(self, images: Any) -> tf.Tensor:
        """The energies, [B]."""
        return self.energy_and_score(images)[0]

    def score(self, images: Any) -> tf.Tensor:
        """The scores -dE/dx, [B, H, W, C]."""
        return self.energy_and_score(images)[1]

    def denoise(self, images: Any) -> tf.Tensor:
        """The denoised images D(x) = x - sigma0^2 dE/dx, [B, H, W, C], not clipped to [0, 1]."""
        images = as_images(images, self.image_shape)
        return images + self.sigma0**2 * self.score(images)

    def noise_level(self, images: Any) -> tf.Tensor:
        """The estimated noise level of each image, [B], in pixel units."""
        images = as_images(images, self.image_shape)
        return losses.noise_level(images, self.denoise(images))

    def _energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Energies and scores of float32 images [B, H, W, C]."""
        with tf.GradientTape() as tape:
            tape.watch(images)
            variance = estimate_noise_variance(images)
            canvas = self._padding(images)
        sums = self._sum_over_tiles(canvas, variance, tf.shape(images)[1:3])
        gradient: Any = tape.gradient(
            [variance, canvas], images, output_gradients=[sums.by_variance, sums.by_pixels]
        )
        return sums.energy, -gradient

    def _sum_over_tiles(self, canvas: tf.Tensor, variance: tf.Tensor, sides: tf.Tensor) -> "_Sums":
        """The energy and its derivatives, summed over the tiles of all images.

        Args:
            canvas: padded images, float32 [B, H', W', C].
            variance: noise variance of each image, [B].
            sides: height and width of the images before padding, int32 [2].
        """
        shape = tf.shape(canvas)
        padded = shape[1:3]
        size = tf.minimum(self.tile_size, padded)
        step = self.tile_size - 2 * self.overlap
        count = self._num_tiles(padded)

        def add_tile(number, sums):
            image, place = number // (count[0] * count[1]), number % (count[0] * count[1])
            place = tf.stack([place // count[1], place % count[1]])
            start = tf.minimum(place * step, padded - size)
            # A tile's own pixels: up to the border of the image, or to those of the next tile.
            first = tf.where(place == 0, 0, place * step + self.overlap)
            end = tf.where(place == count - 1, sides, (place + 1) * step + self.overlap)
            rows, columns = (start[axis] + tf.range(size[axis]) for axis in (0, 1))
            own_rows = (rows >= first[0]) & (rows < tf.minimum(end[0], sides[0]))
            own_columns = (columns >= first[1]) & (columns < tf.minimum(end[1], sides[1]))
            tile = canvas[image : image + 1, start[0] :, start[1] :][:, : size[0], : size[1]]
            is_own = own_rows[:, None] & own_columns
            energy, by_tile, by_variance = self._tile(
                tile, variance[image : image + 1], tf.cast(is_own, tf.float32)
            )
            if self._after_tile is not None:
                with tf.control_dependencies([energy]):
                    tf.py_function(self._after_tile, [], [])
            index = ((image * padded[0] + rows)[:, None] * padded[1] + columns)[..., None]
            return number + 1, _Sums(
                tf.tensor_scatter_nd_add(sums.energy, [[image]], [energy]),
                tf.tensor_scatter_nd_add(sums.by_pixels, index, by_tile[0]),
                tf.tensor_scatter_nd_add(sums.by_variance, [[image]], by_variance),
            )

        pixels = tf.zeros([tf.reduce_prod(shape[:3]), canvas.shape[3]])
        nothing = tf.zeros_like(variance)
        # One tile at a time: parallel ones would need the memory of all.
        _, sums = tf.while_loop(
            lambda number, _: number < shape[0] * count[0] * count[1],
            add_tile,
            (tf.constant(0), _Sums(nothing, pixels, nothing)),
            parallel_iterations=1,
        )
        return sums._replace(by_pixels=tf.reshape(sums.by_pixels, shape))

    def _num_tiles(self, padded: Any) -> tf.Tensor:
        """The number of tiles along sides of padded images."""
        step = self.tile_size - 2 * self.overlap
        return 1 + tf.maximum(-((self.tile_size - padded) // step), 0)

    def _tile(
        self, tile: tf.Tensor, variance: tf.Tensor, is_own: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The energy of a tile's own pixels, and its derivatives by the tile and by v."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([tile, variance])
            energy = tf.reduce_sum(self._local.densities(tile, variance) * is_own)
        zero = tf.UnconnectedGradients.ZERO
        derivatives: Any = tape.gradient(energy, [tile, variance], unconnected_gradients=zero)
        return energy, *derivatives


class _Sums(NamedTuple):
    """Sums over tiles.

    Attributes:
        energy: of each image, [B].
        by_pixels: its derivatives by the pixels of the padded images, at fixed v.
        by_variance: its derivatives by the noise variance v of each image, [B].
    """

    energy: tf.Tensor
    by_pixels: tf.Tensor
    by_variance: tf.Tensor
