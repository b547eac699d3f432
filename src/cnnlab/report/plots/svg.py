"""Matplotlib's SVG, rewritten for the page: its own colours and fonts, small, without anything that could clash."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from cnnlab.report.tables import interval_end

PALETTE = {
    # Okabe and Ito's colours for colour-blind readers without yellow and black, then two of Tol's (muted).
    "c0": "#0072b2", "c1": "#d55e00", "c2": "#009e73", "c3": "#cc79a7",
    "c4": "#56b4e9", "c5": "#e69f00", "c6": "#882255", "c7": "#999933",
    "incumbent": "#333333", "ink": "#1c2127", "soft": "#8a8a8a", "line": "#e4e4e4", "paper": "#ffffff",
}  # fmt: skip
"""Colours by name: in a PNG they are these, on the page the CSS variables of these names."""
FONT_SIZE = 9
"""Of all texts that say nothing else, in points: 12 pixels."""
_NAMES = {colour: f"var(--{name})" for name, colour in PALETTE.items()}
_KEPT = ("fill", "stroke", "stroke-width", "stroke-dasharray", "fill-opacity", "stroke-opacity", "opacity",
         "text-anchor", "font-size", "font-weight")  # fmt: skip
_NOT_TO_SAY = {"fill": "none", "stroke-width": "1", "font-size": str(FONT_SIZE), "text-anchor": "start"}
_PREFIX = "mark "
_HIT = {"stroke": "var(--ink)", "stroke-opacity": "0"}
_SHORT = 80  # letters of a path that are worth repeating as an area that reacts to the pointer


def mark(label: str, trial: str = "") -> str:
    """Return the `gid` of an artist that is a mark: what it shows in words, and the trial it belongs to."""
    return _PREFIX + json.dumps([label, trial])


def clean(raw: bytes, alt: str, kind: str) -> str:
    """Return Matplotlib's SVG as an `<svg>` element for an HTML page.

    Only shapes and texts are kept. Colours are CSS variables. Each artist whose `gid` comes from `mark` becomes a
    `<g class="mark">`, with an invisible margin that reacts to the pointer.

    Args:
        raw: The file, written with `svg.fonttype: "none"`.
        alt: What the picture shows, in words.
        kind: "wide" or "narrow".

    Raises:
        ValueError: The picture has a colour that is not in `PALETTE`, or an element that is not a shape or a text.
    """
    source = ElementTree.fromstring(raw)  # noqa: S314 - by Matplotlib, from us
    shapes = {path.get("id"): path for path in source.iter() if _tag(path) == "path" and path.get("id")}
    _, _, width, height = map(float, source.get("viewBox", "").split())
    root = Element(
        "svg",
        {
            "class": f"plot {kind}", "role": "group", "aria-label": alt, "width": _number(width * 96 / 72),
            "height": _number(height * 96 / 72), "viewBox": f"0 0 {_number(width)} {_number(height)}",
            "font-size": str(FONT_SIZE), "fill": "none",
        },
    )  # fmt: skip
    _copy(source, root, shapes)
    return ElementTree.tostring(root, "unicode").replace(" />", "/>")


def _copy(source: Element, into: Element, shapes: Mapping[str | None, Element]) -> None:
    for child in source:
        match _tag(child):
            case "g":
                _copy(child, _group(child.get("id", ""), into), shapes)
            case "path":
                _add_path(child, into, _style(child), 0, 0)
            case "use":
                shape = shapes[next(value for name, value in child.items() if name.endswith("href"))[1:]]
                style = _style(shape) | _style(child)
                _add_path(shape, into, style, float(child.get("x", 0)), float(child.get("y", 0)))
            case "text":
                _add_text(child, into)
            case "metadata" | "defs":
                pass
            case other:
                raise ValueError(f"Expected shapes and texts. Received: <{other}>. Draw it otherwise.")


def _tag(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _group(gid: str, into: Element) -> Element:
    """Return the group of a mark; that of the artist before if both have the same gid; `into` for what is no mark."""
    if not gid.startswith(_PREFIX):
        return into
    label, trial = json.loads(gid[len(_PREFIX) :])
    about = {"class": "mark", "role": "img", "aria-label": label} | ({"data-trial": trial} if trial else {})
    last = into[-1] if len(into) else None
    return last if last is not None and last.attrib == about else SubElement(into, "g", about)


def _style(element: Element) -> dict[str, str]:
    pairs = (part.split(":", 1) for part in element.get("style", "").split(";") if part)
    style = {name.strip(): value.strip().removesuffix("px") for name, value in pairs}
    return {name: _colour(value) if name in ("fill", "stroke") else value for name, value in style.items()}


def _look(style: Mapping[str, str]) -> dict[str, str]:
    kept = {name: style[name] for name in _KEPT if name in style and style[name] != _NOT_TO_SAY.get(name)}
    return {name: value.removeprefix("0") if value.startswith("0.") else value for name, value in kept.items()}


def _colour(value: str) -> str:
    if value == "none":
        return value
    if value not in _NAMES:
        raise ValueError(f"Expected a colour of PALETTE. Received: {value!r}. Add it there and to the page's CSS.")
    return _NAMES[value]


def _add_path(shape: Element, into: Element, style: Mapping[str, str], x: float, y: float) -> None:
    look = _look(style)
    if not look.keys() & {"fill", "stroke"}:
        return
    data = shape.get("d", "")
    is_mark = into.get("class") == "mark"
    if "C" in data and (x or y):  # the only round marker
        radius = max(abs(float(number)) for number in re.findall(r"[-\d.]+", data))
        hit = _HIT | {"stroke-width": "8"} if is_mark and not len(into) and "stroke" not in look else {}
        SubElement(into, "circle", {"cx": _number(x), "cy": _number(y), "r": _number(radius)} | look | hit)
        return
    short = _path(data, x, y)
    if not short:
        return
    alike = (path for path in into if path.tag == "path" and path.attrib == look | {"d": path.get("d")})
    if not is_mark and (path := next(alike, None)) is not None:  # as the lines of a grid
        path.set("d", path.get("d", "") + short)
        return
    SubElement(into, "path", {"d": short} | look)
    if is_mark and "stroke" in look and len(short) < _SHORT:
        SubElement(into, "path", {"d": short, **_HIT, "stroke-width": "9"})


def _path(data: str, x: float, y: float) -> str:
    """Return a path with coordinates relative to the point before, rounded to 0.1 points without adding up errors."""
    written: list[str] = []
    here, last = (0, 0), ""
    for command, arguments in re.findall(r"([A-Za-z])([^A-Za-z]*(?:e-?\d+[^A-Za-z]*)*)", data):
        values = [float(value) for value in arguments.split()]
        points = [(round(10 * (a + x)), round(10 * (b + y))) for a, b in zip(values[::2], values[1::2], strict=True)]
        if command == "z":
            written.append("z")
        elif command == "M":
            written.append("M" + _tenths(points[0]))
        elif points[-1] != here:
            steps = (coordinate - start for point in points for coordinate, start in zip(point, here, strict=True))
            text = _tenths(steps)
            joint = "" if text.startswith("-") else " "
            written.append(f"{joint}{text}" if command == last else command.lower() + text)
        else:
            continue
        here, last = points[-1] if points else here, command
    return "".join(written) if len(written) > 1 else ""


def _tenths(numbers: Iterable[int]) -> str:
    text = ""
    for number in numbers:
        one = _number(number / 10)
        text += one if not text or one.startswith("-") else f" {one}"
    return text


def _number(value: float) -> str:
    """Return a number with at most one decimal, as short as SVG allows."""
    text = f"{value:.1f}".removesuffix(".0").replace("0.", ".") if abs(value) < 1 else f"{value:.1f}".removesuffix(".0")
    return "0" if text in ("-0", "") else text


def _add_text(source: Element, into: Element) -> None:
    style = _style(source)
    place = source.get("transform", "")
    numbers = [float(number) for number in re.findall(r"-?[\d.]+(?:e-?\d+)?", place)]
    if place.startswith("translate"):
        x, y, *rest = numbers
        angle = rest[0] if rest else 0.0
    else:
        x, y, angle = float(source.get("x", 0)), float(source.get("y", 0)), numbers[0] if numbers else 0.0
    look = {"fill": "var(--ink)"} | _look(style)
    if angle % 360:
        look["transform"] = f"rotate({_number(angle)} {_number(x)} {_number(y)})"
    SubElement(into, "text", {"x": _number(x), "y": _number(y)} | look).text = _with_letters(source.text or "")


def _with_letters(text: str) -> str:
    """Return a label with the letters that no font of this machine has: the reader's browser may have one."""

    def letter(escape: re.Match[str]) -> str:
        found = chr(int(escape[1] or escape[2], 16))
        return found if found.isprintable() else escape[0]

    return re.sub(r"\\u([0-9a-f]{4})|\\U(000[0-9a-f]{5}|0010[0-9a-f]{4})", letter, text)


def mini_interval(low: float, difference: float, high: float, limit: float) -> str:
    """Return a small `<svg>` for a line of text: a difference and its interval around a line at zero.

    Args:
        low: Lower end of the interval; NaN for none.
        difference: The difference.
        high: Upper end of the interval; NaN for none.
        limit: The scale goes from -limit to limit; what lies beyond is drawn at its end.
    """

    def place(value: float) -> str:
        return _number(70 + 66 * max(-1.0, min(1.0, value / limit if limit else 0.0)))

    has_interval = not math.isnan(low)
    is_conclusive = has_interval and (low > 0 or high < 0)
    words = f"{difference:+z.3f}" + (
        f" ({interval_end(low)} to {interval_end(high)})" if has_interval else ", no interval"
    )
    colour = "c0" if is_conclusive else "soft"
    bar = (
        f'<line x1="{place(low)}" x2="{place(high)}" y1="9" y2="9" stroke="var(--{colour})" stroke-width="2"/>'
        if has_interval
        else ""
    )
    return (
        f'<svg class="mini" role="img" aria-label="{words}" '
        f'width="140" height="18" viewBox="0 0 140 18">'
        f'<line x1="70" x2="70" y1="1" y2="17" stroke="var(--ink)" stroke-opacity=".4"/>{bar}'
        f'<circle cx="{place(difference)}" cy="9" r="4" fill="var(--{colour})"/></svg>'
    )
