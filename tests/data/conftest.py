from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def save_images(tmp_path: Path) -> Callable[..., Path]:
    """Save random images of one mode and size (width, height) below a folder of their own; return that folder."""
    root = tmp_path / "images"
    root.mkdir()
    numbers = np.random.default_rng(0)

    def save(*names: str, mode: str = "RGB", size: tuple[int, int] = (10, 10)) -> Path:
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = numbers.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(path)
        return root

    return save
