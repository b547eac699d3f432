"""What markup a page may have: nothing that runs, loads a file or sets a style."""

import re

import nh3

# fmt: off
_TAGS = {
    "a", "b", "blockquote", "br", "caption", "code", "dd", "del", "details", "div", "dl", "dt", "em", "figcaption",
    "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "kbd", "li", "ol", "p", "pre", "s", "small", "span",
    "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
}
_SVG_TAGS = {"circle", "g", "line", "path", "polyline", "rect", "svg", "text", "tspan"}
_DROPPED_WHOLE = {
    "iframe", "math", "noembed", "noframes", "noscript", "object", "script", "select", "style", "template", "textarea",
    "title", "xmp",
}
"""Tags that are removed with their content: no text for readers, or text that a browser may read as markup."""
_NUMBERS = {  # attributes of SVG whose values are numbers
    "cx", "cy", "dx", "dy", "fill-opacity", "font-size", "font-weight", "opacity", "points", "r", "rx",
    "stroke-dasharray", "stroke-opacity", "stroke-width", "viewBox", "x", "x1", "x2", "y", "y1", "y2",
}
# fmt: on
_ATTRIBUTES = {
    "*": {"class", "id"},
    "a": {"aria-label", "href", "title"},
    "img": {"alt", "height", "src", "width"},
    **{name: {"colspan", "rowspan", "scope"} for name in ("td", "th")},
    **{
        name: {*_NUMBERS, "aria-label", "class", "d", "data-trial", "fill", "height", "role", "stroke"}
        | {"stroke-linecap", "text-anchor", "transform", "width"}
        for name in _SVG_TAGS
    },
}
_COLOUR = r"none|transparent|currentColor|var\(--[a-z0-9-]+\)"
_VALUES = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "colspan": r"[0-9]{1,4}",
        "d": r"[-+MLHVCSQTAZ0-9e.,\s]*",
        "fill": _COLOUR,
        "height": r"[0-9.]{1,7}",
        # A part of the page, another site, or a file that lies beside the page.
        "href": r"#.*|https?://.*|(?:notebooks/)?[a-z0-9][a-z0-9-]*\.(?:csv|ipynb|json|keras|md|toml)",
        "role": r"group|img",
        "rowspan": r"[0-9]{1,4}",
        "scope": r"(?:col|row)(?:group)?",
        # Not SVG, which may contain scripts and may be opened by itself.
        "src": r"data:image/(?:png|jpeg);base64,[a-z0-9+/=\s]+",
        "stroke": _COLOUR,
        "stroke-linecap": r"butt|round",
        "text-anchor": r"start|middle|end",
        "transform": r"(?:(?:translate|scale|rotate)\([-0-9e.,\s]*\)\s*)*",
        "width": r"[0-9.]{1,7}",
        **dict.fromkeys(_NUMBERS, r"[-0-9e.,\s]*"),
    }.items()
}
"""Pattern that the whole value of an attribute must match. The other attributes are plain text: any value is safe."""


def _allowed(_tag: str, name: str, value: str) -> str | None:
    pattern = _VALUES.get(name)
    return value if pattern is None or pattern.fullmatch(value) else None


_CLEANER = nh3.Cleaner(
    tags=_TAGS | _SVG_TAGS,
    clean_content_tags=_DROPPED_WHOLE,
    attributes=_ATTRIBUTES,
    attribute_filter=_allowed,
    url_schemes={"data", "http", "https"},  # `_VALUES` decides which of them an attribute may have
)


def sanitise(fragment: str) -> str:
    """Return an HTML fragment with only what the page needs: nothing that runs, loads a file or sets a style.

    Tags and attributes that are not on the lists are removed. The result is well-formed: a tag that the fragment leaves
    open is closed at its end. The fragment may be any text. SVG may have shapes and text, in the colours of the page.
    """
    return _CLEANER.clean(fragment)
