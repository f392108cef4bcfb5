"""The page in a real browser, where there is one: light and dark, on a wide and on a narrow screen."""

import re
import shlex
import shutil
import subprocess
from html import escape
from pathlib import Path

import pytest
from PIL import Image, ImageColor

from command_line import done
from pcdarts.report.drawing.style import COLOURS_DARK, COLOURS_LIGHT

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
QUIET = shlex.split(
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
)


@pytest.fixture
def report(study: Path) -> Path:
    done(study.parent, "report", study.name)
    return study / "report.html"


def browse(page: Path, folder: Path, *flags: str) -> str:
    """What the browser prints."""
    command = [str(BROWSER), *QUIET, f"--user-data-dir={folder / 'profile'}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize(("scheme", "colours"), [(1, COLOURS_LIGHT), (0, COLOURS_DARK)], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 500])
def test_the_page_follows_the_colours_of_its_reader(
    report: Path, tmp_path: Path, scheme: int, colours: dict[str, str], width: int
) -> None:
    picture = tmp_path / "picture.png"
    light_or_dark = f"--blink-settings=preferredColorScheme={scheme}"
    browse(report, tmp_path, light_or_dark, f"--window-size={width},1600", f"--screenshot={picture}")
    image = Image.open(picture).convert("RGB")
    assert image.width == width
    seen = {colour: number for number, colour in image.getcolors(image.width * image.height) or []}
    page, ink, line = (ImageColor.getrgb(colours[name]) for name in ("page", "ink", "series-1"))
    assert image.getpixel((2, 2)) == page
    assert max(seen, key=lambda colour: seen[colour]) == page
    assert seen[ink] > 1000  # text
    assert seen[line] > 100  # charts


def test_only_tables_and_broad_charts_scroll_sideways_on_any_screen(
    study: Path, known_table: Path, tmp_path: Path
) -> None:
    """Chromium has no window narrower than 500 pixels, but frames of any width."""
    tells = "<script>parent.postMessage([innerWidth, document.documentElement.scrollWidth].join(), '*')</script>"
    done(study.parent, "report", study.name, "--table", str(known_table))
    page = (study / "report.html").read_text("utf-8")
    assert "chart broad" in page
    framed = escape(page + tells)
    frames = "".join(f'<iframe style="width:{width}px" srcdoc="{framed}"></iframe>' for width in (360, 768, 1400))
    listens = "<script>addEventListener('message', event => document.body.append(` said ${event.data};`))</script>"
    wrapper = tmp_path / "frames.html"
    wrapper.write_text(f"<!doctype html><meta charset=utf-8><style>iframe{{border:0}}</style>{listens}<body>{frames}")
    shown = browse(wrapper, tmp_path, "--virtual-time-budget=3000", "--dump-dom")
    said = re.findall(r" said (\d+),(\d+);", shown)
    assert sorted(int(inner) for inner, _ in said) == [360, 768, 1400]
    assert [(inner, needed) for inner, needed in said if int(needed) > int(inner)] == []


FRAMED = """<!doctype html><meta charset=utf-8>
<style>body{{margin:0}}iframe{{border:0;width:{width}px;height:1600px}}</style>
<iframe srcdoc="{page}"></iframe><body>
<script>addEventListener('message', event => document.body.append(` said ${{event.data}};`))</script>"""
TELLS_BOXES = """<script>
for (const box of document.querySelectorAll('.box')) {{
  box.scrollLeft = {scrolled};
  const place = box.getBoundingClientRect();
  parent.postMessage([place.left, place.right, place.top, place.bottom, box.scrollWidth - box.clientWidth].join(), '*');
}}
</script>"""


@pytest.mark.parametrize(("scheme", "colours"), [(1, COLOURS_LIGHT), (0, COLOURS_DARK)], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "scrolled"), [(420, 0), (420, 10_000), (1400, 0)])
def test_a_table_has_a_shadow_at_its_right_edge_only_while_more_of_it_lies_there(
    report: Path, tmp_path: Path, scheme: int, colours: dict[str, str], width: int, scrolled: int
) -> None:
    wrapper, picture = tmp_path / "frame.html", tmp_path / "picture.png"
    page = escape(report.read_text("utf-8") + TELLS_BOXES.format(scrolled=scrolled))
    wrapper.write_text(FRAMED.format(width=width, page=page))
    light_or_dark = (f"--blink-settings=preferredColorScheme={scheme}", "--virtual-time-budget=3000")
    told = browse(wrapper, tmp_path, *light_or_dark, "--dump-dom")
    browse(wrapper, tmp_path, *light_or_dark, "--window-size=1400,1600", f"--screenshot={picture}")
    image = Image.open(picture).convert("RGB")
    boxes = [tuple(map(float, said.split(","))) for said in re.findall(r" said ([\d.,]+);", told)]
    assert len(boxes) >= 2
    for left, right, top, bottom, beyond in boxes[:2]:
        assert (beyond > 0) == (width == 420)
        row = round(bottom) - 6  # below all text
        assert top < row < 1600
        edge, inside = (image.getpixel((round(right) - 3, row)), image.getpixel((round(left + right) // 2, row)))
        assert inside == ImageColor.getrgb(colours["page"])
        assert (edge != inside) == (beyond > 0 and scrolled == 0), (edge, inside)
