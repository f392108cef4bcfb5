"""How long the export of a fit will take, by what was measured of exports on one core of an AMD EPYC (docs/log.md)."""

FORMAT_SECONDS, CELL_SECONDS = 1.0, 0.7
"""To write a network in a format, and as much more for each of its cells."""
INT8_SECONDS, INT8_CELL_SECONDS = 3.0, 0.4
"""To quantise it and to time both models for one image; and as much more for each cell."""
INT8_IMAGES = 1024
"""As many times as it takes to measure an image, the calibration and the decision about it take."""


def export_seconds(
    formats: tuple[str, ...], reading: float, num_cells: int, image_seconds: float, test_images: int
) -> float:
    """The time for files of these formats.

    Args:
        reading: seconds to decode all images, which each export does.
        image_seconds: to measure one image; both models see all test images.
    """
    seconds = len(formats) * (reading + FORMAT_SECONDS + num_cells * CELL_SECONDS)
    if "onnx-int8" in formats:
        seconds += INT8_SECONDS + num_cells * INT8_CELL_SECONDS + image_seconds * (INT8_IMAGES + 2 * test_images)
    return seconds
