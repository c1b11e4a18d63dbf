import matplotlib
import numpy as np
import pytest

from core.figures.palette import DIFFERENCE_COLORS, MAP_COLORMAPS, cell_colors, map_pixels
from core.figures.views import Compared, difference


@pytest.mark.parametrize("colors", [*MAP_COLORMAPS, DIFFERENCE_COLORS])
def test_colours_are_matplotlibs(colors):
    values = np.linspace(-0.5, 1.5, 999).reshape(27, 37)
    expected = matplotlib.colormaps[colors](np.clip(values, 0, 1), bytes=True)[..., :3]
    np.testing.assert_array_equal(map_pixels(values, (0, 1), colors), expected)
    assert len(np.unique(map_pixels(np.ones((2, 2)), (1, 1), colors).reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("colors", [*MAP_COLORMAPS, DIFFERENCE_COLORS])
def test_numbers_can_be_read_on_every_colour(colors):
    """WCAG 2.1's contrast, at least 4.5 as for small text."""

    def luminance(color: str) -> float:
        parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for color, ink in cell_colors(np.linspace(0, 1, 256)[None], (0, 1), colors)[0]:
        light, dark = sorted((luminance(color), luminance(ink)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_maps_that_do_not_differ_are_drawn_as_the_middle():
    grid = np.full((2, 2), 0.25)
    one = Compared("A", "one", np.zeros((8, 8, 3), np.uint8), grid)
    (panel,) = difference(one, one).panels
    assert panel.limits == (-1, 1)
    middle = matplotlib.colormaps[DIFFERENCE_COLORS](128, bytes=True)[:3]
    assert (map_pixels(panel.values, panel.limits, DIFFERENCE_COLORS) == middle).all()
