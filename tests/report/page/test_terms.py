"""The first occurrence of a term in a chapter leads to the glossary, which has the terms of the page alone."""

from bs4 import BeautifulSoup

from cnnlab.report.page.glossary import TERMS
from cnnlab.report.page.terms import TermLinks


def linked(html):
    terms, soup = TermLinks(), BeautifulSoup(html, "html.parser")
    terms.link_first(soup)
    return terms, soup


def test_the_first_occurrence_is_a_link_with_the_definition():
    terms, soup = linked("<p>One seed and two seeds.</p><p>A seed.</p>")
    [link] = soup.select("a.term")
    assert (link.get_text(), link["href"], link["title"]) == ("seed", "#term-seed", TERMS["seed"].definition)
    assert soup.get_text() == "One seed and two seeds.A seed."
    assert terms.entries == [("term-seed", "seed", TERMS["seed"].definition)]


def test_code_and_links_are_left_alone():
    terms, soup = linked("<pre>seed</pre><a href='#x'>seed</a><code>seed = 1</code>")
    assert not soup.select("a.term")
    assert terms.entries == []


def test_terms_of_headings_tables_and_captions_are_explained_without_a_link():
    html = "<h3>Calibration</h3><table><tr><th>precision</th><td>macro average</td></tr></table>"
    terms, soup = linked(html + "<figcaption>By epoch.</figcaption>")
    assert not soup.select("a.term")
    assert [name for _, name, _ in terms.entries] == ["calibration", "epoch", "macro average", "precision"]


def test_code_that_is_a_term_is_linked():
    _, soup = linked("<p><code>val_f1</code></p>")
    assert soup.code.a.get_text() == "val_f1"


def test_of_two_terms_at_one_place_the_longer_one_is_linked():
    _, soup = linked("<p>It is within one standard error.</p>")
    assert [link["href"] for link in soup.select("a.term")] == ["#term-one-standard-error-rule"]


def test_a_text_is_never_markup():
    _, soup = linked("<p>&lt;b&gt; a seed &lt;i&gt;</p>")
    assert soup.decode().startswith("<p>&lt;b&gt; a <a ")
    assert not soup.select("b, i")
