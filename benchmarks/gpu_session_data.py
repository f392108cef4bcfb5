"""Images in pieces that travel: lossless mosaics, and the folder of images that they become again elsewhere.

    python benchmarks/gpu_session_data.py pack CIFAR10.tar build/gpu_session_data
    python benchmarks/gpu_session_data.py unpack FOLDER PIECE...
    python benchmarks/gpu_session_data.py check CIFAR10.tar FOLDER

CIFAR10.tar holds PNG files, `train/CLASS/NAME.png` and `test/CLASS/NAME.png`, of one size and in RGB. A piece is a zip
file of WebP mosaics (lossless, three quarters of the bytes of the PNG files) with the names of the images. Image i of
all is in piece i modulo the number of pieces, so that a single piece is a sample of all classes and can be used alone.
`unpack` writes BMP files, which `pcdarts search --data folder` reads fastest; `check` compares them with the original.
"""

import argparse
import io
import json
import os
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

COLUMNS, ROWS = 32, 32
"""Images in a mosaic."""

MOST_BYTES = 60 * 10**6
"""Of a piece: with the code and some wheels it stays below 64 MiB."""


def pack(tar: Path, folder: Path, pieces: int = 2, most_bytes: int = MOST_BYTES) -> list[Path]:
    """Write the images of `tar` as so many pieces, each of them decoded again and compared before it counts.

    Raises:
        ValueError: images that are no RGB or of several sizes, a piece that is too large, or pieces that are there.
    """
    named = dict(images_in(tar))
    names = sorted(named)
    paths = [folder / f"images-{number + 1}-of-{pieces}.zip" for number in range(pieces)]
    if there := [str(path) for path in paths if path.exists()]:
        raise ValueError(f"{', '.join(there)} exists: remove it, or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        partial = path.with_suffix(".partial")
        write_piece(partial, names[number::pieces], named)
        if (size := partial.stat().st_size) > most_bytes:
            partial.unlink()
            raise ValueError(
                f"piece {number + 1} of {pieces} has {size:,} bytes, more than {most_bytes:,}: use more pieces"
            )
        partial.replace(path)
    return paths


def write_piece(path: Path, names: Sequence[str], named: dict[str, Pixels]) -> None:
    """Write one piece: `index.json` with the names of the images of each mosaic, and the mosaics."""
    groups = [names[start : start + COLUMNS * ROWS] for start in range(0, len(names), COLUMNS * ROWS)]
    side = named[names[0]].shape[0]
    with zipfile.ZipFile(path, "w") as piece:
        index = {"side": side, "mosaics": groups}
        piece.writestr("index.json", json.dumps(index), compress_type=zipfile.ZIP_DEFLATED)
        for number, group in enumerate(groups):
            picture = mosaic(np.stack([named[name] for name in group]))
            written = io.BytesIO()
            # `exact` keeps the colours of what is transparent; nothing is, but it costs nothing to be sure.
            Image.fromarray(picture).save(written, "WEBP", lossless=True, quality=75, method=3, exact=True)
            if not np.array_equal(decoded(written.getvalue()), picture):
                raise ValueError(f"mosaic {number} of {path} is not what was written: WebP is not lossless here")
            piece.writestr(f"{number:04}.webp", written.getvalue())


def images_in(tar: Path) -> Iterator[tuple[str, Pixels]]:
    """Names and pixels `[S, S, 3]` of all PNG files of an archive.

    Raises:
        ValueError: one is no RGB image, or of another size than the first.
    """
    first: tuple[int, ...] | None = None
    with tarfile.open(tar) as archive:
        for member in archive:
            if not (member.isfile() and member.name.endswith(".png")):
                continue
            file = archive.extractfile(member)
            assert file is not None
            with Image.open(io.BytesIO(file.read()), formats=["PNG"]) as image:
                pixels = np.asarray(image)
                first = first or pixels.shape
                if image.mode != "RGB" or pixels.shape != first or first[0] != first[1]:
                    raise ValueError(f"{member.name} is {image.mode} and {pixels.shape}: expected RGB, square, {first}")
            yield member.name.removeprefix("./"), pixels
    if first is None:
        raise ValueError(f"{tar} holds no PNG files")


def mosaic(images: Pixels) -> Pixels:
    """Images `[N, S, S, 3]` side by side, up to 32 in a row; the last row is filled up with black."""
    count, side = images.shape[:2]
    rows = -(-count // COLUMNS)
    filled = np.zeros((rows * COLUMNS, side, side, 3), dtype=np.uint8)
    filled[:count] = images
    grid = filled.reshape(rows, COLUMNS, side, side, 3).swapaxes(1, 2)
    return grid.reshape(rows * side, COLUMNS * side, 3)


def cut(picture: Pixels, side: int) -> Pixels:
    """The images of a mosaic `[N, S, S, 3]`, with those that fill it up."""
    rows = picture.shape[0] // side
    return picture.reshape(rows, side, COLUMNS, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)


def decoded(webp: bytes) -> Pixels:
    with Image.open(io.BytesIO(webp), formats=["WEBP"]) as image:
        return np.asarray(image.convert("RGB"))


def unpack(
    pieces: Iterable[Path], folder: Path, test_images: int | None = None, processes: int | None = None
) -> dict[str, Any]:
    """Write the images of some pieces below `folder` as BMP files; return how many of which set there are.

    Of the test images so many at most are kept, evenly from all (None: all); `processes` write (None: one per core).

    Raises:
        ValueError: a piece with a name that leads out of the folder, or a piece twice.
        FileExistsError: an image is there already.
    """
    work = []
    for path in pieces:
        with zipfile.ZipFile(path) as piece:
            index = json.loads(piece.read("index.json"))
        for number, names in enumerate(index["mosaics"]):
            for name in names:
                if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                    raise ValueError(f"{path} names {name!r}, which leads out of the folder: it is no piece of ours")
            work.append((path, number, index["side"], names, folder))
    names = [name for *_, group, _ in work for name in group]
    if len(set(names)) != len(names):
        raise ValueError("some images are in two pieces: give each piece once")
    left_out = all_but([name for name in sorted(names) if name.startswith("test/")], test_images)
    work = [
        (path, number, side, ["" if name in left_out else name for name in group], folder)
        for path, number, side, group, folder in work
    ]
    names = [name for name in names if name not in left_out]
    for parent in {(folder / name).parent for name in names}:
        parent.mkdir(parents=True, exist_ok=True)
    if processes == 1:
        for one in work:
            write_mosaic(one)
    else:
        # Not forked: a forked worker would inherit locks that threads of this process hold.
        with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn")) as pool:
            list(pool.map(write_mosaic, work))
    sets = sorted({name.partition("/")[0] for name in names})
    return {"images": len(names), **{one: sum(name.startswith(f"{one}/") for name in names) for one in sets}}


def all_but(names: Sequence[str], count: int | None) -> set[str]:
    """The names but for `count` of them, taken evenly."""
    if count is None or count >= len(names):
        return set()
    return set(names) - {names[place * len(names) // count] for place in range(count)}


def write_mosaic(work: tuple[Path, int, int, list[str], Path]) -> None:
    """Write the images of one mosaic as files, but for those without a name."""
    path, number, side, names, folder = work
    with zipfile.ZipFile(path) as piece:
        images = cut(decoded(piece.read(f"{number:04}.webp")), side)
    for name, pixels in zip(names, images, strict=False):  # the mosaic may be filled up
        if not name:
            continue
        with open((folder / name).with_suffix(".bmp"), "xb") as file:
            Image.fromarray(pixels).save(file, "BMP")


def synthetic(folder: Path, train: int, test: int, side: int = 32, classes: int = 10) -> None:
    """An image folder of noise, in place of one that is not there: so many images of each set."""
    numbers = np.random.default_rng(0)
    for which, count in (("train", train), ("test", test)):
        for index in range(count):
            place = folder / which / f"class{index % classes}"
            place.mkdir(parents=True, exist_ok=True)
            pixels = numbers.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{index:05}.bmp")


def check(tar: Path, folder: Path) -> int:
    """Compare all images of an archive with those of a folder; return how many there are.

    Raises:
        ValueError: one is missing or differs, or the folder has others.
    """
    count = 0
    for name, pixels in images_in(tar):
        with Image.open((folder / name).with_suffix(".bmp"), formats=["BMP"]) as image:
            if not np.array_equal(np.asarray(image.convert("RGB")), pixels):
                raise ValueError(f"{name} differs from the original")
        count += 1
    if count != (found := sum(1 for _ in folder.rglob("*.bmp"))):
        raise ValueError(f"{folder} has {found} images, but {tar} has {count}")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    packing = actions.add_parser("pack", help="make pieces of an archive")
    packing.add_argument("tar", type=Path)
    packing.add_argument("folder", type=Path)
    packing.add_argument("--pieces", type=int, default=2)
    unpacking = actions.add_parser("unpack", help="make an image folder of pieces")
    unpacking.add_argument("folder", type=Path)
    unpacking.add_argument("piece", type=Path, nargs="+")
    unpacking.add_argument("--test-images", type=int, help="keep so many of these at most (all)")
    checking = actions.add_parser("check", help="compare an unpacked folder with the archive")
    checking.add_argument("tar", type=Path)
    checking.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        if options.action == "pack":
            for path in pack(options.tar, options.folder, options.pieces):
                print(f"{path}: {path.stat().st_size:,} bytes")
        elif options.action == "unpack":
            print(json.dumps(unpack(options.piece, options.folder, options.test_images)))
        else:
            print(f"{check(options.tar, options.folder):,} images are the same, pixel by pixel")
    except (OSError, ValueError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")


if __name__ == "__main__":
    main()
