"""Wiki markup to paragraphs, piece by piece. Whole pages are in mediawiki_test.py."""

from collections import Counter

import mwparserfromhell
import pytest

from bert_jax.errors import UserError
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
        ("A 1848<ref>x</ref>1934 b<ref name=a/><ref>y</ref>c d<!-- -->e.", ["A 1848 1934 b c de."]),
        ("Text.<ref>x</ref>More [[File:a.jpg]]and x<math>y</math>z.", ["Text. More and x z."]),
        ("A [[35&nbsp;mm film]], [[Kruskal&ndash;Wallis]] and [[a|b&amp;c]] &#xD800;here.", None),
        ("An unclosed <ref>one and <!-- one.", ["An unclosed one and one."]),
        ("-{zh-hans:计算机; zh-hant:電腦;}-是-{机}-器。", ["计算机是机器。"]),
        ("-{H|zh-cn:巴士;zh-tw:公車}-A -{zh-cn;zh-tw|same}- -{A|zh-cn:[[b|c]];zh-tw:d}- -{{lang|fr|e}}-.", None),
        ("", []),
    ],
)
def test_what_is_text(markup, expected):
    if expected is None:
        expected = {
            "T": ["Text. More and more."],
            "A": ["A 35 mm film, Kruskal–Wallis and b&c here."],
            "-": ["A same c -e-."],
        }
        expected = expected[markup[0]]
    assert paragraphs(markup, NAMESPACES) == expected


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("1848{{snd}}1934", "1848 – 1934"),
        ("1848{{spaced ndash}}1934 and 1848{{Ndash}}1934", "1848 – 1934 and 1848–1934"),
        ("a{{mdash}}b, c{{mdashb}}d", "a—b, c — d"),
        ("5{{nbsp}}km, 6{{thinsp}}km", "5 km, 6 km"),
        ("{{convert|3|to|5|km}} away", "3 to 5 km away"),
        ("{{convert|3|-|5|km|mi|abbr=on}}", "3–5 km"),
        ("{{convert|3|x|5|x|6|cm}}", "3 × 5 × 6 cm"),
        ("{{cvt|2413|ft|0}} high", "2413 ft high"),
        ("{{convert|6|ft|2|in|m}} tall", "6 ft 2 in tall"),
        ("{{convert|-5|C}}, {{convert|{{formatnum:6000}}|km2|sqmi}}", "-5 °C, 6000 km²"),
        ("of {{formatnum:6000}} and {{formatnum:6000|R}}, {{uc:abc}}", "of 6000 and 6000, ABC"),
        ("5{{frac|1|2}} of {{frac|1|3|4}} a{{sfrac|4}}", "5 1/2 of 1 3/4 a 1/4"),
        ("{{val|1.5|0.1|e=3|u=km}} of 300{{e|9}}", "1.5±0.1×10^3 km of 300×10^9"),
        ("{{As of|2011|5|3}} it is, {{as of|2011|lc=y}}.", "As of 3 May 2011 it is, as of 2011."),
        ("It cost {{US$|5 million}} {{circa|1900}}, {{c.|1900|1910}}.", "It cost US$5 million c. 1900, c. 1900–1910."),
        ("The {{HMS|Hood|51|6}} and {{sclass|Iowa|battleship}}s", "The HMS Hood and Iowa-class battleships"),
        ("''Eagle''{{'}}s and ''Owl''{{'s}} {{abbr|Dr.|Doctor}}", "Eagle's and Owl's Dr."),
        ("B{{music|flat}} {{angbr|a}} {{chem|H|2|O}} XIX{{e}} siècle", "B♭ a H2O XIXe siècle"),
        ("{{nihongo|headquarters|本部|honbu}} of {{ill|Someone|de|Jemand}}", "headquarters of Someone"),
        ("{{lang_|x}} {{ Nowrap |a\nb}}", "a\nb"),
        ("word{{unknown|x}}word", "word word"),
        ("end.{{citation needed|date=May 2011}}Next {{cn}}, ({{IPA|x}}, the) {{!}}", "end. Next, (the) |"),
        ("1234{{coord|1|2}}5678 a{{b}}{{c}}d e{{f}}, g", "1234 5678 a d e, g"),
        ("{{Template:Snd}}x {{#if:a|b}}y {{{1}}}z", "– x y z"),
        ("He wrote:{{quote|Two\nlines of it.|author}}And so on.", "He wrote:\nTwo\nlines of it.\nAnd so on."),
    ],
)
def test_what_templates_show(markup, expected):
    assert paragraphs(f"Words {markup}") == f"Words {expected}".split("\n")


def test_templates_that_are_not_shown_are_counted_by_name():
    left_out = Counter()
    markup = (
        "{{Infobox_person|a={{b}}}}Words {{cn}} and {{Cn|date=x}}{{snd}}{{#if:a|b}} {{DEFAULTSORT:A}} {{" + "n" * 200
    )
    paragraphs(markup + "}}", left_out=left_out)
    assert left_out == {"infobox person": 1, "cn": 2, "#if:": 1, "defaultsort:": 1, "n" * 100: 1}


@pytest.mark.parametrize("part", ["<ref>", "<ref name='a'>", "<!--", "-{", "{{", "[[", "-{zh:", "( , ", "''"])
def test_markup_that_never_ends(part):
    """None of these may take time that grows with the square of the page, which would be hours here."""
    assert paragraphs("Words.\n\n" + part * 100_000)[:1] == ["Words."]


def test_a_page_that_no_parser_understands(monkeypatch):
    def gives_up(*_, **__):
        raise mwparserfromhell.parser.ParserError("This is a bug.")

    monkeypatch.setattr(mwparserfromhell, "parse", gives_up)
    with pytest.raises(UserError, match=r"this page cannot be parsed \(ParserError\); fix or remove it"):
        paragraphs("Words.")
