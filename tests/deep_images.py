"""Image files of more than 8 bits, also of kinds that Pillow does not write."""

import struct
import zlib
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}


def save_deep(path: Path, values: NDArray[Any]) -> None:
    """Save greyscale values `[H, W]` of 16 or 32 bits, or fractions, in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **({"irreversible": False} if path.suffix == ".jp2" else {}))


def colour_png(values: NDArray[Any]) -> bytes:
    """A PNG of 16 bits a colour, of values `[H, W, 3]`."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


def tiff(values: NDArray[Any], photometric: int | None = None) -> bytes:
    """An uncompressed TIFF of values `[H, W]` or `[H, W, 3]`, in their own byte order and kind of number."""
    height, width, *channels = values.shape
    samples = channels[0] if channels else 1
    order = ">" if values.dtype.str[0] == ">" else "<"
    data = values.tobytes()
    tags = {
        256: [width],
        257: [height],
        258: [8 * values.dtype.itemsize] * samples,
        259: [1],
        262: [(2 if samples == 3 else 1) if photometric is None else photometric],
        273: [0],  # where the data is, filled in below
        277: [samples],
        278: [height],
        279: [len(data)],
        339: [_SAMPLE_FORMATS[values.dtype.kind]] * samples,
    }
    long = {273, 279}
    place = 8 + 2 + 12 * len(tags) + 4
    beside = b""
    sizes = {tag: struct.calcsize("I" if tag in long else "H") * len(found) for tag, found in tags.items()}
    tags[273] = [place + sum(size for size in sizes.values() if size > 4)]
    entries = b""
    for tag, found in tags.items():
        encoded = struct.pack(order + ("I" if tag in long else "H") * len(found), *found)
        if len(encoded) > 4:
            encoded, beside = struct.pack(order + "I", place + len(beside)), beside + encoded
        entries += struct.pack(order + "HHI", tag, 4 if tag in long else 3, len(found)) + encoded.ljust(4, b"\0")
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    return start + entries + bytes(4) + beside + data
