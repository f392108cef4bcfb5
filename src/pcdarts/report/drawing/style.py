"""Colours and styles of the charts, for light and dark pages, also distinct for colour-blind readers."""

COLOURS_LIGHT = {
    "page": "#ffffff",
    "ink": "#28323f",
    "muted": "#5f6b7a",
    "grid": "#dde3ea",
    "frozen": "#eef1f5",
    # Okabe and Ito's hues, moved until thin lines stand out from the page and no two look alike to the colour-blind.
    "series-1": "#0072b2",
    "series-2": "#d55e00",
    "series-3": "#009070",
    "series-4": "#c8609c",
    "series-5": "#8a8b40",
    "series-6": "#2b9bd4",
    "series-7": "#6d5169",
    "series-8": "#6e2b22",
    # One hue for each family of operations, as in the drawings of cells; within a family dark and light.
    "none": "#c3cac2",
    "max_pool_3x3": "#b05400",
    "avg_pool_3x3": "#ffa662",
    "skip_connect": "#057850",
    "sep_conv_3x3": "#0637b9",
    "sep_conv_5x5": "#5c99ff",
    "dil_conv_3x3": "#8c2781",
    "dil_conv_5x5": "#c895c6",
    "sep_conv_7x7": "#0a2f5c",
    "conv_7x1_1x7": "#6b5a00",
    "conv_1x1": "#7a1238",
    "bottleneck_3x3": "#e0567f",
    "max_pool_2x2": "#7a3200",
    "nor_conv_1x1": "#d9879f",
    "nor_conv_3x3": "#a3123f",
}
COLOURS_DARK = {
    "page": "#0d1117",
    "ink": "#dbe2ea",
    "muted": "#98a3b0",
    "grid": "#2a313a",
    "frozen": "#1a2029",
    "series-1": "#4da3e6",
    "series-2": "#f58231",
    "series-3": "#2cc295",
    "series-4": "#e16ab0",
    "series-5": "#eacd38",
    "series-6": "#9bd3f7",
    "series-7": "#c9d5d6",
    "series-8": "#be7c64",
    "none": "#4a5a58",
    "max_pool_3x3": "#d9702a",
    "avg_pool_3x3": "#f4cd88",
    "skip_connect": "#13b087",
    "sep_conv_3x3": "#1f69dd",
    "sep_conv_5x5": "#a6b0ff",
    "dil_conv_3x3": "#b850a3",
    "dil_conv_5x5": "#fbe6f7",
    "sep_conv_7x7": "#5f74c9",
    "conv_7x1_1x7": "#cdbb45",
    "conv_1x1": "#f7b2c8",
    "bottleneck_3x3": "#c94a72",
    "max_pool_2x2": "#a3542a",
    "nor_conv_1x1": "#f5c0cf",
    "nor_conv_3x3": "#d8557c",
}
NUM_SERIES = 8
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "5 2 1 2 1 2", "1 2", "4 5")
"""The dashes of each series, which distinguish it without colour."""
_PRIMITIVES = tuple(COLOURS_LIGHT)[5 + NUM_SERIES :]

FONT = "font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif"
_RULES = f"""
.chart svg{{{FONT};overflow:visible}}"""
_RULES += """
.chart{margin:0;max-width:28rem}
.chart.wide{max-width:none}
.chart.broad{max-width:56rem}
.chart figcaption{font-weight:600;color:var(--ink);margin:0 0 .3rem}
.chart svg.plot{display:block;width:100%;height:auto}
.chart text{fill:var(--ink)}
.chart .muted{fill:var(--muted)}
.chart .strong{font-weight:600}
.chart .over{paint-order:stroke;stroke:var(--page);stroke-width:4px}
.chart .middle{text-anchor:middle}
.chart .end{text-anchor:end}
.chart .grid{fill:none;stroke:var(--grid)}
.chart .axis,.chart .leader{fill:none;stroke:var(--muted)}
.chart .frozen{fill:var(--frozen)}
.chart .key .frozen{stroke:var(--muted)}
.chart .veil{fill:var(--page);opacity:.55}
.chart .line{fill:none;stroke:currentColor;stroke-width:1.8;stroke-linejoin:round}
.chart g .line.thin{stroke-width:1;opacity:.5;stroke-dasharray:none}
.chart .level{fill:none;stroke:var(--ink);stroke-width:1.2}
.chart .ring{fill:var(--page);stroke:var(--ink);stroke-width:1.5}
.chart .mark{fill:currentColor;stroke:var(--page)}
.chart .hollow{fill:var(--page);stroke:currentColor;stroke-width:2}
.chart .seed{fill:currentColor;fill-opacity:.45;stroke:currentColor}
.chart .reach{fill:none;stroke:currentColor;stroke-width:1.2;opacity:.6}
.chart .stairs{fill:none;stroke:currentColor;stroke-width:2.5;opacity:.35}
.chart .mean{fill:none;stroke:currentColor;stroke-width:3}
.chart .band{stroke:var(--page);stroke-width:.7;vector-effect:non-scaling-stroke}
.chart .bar{stroke:var(--page);stroke-width:.7}
.chart .new{fill:var(--ink)}
.chart .right{fill:var(--series-1)}
.chart .wrong{fill:var(--series-2)}
.chart .key{display:flex;flex-wrap:wrap;gap:.15rem .9rem;list-style:none;margin:0 0 .5rem;padding:0;font-size:.8125rem}
.chart .key li{display:flex;align-items:center;gap:.35rem}
.chart .key span{color:var(--ink);overflow-wrap:anywhere}
.chart .key svg{flex:none}
.chart .note{font-size:.8125rem;color:var(--muted);margin:0 0 .5rem}
.panels{display:grid;gap:.6rem 1.2rem;margin:0 0 .8rem;max-width:calc(var(--columns)*12.5rem);
grid-template-columns:repeat(auto-fill,minmax(max(7.5rem,(100% - (var(--columns) - 1)*1.2rem)/var(--columns)),1fr))}
.panels.broad{max-width:44rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr))}
.drawing{overflow-x:auto}
"""


def contrast(one: str, other: str) -> float:
    """The contrast of two colours `#rrggbb`, 1 to 21 (WCAG 2.2: 3 for graphics, 4.5 for text)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def on(colour: str) -> str:
    """Black or white, the one that has more contrast as text on a colour."""
    return max("#ffffff", "#000000", key=lambda text: contrast(text, colour))


def stylesheet() -> str:
    """The CSS that every chart of `pcdarts.report` needs, once a page; the page itself may use its variables.

    Variables: `--page`, `--ink`, `--muted`, `--grid`, `--frozen`, `--series-1` to `--series-8`, and for every primitive
    its colour (`--sep_conv_3x3`) and that of text on it (`--on-sep_conv_3x3`).
    """
    series = "".join(
        f".chart .s{index}{{color:var(--series-{index})}}"
        + (f".chart .s{index} .line{{stroke-dasharray:{dash}}}" if dash else "")
        for index, dash in enumerate(DASHES, start=1)
    )
    primitives = "".join(
        f".chart .{name}{{fill:var(--{name})}}.chart .on-{name}{{fill:var(--on-{name})}}" for name in _PRIMITIVES
    )
    dark = f"@media (prefers-color-scheme:dark){{{_variables(COLOURS_DARK)}}}"
    return f"{_variables(COLOURS_LIGHT)}\n{dark}{_RULES}{series}\n{primitives}\n"


def _variables(colours: dict[str, str]) -> str:
    plain = "".join(f"--{name}:{colour};" for name, colour in colours.items())
    texts = "".join(f"--on-{name}:{on(colours[name])};" for name in _PRIMITIVES)
    return f":root{{color-scheme:light dark;{plain}{texts}}}"


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
