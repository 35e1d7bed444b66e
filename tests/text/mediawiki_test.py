"""A dump, made by hand and real, through the corpus' front."""

import bz2
import importlib.util
import re
from pathlib import Path

import pytest

from bert_jax.errors import UserError
from bert_jax.text import mediawiki
from bert_jax.text.corpus import Corpus
from bert_jax.text.corpus_checks import CorpusChecks

DUMP = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11">
  <siteinfo><namespaces><namespace key="-2">Media</namespace><namespace key="14">Kategorie</namespace>
    <namespace key="0" /></namespaces></siteinfo>
{pages}
</mediawiki>
"""
PAGE = """  <page>
    <title>{title}</title><ns>{ns}</ns>{redirect}
    <revision><contributor><username>text</username></contributor><model>{model}</model>
      <text xml:space="preserve">{text}</text></revision>
  </page>
"""


def page(text, title="T", ns=0, redirect="", model="wikitext"):
    return PAGE.format(text=text, title=title, ns=ns, redirect=redirect, model=model)


def dump(path, *pages):
    data = DUMP.format(pages="".join(pages)).encode()
    path.write_bytes(bz2.compress(data) if path.suffix != ".xml" else data)
    return str(path)


PAGES = (
    page("'''One''' &amp;amp; all.\n[[Kategorie:X]]\n== H ==\nTwo."),
    page("#REDIRECT [[One]]", redirect='<redirect title="One" />'),
    page("Talk.", ns=1),
    page("var a;", model="javascript"),
    page("{{only templates}}"),
    page("&lt;ref&gt;x&lt;/ref&gt;Three ü &lt;b&gt;日本&lt;/b&gt;."),
)


@pytest.mark.parametrize("name", ["a.xml", "a.xml.bz2", "enwiki-2024-pages-articles1.xml-p1p41242.bz2"])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_articles_in_order_and_the_rest_left_out(tmp_path, name, num_workers):
    file = dump(tmp_path / name, *PAGES)
    checks = CorpusChecks()
    found = [
        (document.sentences, document.place()) for document in Corpus([file], num_workers=num_workers).documents(checks)
    ]
    assert found == [(["One & all.", "Two."], f"{file}:7"), (["Three ü 日本."], f"{file}:35")]
    report = checks.report()
    dropped = {why: found.count for why, found in report.dropped.items()}
    assert dropped == {"redirect": 1, "not an article": 2, "article without a paragraph": 1}
    assert report.suspicious == {}
    assert report.templates_left_out == {"only templates": 1}


def test_a_page_that_cannot_be_read_is_reported_or_left_out(tmp_path, monkeypatch):
    def gives_up(markup, namespaces, left_out):
        if "Bad" in markup:
            raise UserError("this page cannot be parsed (ParserError); fix or remove it")
        return [markup]

    monkeypatch.setattr(mediawiki, "paragraphs", gives_up)
    file = dump(tmp_path / "a.xml", page("One."), page("Bad."), page("Two."))
    with pytest.raises(UserError, match=r"a\.xml, line 12: this page cannot be parsed .*--skip_bad_records=N"):
        list(Corpus([file]).documents())
    checks = CorpusChecks()
    found = Corpus([file], skip_bad_records=1).documents(checks)
    assert [document.sentences for document in found] == [["One."], ["Two."]]
    assert checks.report().dropped["bad records"].places == [f"{file}:12"]


def test_streamed(tmp_path):
    """The first article is there before the parser has come to the end, which is damaged."""
    file = tmp_path / "a.xml"
    file.write_text(DUMP.format(pages=page("Words of it.") * 2000)[:-200])
    documents = Corpus([str(file)]).documents()
    assert next(documents).sentences == ["Words of it."]
    with pytest.raises(UserError, match=r"a\.xml, line \d+ is not XML .*get the file again"):
        list(documents)


def test_xml_that_is_no_dump(tmp_path):
    (tmp_path / "a.xml").write_text("<html><page/></html>")
    with pytest.raises(UserError, match=r"a\.xml is XML, but no MediaWiki dump \(its root is html\)"):
        list(Corpus([f"{tmp_path}/a.xml"]).documents())


def test_without_the_parser_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"a\.xml needs mwparserfromhell; run launch/setup.sh wiki"):
        Corpus([dump(tmp_path / "a.xml")])


REAL = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"


@pytest.mark.skipif(importlib.util.find_spec("gensim") is None, reason="gensim, with its dump, is not installed")
def test_a_real_dump():
    file = Path(importlib.util.find_spec("gensim").origin).parent / "test" / "test_data" / REAL
    found = [document.sentences for document in Corpus([str(file)], num_workers=2).documents()]
    text = "\n".join(line for document in found for line in document)
    assert len(found) == 105
    assert found[0][0].startswith("Anarchism is a political philosophy that advocates self-governed societies")
    assert 2_400_000 < len(text) < 2_700_000
    assert not re.search(r"\{\{|\}\}|\[\[|\]\]|</?ref|</?div|\{\||thumb\||^==|^\*|^#", text, re.MULTILINE)
