"""Your own photographs and masks: two folders, checked whole before training starts."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from train_tf.data.images import image_files, open_upright, read_image
from train_tf.errors import InputError
from unet_tf.masks import IGNORE

PROBLEMS_SHOWN = 40
MANY = 64  # classes that one has to say one has


class MaskFolder(NamedTuple):
    """Photographs and masks that were all found in order, in one size."""

    photos: np.ndarray  # (count, size, size, 3), uint8
    masks: np.ndarray  # class ids, (count, size, size, 1), uint8; 255 is ignored
    names: np.ndarray  # of the photographs' files
    classes: int


def read_mask_folder(images, masks, classes, resize):
    """Read every photograph and mask, and tell all that is wrong at once.

    Args:
        images: folder of photographs.
        masks: folder of masks, with the photographs' names up to the ending. Their
            values are class ids from 0 on, 255 where a pixel is to be ignored; masks
            that hold nothing but 0 and 255 have two classes.
        classes: how many classes there are; None for as many as are found.
        resize: function from a photograph, (height, width, 3), and a mask, (height,
            width, 1), both uint8, to the same in the size that is wanted.

    Returns:
        A `MaskFolder`, sorted by name.

    Raises:
        InputError: lists every missing partner, unreadable file, pair of unequal size,
            and class id that does not fit.
    """
    photo_of, photo_problems = _by_stem(images)
    mask_of, mask_problems = _by_stem(masks)
    problems = photo_problems + mask_problems
    for stem in sorted(photo_of.keys() - mask_of.keys()):
        problems.append(f"{photo_of[stem]}: no mask '{stem}.*' in {masks}")
    for stem in sorted(mask_of.keys() - photo_of.keys()):
        problems.append(f"{mask_of[stem]}: no photograph '{stem}.*' in {images}")

    def read(stem):
        try:
            return _read_pair(photo_of[stem], mask_of[stem], resize)
        except InputError as error:
            return error

    stems = sorted(photo_of.keys() & mask_of.keys())
    with ThreadPoolExecutor() as pool:
        pairs = list(
            tqdm(
                pool.map(read, stems), "Reading", len(stems), unit="pair", disable=None
            )
        )
    problems += [str(pair) for pair in pairs if isinstance(pair, InputError)]
    pairs = [pair for pair in pairs if not isinstance(pair, InputError)]

    ids = set().union(*(pair.ids for pair in pairs))
    white_is_one = ids <= {0, 255} and 255 in ids
    ids = {0, 1} if white_is_one else ids - {IGNORE}
    known = classes or max(ids, default=0) + 1
    problems += _problems_of_ids(ids, known, classes, pairs)
    if problems:
        shown = "\n".join(f"  {problem}" for problem in problems[:PROBLEMS_SHOWN])
        rest = len(problems) - PROBLEMS_SHOWN
        raise InputError(
            f"{len(problems)} problems with {images} and {masks}:\n{shown}"
            + (f"\n  and {rest} more" if rest > 0 else "")
        )
    masks = np.stack([pair.mask for pair in pairs])
    return MaskFolder(
        np.stack([pair.photo for pair in pairs]),
        masks // 255 if white_is_one else masks,
        np.array([photo_of[stem].name for stem in stems]),
        known,
    )


class _Pair(NamedTuple):
    photo: np.ndarray
    mask: np.ndarray
    ids: set  # before resizing
    mask_file: Path


def _read_pair(photo_file, mask_file, resize):
    photo, mask = read_image(photo_file), read_mask(mask_file)
    if photo.shape[:2] != mask.shape:
        raise InputError(
            f"{mask_file}: {mask.shape[1]}x{mask.shape[0]} pixels, but "
            f"{photo_file.name} has {photo.shape[1]}x{photo.shape[0]}"
        )
    ids = set(np.unique(mask).tolist())
    # Ids past a byte are refused by the caller, who knows how many classes there are.
    mask = np.clip(mask, 0, 255).astype("uint8")
    return _Pair(*resize(photo, mask[..., None]), ids, mask_file)


def read_mask(path):
    """Read a mask's values as they are: palette indices, grey levels, or 0 and 1.

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
        raise InputError(
            f"{path}: expected whole numbers as class ids, received fractions"
        )
    return values.astype("int64")


def _by_stem(folder):
    files, problems = {}, []
    for path in image_files(folder):
        twin = files.setdefault(path.stem, path)
        if twin != path:
            problems.append(f"{path}: has the same name as {twin}")
    if not files:
        problems.append(f"{folder}: no pictures in it")
    return files, problems


def _problems_of_ids(ids, known, classes, pairs):
    if not pairs:
        return ["no photograph with a mask that can be read"]
    after_gap = [n for place, n in enumerate(sorted(ids)) if n != place]
    if classes is None and after_gap:
        first = next(pair for pair in pairs if pair.ids & set(after_gap))
        return [
            f"the masks hold the class ids {_listed(ids)}: expected 0, 1, 2 ... "
            "without gaps (255 where a pixel is to be ignored). The first mask that "
            f"breaks the row is {first.mask_file}. Renumber them, or say by --classes "
            "how many there are. A mask saved as JPEG cannot keep ids."
        ]
    if classes is None and len(ids) > MANY:
        first = max(pairs, key=lambda pair: len(pair.ids))
        return [
            f"the masks hold {len(ids)} different class ids, most of them in "
            f"{first.mask_file}: expected {MANY} or fewer, unless --classes says how "
            "many there are. Soft edges, as resizing makes them, hold every grey level."
        ]
    if known < 2:
        return ["the masks hold class 0 alone: expected two classes or more"]
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
