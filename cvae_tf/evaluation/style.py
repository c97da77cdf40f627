"""What of a picture is style: numbers that a change of label should leave alone."""

import numpy as np


def of_strokes(pictures):
    """Ink, slant and width of strokes, light on dark.

    Ink is the sum of all pixels. Slant and width come from the second moments about
    the centre of ink: slant is how far the strokes lean to the side for each pixel up,
    width the spread to the sides of what is left when they are set upright.

    Args:
        pictures: (count, height, width, 1), in [0, 1].

    Returns:
        Name to (count,).
    """
    ink = pictures[..., 0].astype("float64")
    _, height, width = ink.shape
    total = ink.sum((1, 2)) + 1e-6
    down, across = np.mgrid[:height, :width]
    down = down - _mean(ink * down, total)[:, None, None]
    across = across - _mean(ink * across, total)[:, None, None]
    of_height = _mean(ink * down**2, total) + 1e-6
    together = _mean(ink * down * across, total)
    upright = _mean(ink * across**2, total) - together**2 / of_height
    return {
        "ink": ink.sum((1, 2)),
        "slant": -together / of_height,
        "width": np.sqrt(np.maximum(upright, 0)),
    }


def of_colours(pictures):
    """Mean colour, and where it is lighter than that: top, left, and the middle.

    Args:
        pictures: (count, height, width, 3), in [0, 1].

    Returns:
        Name to (count,).
    """
    pictures = pictures.astype("float64")
    red, green, blue = pictures.mean((1, 2)).T
    grey = pictures.mean(-1)
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


def correlations(before, after, labels, sent):
    """How much of each style survives a change of label.

    Correlations of what is left when each pair of true and sent label has lost its
    mean, so that a 1 that becomes an 8 is not blamed for its ink.

    Args:
        before, after: name to (count,), as `of_strokes` gives them.
        labels, sent: class ids, (count,).

    Returns:
        Name to a number in [-1, 1].
    """
    _, pairs = np.unique(np.stack([labels, sent]), axis=1, return_inverse=True)
    sizes = np.bincount(pairs)

    def within(values):
        return values - (np.bincount(pairs, values) / sizes)[pairs]

    return {
        name: _correlation(within(before[name]), within(after[name])) for name in before
    }


def sharpness(pictures):
    """Root mean square of the steps from a pixel to the next ones, down and across."""
    down, across = np.diff(pictures, axis=1), np.diff(pictures, axis=2)
    return float(np.sqrt((down**2).mean() + (across**2).mean()))


def _correlation(one, other):
    """Pearson's; 0 where one of them does not vary."""
    if one.std() < 1e-9 or other.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _mean(weighted, total):
    return weighted.sum((1, 2)) / total


STYLES = {"mnist": of_strokes, "cifar10": of_colours}
