"""Wiki markup to paragraphs, piece by piece. Whole pages are in mediawiki_test.py."""

import pytest

from bert_jax.text.wikitext import paragraphs

NAMESPACES = frozenset({"datei", "kategorie", "wikipedia"})


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("'''Bold''' and ''italic'' text.", ["Bold and italic text."]),
        ("A [[link]], [[Page|another]] and [[Page#Part|a third]]s.", ["A link, another and a thirds."]),
        ("See [http://x.org the page] or [http://x.org].", ["See the page or."]),
        ("One.\n== Heading ==\nTwo.\n\n=== Other ===\nThree.", ["One.", "Two.", "Three."]),
        ("Text.<ref>Book, p. 3</ref> More<ref name=a/> and<ref name='b'>[[x]] {{cite}}</ref> more.", None),
        ("{{Infobox|a={{b|c}}\n|d=[[e]]}}\nText {{citation needed}}here.", ["Text here."]),
        (
            "Before.\n{| class=wikitable\n! Head\n|-\n| cell || [[cell]]\n{|\n| inner\n|}\n|}\nAfter.",
            ["Before.", "After."],
        ),
        ("[[File:a.jpg|thumb|A [[caption]] with a [[link|word]].]]Text.", ["Text."]),
        ("[[Image:a.jpg]][[Category:Things|sort]][[de:Ding]][[simple:Thing]]Text.", ["Text."]),
        ("[[Datei:a.jpg|mini|Titel]] Ein Satz. [[Kategorie:Ding]]", ["Ein Satz."]),
        ("A [[:Category:Things]] link.", ["A Category:Things link."]),
        ("Intro:\n* item one\n** item two\n# number\n; term : meaning\n: indented\nEnd.", ["Intro:", "End."]),
        ("<!-- hidden -->Seen<!-- \n\n -->.", ["Seen."]),
        ("a &amp; b&nbsp;c &lt;d&gt; &#65;", ["a & b c <d> A"]),
        ("x<sup>2</sup> <math>\\frac{a}{b}</math>is <span style='a'>here</span><br />there", ["x2 is here", "there"]),
        ("<gallery>\nFile:a.jpg|caption\n</gallery>Text.<syntaxhighlight>x = 1</syntaxhighlight>", ["Text."]),
        (
            "It is {{convert|100|km|mi}} to {{lang|fr|la gare}}{{nowrap|, {{lang|de|dort}}}}.",
            ["It is 100 km to la gare, dort."],
        ),
        ("Tokyo ({{lang-ja|東京}}, {{IPA|x}}; ) is.", ["Tokyo is."]),
        ("Paris ({{IPA|x}}, the capital) is.", ["Paris (the capital) is."]),
        ("__NOTOC__\nText.\n{{unclosed\nRest.", ["Text.", "Rest."]),
        ("| left over cell\n!head\n---- \n1234\nWords.", ["Words."]),
        ("العربية [[لغة|اللغة]] و'''עברית'''.", ["العربية اللغة وעברית."]),
        ("", []),
    ],
)
def test_what_is_text(markup, expected):
    assert paragraphs(markup, NAMESPACES) == (expected or ([] if not markup else ["Text. More and more."]))
