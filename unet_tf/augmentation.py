"""Random changes of training images and their masks."""

from keras import layers


def augmentation():
    """Keras layers that augment images in [0, 1] and their masks alike, at random."""
    return (
        layers.RandomFlip("horizontal"),
        layers.RandomZoom((-0.25, 0.25), fill_mode="reflect"),
        layers.RandomRotation(0.06, fill_mode="reflect"),
        layers.RandomBrightness(0.2, value_range=(0, 1)),
        layers.RandomContrast(0.3, value_range=(0, 1)),
    )
