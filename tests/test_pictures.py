"""Pictures: what is drawn where, and files that are whole or not there."""

import numpy as np
import pytest
from PIL import Image

from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.visualization import images as pictures


def test_a_grid_shows_every_image_in_its_place():
    values = np.arange(5) / 4
    images = np.broadcast_to(values[:, None, None, None], (5, 32, 32, 1))
    grid = pictures.image_grid(images, columns=3)
    # Tiles of 32 pixels are enlarged twice, with frames of two pixels.
    assert grid.shape == (2 * 66 + 2, 3 * 66 + 2, 1)
    for number, value in enumerate(values):
        row, column = divmod(number, 3)
        tile = grid[66 * row + 2 : 66 * row + 66, 66 * column + 2 : 66 * column + 66]
        assert (tile == round(255 * value)).all(), number
    assert (grid[68:, 2 * 66 + 2 :] == 128).all()


def test_pixels_are_clipped_and_rounded():
    images = np.array([-1.0, 0.0, 0.5, 1.0, 7.0])
    np.testing.assert_array_equal(pictures.to_uint8(images), [0, 0, 128, 255, 255])


@pytest.mark.parametrize("channels", [1, 3])
def test_png_and_gif_come_back(tmp_path, channels):
    frames = [np.full((20, 30, channels), value, np.uint8) for value in (0, 100, 200)]
    pictures.write_png(frames[1], str(tmp_path / "a.png"))
    stored = np.asarray(Image.open(tmp_path / "a.png"))
    np.testing.assert_array_equal(stored.reshape(20, 30, channels), frames[1])
    pictures.write_gif(frames, str(tmp_path / "a.gif"))
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames == 3


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with atomic_write(str(path)) as partial, open(partial, "w") as file:
        file.write("old")

    def fail():
        with atomic_write(str(path)) as partial, open(partial, "w") as file:
            file.write("ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
