"""Grids and strips of images, and picture files."""

import numpy as np
import pytest
from PIL import Image

from tf_mdsm.visualization.images import (
    changing_states,
    image_grid,
    sampling_strip,
    to_uint8,
    write_gif,
    write_png,
)


def test_a_grid_shows_every_image_at_its_position():
    values = np.arange(5) / 4
    images = np.broadcast_to(values[:, None, None, None], (5, 32, 32, 1))
    grid = image_grid(images, columns=3)
    # Images of 32 pixels are enlarged by 2 and have frames of two pixels.
    assert grid.shape == (2 * 66 + 2, 3 * 66 + 2, 1)
    for index, value in enumerate(values):
        row, column = divmod(index, 3)
        tile = grid[66 * row + 2 : 66 * row + 66, 66 * column + 2 : 66 * column + 66]
        assert (tile == round(255 * value)).all(), index
    assert (grid[68:, 2 * 66 + 2 :] == 128).all()


def test_pixels_are_clipped_and_rounded():
    images = np.array([-1.0, 0.0, 0.5, 1.0, 7.0])
    np.testing.assert_array_equal(to_uint8(images), [0, 0, 128, 255, 255])


def test_a_strip_shows_states_that_change():
    """States of two images: the sampler of both stops early, and one state is skipped."""
    values = np.array([0.0, 0.25, 0.25, 0.5, 1.0, 1.0])
    states = np.broadcast_to(values[:, None, None, None, None], (6, 2, 64, 64, 1))
    np.testing.assert_array_equal(changing_states(states)[:, 0, 0, 0, 0], [0.0, 0.25, 0.5, 1.0])
    strip = sampling_strip(states, columns=3)
    assert strip.shape == (2 * 66 + 2, 3 * 66 + 2, 1)
    levels = [strip[66 * row + 10, 10::66, 0].tolist() for row in range(2)]
    assert levels == [[0, 64, 255]] * 2


@pytest.mark.parametrize("channels", [1, 3])
def test_png_and_gif_files_hold_the_pixels(tmp_path, channels):
    frames = [np.full((20, 30, channels), value, np.uint8) for value in (0, 100, 200)]
    write_png(frames[1], str(tmp_path / "a.png"))
    stored = np.asarray(Image.open(tmp_path / "a.png"))
    np.testing.assert_array_equal(stored.reshape(20, 30, channels), frames[1])
    write_gif(frames, str(tmp_path / "a.gif"))
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames == 3


def test_a_grid_has_about_as_many_columns_as_rows():
    """Images of 64 pixels and more keep their size."""
    for count, (rows, columns) in {1: (1, 1), 2: (1, 2), 5: (2, 3), 7: (3, 3)}.items():
        assert image_grid(np.zeros((count, 64, 70, 3))).shape == (
            66 * rows + 2,
            72 * columns + 2,
            3,
        )


def test_an_animation_pauses_on_its_last_picture(tmp_path):
    frames = [np.full((4, 4, 1), value, np.uint8) for value in (0, 100, 200)]
    write_gif(frames, str(tmp_path / "a.gif"), milliseconds=50)
    with Image.open(tmp_path / "a.gif") as animation:
        durations = []
        for number in range(3):
            animation.seek(number)
            durations.append(animation.info["duration"])
            assert abs(int(np.asarray(animation.convert("L"))[0, 0]) - 100 * number) <= 1
    assert durations == [50, 50, 500]
