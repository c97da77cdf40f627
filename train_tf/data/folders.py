"""Folders of images and masks, checked completely before training starts."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from train_tf.data.images import image_files, open_upright, read_image
from train_tf.errors import InputError

PROBLEMS_SHOWN = 40
MAX_CLASSES_UNLESS_GIVEN = 64  # classes; more of them have to be confirmed by --classes


class MaskFolder(NamedTuple):
    """Valid images and masks, in one size."""

    images: np.ndarray  # (count, size, size, 3), uint8
    masks: np.ndarray  # class ids, (count, size, size, 1), uint8
    names: np.ndarray  # the images' file names
    classes: int


def read_mask_folder(images, masks, classes, resize, ignored=255):
    """Read every image and mask; report all problems at once.

    Args:
        images: folder of images.
        masks: folder of masks; each has the same file stem as its image. Values are
            class ids from 0 on, or `ignored`. If they are only 0 and 255, there are two
            classes.
        classes: number of classes; None for as many as are found.
        resize: function from an image, (height, width, 3), and a mask, (height, width,
            1), both uint8, to the same in one size.
        ignored: label of pixels without a class.

    Returns:
        A `MaskFolder`, sorted by name.

    Raises:
        InputError: lists every missing partner, unreadable file, pair of unequal size,
            and invalid class id.
    """
    image_of, image_problems = _by_stem(images)
    mask_of, mask_problems = _by_stem(masks)
    problems = image_problems + mask_problems
    for stem in sorted(image_of.keys() - mask_of.keys()):
        problems.append(f"{image_of[stem]}: no mask '{stem}.*' in {masks}")
    for stem in sorted(mask_of.keys() - image_of.keys()):
        problems.append(f"{mask_of[stem]}: no image '{stem}.*' in {images}")

    def read(stem):
        try:
            return _read_pair(image_of[stem], mask_of[stem], resize)
        except InputError as error:
            return error

    stems = sorted(image_of.keys() & mask_of.keys())
    with ThreadPoolExecutor() as pool:
        pairs = pool.map(read, stems)
        pairs = list(tqdm(pairs, "Reading", len(stems), unit="pair", disable=None))
    problems += [str(pair) for pair in pairs if isinstance(pair, InputError)]
    pairs = [pair for pair in pairs if not isinstance(pair, InputError)]

    ids = set().union(*(pair.ids for pair in pairs))
    white_is_one = ids <= {0, 255} and 255 in ids
    ids = {0, 1} if white_is_one else ids - {ignored}
    known = classes or max(ids, default=0) + 1
    problems += _problems_of_ids(ids, known, classes, pairs, ignored)
    if problems:
        shown = "\n".join(f"  {problem}" for problem in problems[:PROBLEMS_SHOWN])
        rest = len(problems) - PROBLEMS_SHOWN
        raise InputError(
            f"{len(problems)} problems with {images} and {masks}:\n{shown}"
            + (f"\n  and {rest} more" if rest > 0 else "")
        )
    masks = np.stack([pair.mask for pair in pairs])
    return MaskFolder(
        np.stack([pair.image for pair in pairs]),
        masks // 255 if white_is_one else masks,
        np.array([image_of[stem].name for stem in stems]),
        known,
    )


class _Pair(NamedTuple):
    image: np.ndarray
    mask: np.ndarray
    ids: set  # before resizing
    mask_file: Path


def _read_pair(image_file, mask_file, resize):
    image, mask = read_image(image_file), read_mask(mask_file)
    if image.shape[:2] != mask.shape:
        raise InputError(
            f"{mask_file}: {mask.shape[1]}x{mask.shape[0]} pixels, but "
            f"{image_file.name} has {image.shape[1]}x{image.shape[0]}"
        )
    ids = set(np.unique(mask).tolist())
    # Ids beyond 255 are rejected by the caller, who knows the number of classes.
    mask = np.clip(mask, 0, 255).astype("uint8")
    return _Pair(*resize(image, mask[..., None]), ids, mask_file)


def read_mask(path):
    """Read a mask's values: palette indices, grey levels, or 0 and 1.

    Returns:
        (height, width), integers.

    Raises:
        InputError: if the file cannot be read, or its channels differ.
    """
    picture = open_upright(path)
    values = np.asarray(picture)
    if picture.mode in ("LA", "PA"):
        values = values[..., 0]
    if values.ndim == 3:
        grey = values[..., 0]
        if (
            picture.mode not in ("RGB", "RGBA")
            or (values[..., :3] != grey[..., None]).any()
        ):
            raise InputError(
                f"{path}: expected a mask of class ids (palette, grey or black and "
                f"white), received colours ({picture.mode})"
            )
        values = grey
    if values.dtype.kind == "f":
        raise InputError(f"{path}: expected integer class ids, received fractions")
    return values.astype("int64")


def _by_stem(folder):
    files, problems = {}, []
    for path in image_files(folder):
        twin = files.setdefault(path.stem, path)
        if twin != path:
            problems.append(f"{path}: has the same file stem as {twin}")
    if not files:
        problems.append(f"{folder}: no images in it")
    return files, problems


def _problems_of_ids(ids, known, classes, pairs, ignored):
    if not pairs:
        return ["no image with a mask that can be read"]
    after_gap = [n for place, n in enumerate(sorted(ids)) if n != place]
    if classes is None and after_gap:
        first = next(pair for pair in pairs if pair.ids & set(after_gap))
        return [
            f"the masks hold the class ids {_listed(ids)}: expected 0, 1, 2 ... "
            f"without gaps, and {ignored} for ignored pixels. The first mask that "
            f"does not fit is {first.mask_file}. Renumber the ids, or give their "
            "number by --classes. A mask saved as JPEG cannot keep ids."
        ]
    if classes is None and len(ids) > MAX_CLASSES_UNLESS_GIVEN:
        first = max(pairs, key=lambda pair: len(pair.ids))
        return [
            f"the masks hold {len(ids)} different class ids, most of them in "
            f"{first.mask_file}: expected {MAX_CLASSES_UNLESS_GIVEN} or fewer unless "
            "--classes gives their number. Soft edges, as resizing makes them, hold "
            "every grey level."
        ]
    if known < 2:
        return ["the masks hold only class 0: expected two classes or more"]
    outside = {number for number in ids if not 0 <= number < known}
    return [
        f"{pair.mask_file}: class ids {_listed(pair.ids & outside)}, expected 0 to "
        f"{known - 1}"
        for pair in pairs
        if pair.ids & outside
    ]


def _listed(ids):
    ids = sorted(ids)
    return ", ".join(map(str, ids[:12])) + (" ..." if len(ids) > 12 else "")
