"""A picture of the mistakes of which a classifier was most certain: a contact sheet, for those who own the images."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from pcdarts.data.disk.image_files import ImageSources
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.images import Images
from pcdarts.errors import counted, shown
from pcdarts.learn.job_batches import plain_batches
from pcdarts.learn.measure import Measured, Mistake
from pcdarts.run.whole_files import write_bytes, write_text

MOST = 25
"""The most mistakes on a sheet."""
_COLUMNS, _SIDE, _GAP, _LINE, _FONT = 5, 128, 12, 15, 12
"""Tiles in a row; pixels: the side of an image, what is around it, the height of a line, the size of its letters."""
_TILE = (_SIDE + 2 * _GAP, _SIDE + 3 * _LINE + _GAP)
_HEAD = 4 * _LINE
_WHITE, _INK, _GREY, _RED = (255, 255, 255), (40, 50, 63), (95, 107, 122), (168, 58, 0)


def drawable(name: str, otherwise: str, length: int = 80) -> str:
    """The name as it is, if Pillow's own font has all its letters, which are those of ASCII; else `otherwise`."""
    return shown(name, length) if name.isascii() else otherwise


def names_beside(sheet: Path) -> Path:
    """The text file beside a picture with the names that cannot be written on it."""
    return sheet.with_name(f"{sheet.stem}-names.txt")


def write_names(sheet: Path, names: Mapping[str, str]) -> None:
    """Write these names to that file, each after what stands for it in the picture; without any there is no file.

    Raises:
        RunError: the file cannot be saved.
    """
    path = names_beside(sheet)
    if names:
        write_text(path, "".join(f"{label}: {shown(name, 5000)}\n" for label, name in names.items()))
    else:
        path.unlink(missing_ok=True)


def draw_mistakes(
    path: Path,
    images: Images | StreamedImages,
    measured: Measured,
    classes: Sequence[str],
    sources: ImageSources | None = None,
) -> int:
    """Draw the mistakes of which a classifier was most certain in a PNG file, each image as the network has seen it.

    Args:
        path: replaced, or removed where there is no mistake; so is the file of `names_beside`.
        images: those that were measured; one that can no longer be read is left out.
        sources: the files of these images, if they come from files, for their names.

    Returns:
        How many were drawn; without any there is no file.

    Raises:
        RunError: the file cannot be saved.
    """
    mistakes = measured.mistakes(MOST)
    pictures = _pictures(images, [mistake.image for mistake in mistakes])
    drawn = [(mistake, pictures[mistake.image]) for mistake in mistakes if mistake.image in pictures]
    names: dict[str, str] = {}
    if not drawn:
        path.unlink(missing_ok=True)
        write_names(path, names)
        return 0
    columns, rows = min(_COLUMNS, len(drawn)), -(-len(drawn) // _COLUMNS)
    sheet = Image.new("RGB", (max(3, columns) * _TILE[0], _HEAD + rows * _TILE[1]), _WHITE)
    draw = ImageDraw.Draw(sheet)
    wrong = int((measured.predictions != measured.labels).sum())
    title = f"The {len(drawn)} surest of {counted(wrong, 'mistake')} in {counted(len(measured.labels), 'image')}"
    _write(draw, title, _GAP, _GAP, sheet.width, _INK)
    _write(
        draw,
        "Below an image: its class; how sure the network was of which other one.",
        _GAP,
        _GAP + _LINE,
        sheet.width - _GAP,
        _GREY,
    )
    for place, (mistake, picture) in enumerate(drawn):
        row, column = divmod(place, _COLUMNS)
        left, top = column * _TILE[0] + _GAP, _HEAD + row * _TILE[1]
        sheet.paste(picture, (left, top + _SIDE - picture.height))
        for line, (words, colour) in enumerate(_words(mistake, classes, sources, names)):
            _write(draw, words, left, top + _SIDE + 2 + line * _LINE, _SIDE + 4, colour)
    if names:
        file = drawable(names_beside(path).name, "the text file beside this picture")
        words = f"The names that a number stands for are in {file}."
        _write(draw, words, _GAP, _GAP + 2 * _LINE, sheet.width - _GAP, _GREY)
    png = BytesIO()
    sheet.save(png, "PNG")
    write_bytes(path, png.getvalue())
    write_names(path, names)
    return len(drawn)


def image_name(index: int, sources: ImageSources | None) -> str:
    """The file of a measured image, or its number among them where they do not come from files."""
    return f"image {index}" if sources is None else str(sources[index])


def _words(
    mistake: Mistake, classes: Sequence[str], sources: ImageSources | None, names: dict[str, str]
) -> list[tuple[str, tuple[int, ...]]]:
    """The lines below an image; what stands for a name that cannot be drawn is added to `names`."""

    def drawn(name: str, otherwise: str, whole: str) -> str:
        words = drawable(name, otherwise)
        if words == otherwise != name:
            names[otherwise] = whole
        return words

    labels = (mistake.label, mistake.prediction)
    own, taken = (drawn(classes[index], f"class no. {index + 1}", classes[index]) for index in labels)
    path = image_name(mistake.image, sources)
    return [
        (f"is {own}", _INK),
        (f"{100 * mistake.probability:.0f} % {taken}", _RED),
        (drawn(Path(path).name, f"image {mistake.image}", path), _GREY),
    ]


def _pictures(images: Images | StreamedImages, indices: Sequence[int]) -> dict[int, Image.Image]:
    """The images at these indices as the network sees them, not normalised, each at most `_SIDE` pixels wide."""
    if not indices:
        return {}
    some = images.subset(torch.tensor(indices))
    if isinstance(some, StreamedImages):
        some = replace(some, on_bad_image="skip", workers=0, skipped={})
    channels = some.shape[0]
    batches = plain_batches(some, (0.0,) * channels, (1.0,) * channels, len(indices), torch.device("cpu"))
    found = {}
    for pixels, _, numbers in batches.numbered(0):
        values = (255 * pixels).round().byte().permute(0, 2, 3, 1)
        for number, value in zip(numbers.tolist(), values, strict=True):
            found[indices[number]] = _fitted(Image.fromarray(value.squeeze(2).numpy()))
    return found


def _fitted(picture: Image.Image) -> Image.Image:
    """Small images get larger by a whole factor, so that their pixels can be seen."""
    factor, side = _SIDE // picture.width, picture.width
    if factor > 1:
        return picture.resize((factor * side, factor * side), Image.Resampling.NEAREST)
    return picture.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS) if side != _SIDE else picture


def _write(draw: ImageDraw.ImageDraw, words: str, x: float, y: float, width: float, colour: tuple[int, ...]) -> None:
    """One line of text, cut in its middle to fit in `width` pixels."""
    font = ImageFont.load_default(_FONT)
    kept = words
    while font.getlength(kept) > width and len(words) > 4:
        words = words[: len(words) // 2] + words[len(words) // 2 + 1 :]
        kept = f"{words[: len(words) // 2]}...{words[len(words) // 2 :]}"
    draw.text((x, y), kept, fill=colour, font=font)
