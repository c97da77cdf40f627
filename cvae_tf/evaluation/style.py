"""Style measures: numbers that relabelling an image should not change."""

import numpy as np


def stroke_measures(images):
    """Measure ink, slant and width of a light digit on dark ground.

    Ink is the sum of all pixels. Slant and width are second moments about the centre of
    mass: slant in pixels to the right per pixel up; width is the horizontal standard
    deviation, in pixels, with the slant removed.

    Args:
        images: (count, height, width, 1), in [0, 1].

    Returns:
        Dict of arrays, (count,), by name.
    """
    ink = images[..., 0].astype("float64")
    _, height, width = ink.shape
    total = ink.sum((1, 2)) + 1e-6
    y, x = np.mgrid[:height, :width]
    y = y - _mean(ink * y, total)[:, None, None]
    x = x - _mean(ink * x, total)[:, None, None]
    var_y = _mean(ink * y**2, total) + 1e-6
    cov_xy = _mean(ink * y * x, total)
    upright = _mean(ink * x**2, total) - cov_xy**2 / var_y
    return {
        "ink": ink.sum((1, 2)),
        "slant": -cov_xy / var_y,
        "width": np.sqrt(np.maximum(upright, 0)),
    }


def colour_measures(images):
    """Measure mean red, green, blue, and three contrasts.

    Contrast is the mean grey of the top half minus the bottom half, of the left half
    minus the right half, and of the middle quarter minus the whole image.

    Args:
        images: (count, height, width, 3), in [0, 1].

    Returns:
        Dict of arrays, (count,), by name.
    """
    images = images.astype("float64")
    red, green, blue = images.mean((1, 2)).T
    grey = images.mean(-1)
    height, width = grey.shape[1:]
    top, left = height // 2, width // 2
    middle = grey[:, height // 4 : -height // 4, width // 4 : -width // 4]
    return {
        "red": red,
        "green": green,
        "blue": blue,
        "top": grey[:, :top].mean((1, 2)) - grey[:, top:].mean((1, 2)),
        "left": grey[:, :, :left].mean((1, 2)) - grey[:, :, left:].mean((1, 2)),
        "middle": middle.mean((1, 2)) - grey.mean((1, 2)),
    }


def correlations(before, after, labels, requested):
    """Correlate each style measure before and after relabelling.

    The mean of each pair of true and requested label is subtracted first, so the change
    of class itself does not count: an 8 may have more ink than the 1 that it was.

    Args:
        before, after: dicts of arrays, (count,), by name; see `stroke_measures`.
        labels, requested: class ids, (count,).

    Returns:
        Dict of numbers in [-1, 1], by name.
    """
    _, pairs = np.unique(np.stack([labels, requested]), axis=1, return_inverse=True)
    sizes = np.bincount(pairs)

    def within(values):
        return values - (np.bincount(pairs, values) / sizes)[pairs]

    return {
        name: _correlation(within(before[name]), within(after[name])) for name in before
    }


def sharpness(images):
    """Root mean square difference of neighbouring pixels, vertical and horizontal."""
    down, across = np.diff(images, axis=1), np.diff(images, axis=2)
    return float(np.sqrt((down**2).mean() + (across**2).mean()))


def _correlation(one, other):
    """Pearson's correlation; 0 if one of the two is constant."""
    if one.std() < 1e-9 or other.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _mean(weighted, total):
    return weighted.sum((1, 2)) / total


STYLE_MEASURES = {"strokes": stroke_measures, "colours": colour_measures}
