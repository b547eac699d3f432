"""Links from the words of a page to its glossary."""

import re
from typing import TYPE_CHECKING

from markupsafe import Markup

from cnnlab.report.page.glossary import TERMS

if TYPE_CHECKING:
    from bs4 import BeautifulSoup
    from bs4.element import PageElement

_UNLINKED = ["a", "button", "pre", "table"]
"""Elements in a paragraph in whose text no term becomes a link. In code, it must be the whole text, as `val_f1`."""

_ONLY_NOTED = ["h2", "h3", "h4", "h5", "th", "td", "figcaption"]
"""Elements whose terms are explained in the glossary, without a link."""


def term_id(name: str) -> str:
    """Return the id of a term in the glossary."""
    return f"term-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"


class TermLinks:
    """Makes the links of one page, and notes which terms it explains."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def link(self, name: str, shown: str = "") -> Markup:
        """Return the link of a term, shown as it is called or by other words."""
        self._used.add(name)
        markup = Markup('<a class="term" href="#{}" title="{}">{}</a>')
        return markup.format(term_id(name), TERMS[name].definition, shown or name)

    def link_first(self, soup: "BeautifulSoup") -> None:
        """Make the first occurrence of each term in the paragraphs and lists of a chapter a link.

        The glossary explains the terms of headings, tables and captions too, which get no link.
        """
        for text in {element.get_text(" ") for element in soup.find_all(_ONLY_NOTED)}:
            self._used |= {name for name, term in TERMS.items() if re.search(term.pattern, text)}
        unlinked = set(TERMS)
        strings = (string for text in soup.find_all(["p", "li"]) for string in text.find_all(string=True))
        for string in strings:
            if string.find_parent(_UNLINKED) or (string.find_parent("code") and str(string) not in unlinked):
                continue
            for part in self._linked(soup, str(string), unlinked):
                string.insert_before(part)
            string.extract()

    def _linked(self, soup: "BeautifulSoup", text: str, unlinked: set[str]) -> list["PageElement"]:
        """Return a text as parts, with links for the terms in it, which are then removed from `unlinked`."""
        matches = {name: match for name in unlinked if (match := re.search(TERMS[name].pattern, text))}
        if not matches:
            return [soup.new_string(text)]
        # The first one; of several at one place the longest.
        name, match = min(matches.items(), key=lambda pair: (pair[1].start(), -len(pair[1][0]), pair[0]))
        unlinked.remove(name)
        self._used.add(name)
        link = soup.new_tag("a", attrs={"class": "term", "href": f"#{term_id(name)}", "title": TERMS[name].definition})
        link.string = match[0]
        before, after = text[: match.start()], text[match.end() :]
        return [soup.new_string(before), link, *self._linked(soup, after, unlinked)]

    @property
    def entries(self) -> list[tuple[str, str, str]]:
        """The glossary: id, name and definition of each term of the page, in alphabetical order."""
        return [(term_id(name), name, term.definition) for name, term in TERMS.items() if name in self._used]
