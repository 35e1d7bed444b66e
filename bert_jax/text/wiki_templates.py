"""Templates of a wiki that stand for marks, words and numbers of the sentence around them, and their text there.

That is made of a template's arguments alone, nothing is computed. The names are the English Wikipedia's, its
redirects among them, and a few of others'. Other templates are left out, which is counted by name.
"""

import calendar
import re
from collections.abc import Callable, Mapping
from functools import partial

Arguments = Mapping[str, str]  # by name; those without one are "1", "2", ...

# In place of what is left out, and around numbers: a space where its neighbours would become one word.
GAP = "\1"
_APOSTROPHE = "\2"  # that is none of the markup's
_ENDS_WORD = re.compile(r"[\w.,;:!?)\]%]")
_BEGINS_WORD = re.compile(r"[\w(\[]")


def _named(names: str) -> list[str]:
    return names.split(", ")


# The text, and the templates that stand for it.
_MARKS = {
    " – ": "snd, snds, spnd, spndash, sndash, spaced ndash, spaced en dash, spaced endash",
    " — ": "mdashb, sem, semd, spaced mdash, spaced em dash, spaced emdash",
    "–": "–, ndash, endash, en dash, dash",
    "—": "—, mdash, emdash, em dash",
    "−": "−, minus",
    "-": "hyphen, nbh, nbhyph",
    " ": "nbsp, nnbsp, space, spaces, spc, thinsp, thin space, hairsp, hair space, ensp, emsp, quad, gap, pad",
    " · ": "·, dot, middot, •, bull, bullet",
    "": "wbr, zwsp, zwj, zwnj, shy, lrm, rlm",  # between parts of one word
    _APOSTROPHE: "', `, apostrophe",
    f"{_APOSTROPHE}s": "'s, `s",
    '"': '", "-, -"',
    f'{_APOSTROPHE}"': "' \", '\", '-\"",
    f'"{_APOSTROPHE}': "\" ', \"', \"-'",
    "...": "..., …, ellipsis",
    "ʻ": "okina, 'okina",
    "=": "=",
    "|": "!",
    "π": "pi",
    "×": "×, times",
    "±": "±, +-",
    "er": "er",  # the ordinals of French: 1{{er}}
    "re": "re",
}
# The argument that is the text, of several the first that is there; and the templates.
_ARGUMENT = {
    "1": "angbr, nowrap, nobr, nobreak, j, small, smaller, midsize, big, larger, resize, em, strong, italic, noitalic, "
    "nobold, serif, sans-serif, mono, code, key, keypress, kbd, var, samp, sc, sc1, sc2, smallcaps, allcaps, unicode, "
    "polytonic, hebrew, script/hebrew, script/arabic, math, mvar, sup, sub, abbr, abbrv, tooltip, sic, as written, "
    "not a typo, vanchor, visible anchor, wt, underline, strikethrough, overline, tq, format price, nts, railgauge, "
    "track gauge, chem2, comment, ruby, ruby-en, 読み仮名, nihongo2, le, link-en, lien, s",
    "2": "lang, transl, transliteration, rtl-lang, script, wikt-lang, langue, color, colour, font color, "
    "background color",
    "lt 1": "ill, interlanguage link, illm, 仮リンク",
    "1 2": "nihongo, nihongo foot, nihongo krt",
    "3 2": "tsl",
}
_BEFORE_ARGUMENT = {
    "US$": "us$, usd",
    "A$": "a$, aud",
    "C$": "c$, cad",
    "£": "£, gbp",
    "€": "€, eur",
    "¥": "¥, jpy, cny",
    "₹": "₹, inr, indian rupee",
    "c. ": "circa, c., ca.",
    "fl. ": "floruit, fl.",
    "r. ": "reign, r.",
    **{f"{ship} ": ship.lower() for ship in _named("HMS, USS, SS, RMS, MV, HMAS, HMCS, USNS, USCGC, SMS, INS, ORP")},
}
_BLOCKS = "quote, blockquote, block quote, bquote, cquote, quotation"

_RANGES = {
    "to": " to ",
    "to(-)": " to ",
    "-": "–",
    "–": "–",
    "and": " and ",
    "and(-)": " and ",
    "or": " or ",
    "by": " by ",
    "x": " × ",
    "×": " × ",
    "xx": " × ",
    "*": " × ",
    "+/-": " ± ",
    "±": " ± ",
    "+": " + ",
    ",": ", ",
}
_UNITS = {"km2": "km²", "m2": "m²", "cm2": "cm²", "m3": "m³", "km3": "km³", "cm3": "cm³", "kg/m3": "kg/m³"}
_UNITS |= {"sqmi": "sq mi", "sqft": "sq ft", "sqyd": "sq yd", "cuft": "cu ft", "cuyd": "cu yd", "C": "°C", "F": "°F"}
_UNITS |= {"C-change": "°C", "F-change": "°F"}
_NUMBER = re.compile(r"[-−+]?[\d½¼¾⅓⅔⅛][\d.,/+½¼¾⅓⅔⅛]*(e[-+]?\d+)?")


def close_up(text: str) -> str:
    """`text` with a space for each GAP between two words, and no other GAP."""
    texts: list[str] = []
    for after in filter(None, text.split(GAP)):
        if texts and _ENDS_WORD.match(texts[-1][-1]) and _BEGINS_WORD.match(after):
            texts.append(" ")
        texts.append(after)
    return "".join(texts).replace(_APOSTROPHE, "'")


def _mark(mark: str, arguments: Arguments) -> str:
    del arguments
    return mark


def _of_first(keys: str, arguments: Arguments) -> str:
    return next((arguments[key] for key in keys.split() if arguments.get(key, "").strip()), "")


def _after(mark: str, arguments: Arguments) -> str:
    until = arguments.get("2", "").strip() if mark in ("c. ", "fl. ", "r. ") else ""
    return mark + arguments.get("1", "").strip() + (f"–{until}" if until else "")


def _block(arguments: Arguments) -> str:
    return f"\n{_of_first('text quote 1', arguments)}\n"


def _positional(arguments: Arguments) -> list[str]:
    """The arguments without a name, in order."""
    values: list[str] = []
    while (key := str(len(values) + 1)) in arguments:
        values.append(arguments[key].strip())
    return values


def _converted(arguments: Arguments) -> str:
    """{{convert|3|to|5|km|mi}} → 3 to 5 km; {{convert|6|ft|2|in|m}} → 6 ft 2 in."""
    values = _positional(arguments)
    texts = values[:1]
    at = 1
    while at + 1 < len(values) and values[at].lower() in _RANGES:
        texts += [_RANGES[values[at].lower()], values[at + 1]]
        at += 2
    if at < len(values):
        texts += [" ", _UNITS.get(values[at], values[at])]
    # A number behind the unit is how the result is rounded, unless it has a unit, too.
    if at + 2 < len(values) and _NUMBER.fullmatch(values[at + 1]) and not _NUMBER.fullmatch(values[at + 2]):
        texts += [" ", values[at + 1], " ", values[at + 2]]
    return GAP + "".join(texts) + GAP


def _value(arguments: Arguments) -> str:
    """{{val|1.5|0.1|e=3|u=km}} → 1.5±0.1×10^3 km."""
    number, *more = [*_positional(arguments), ""]
    error = f"±{more[0]}" if more and _NUMBER.fullmatch(more[0]) else ""
    power = f"×10^{arguments['e'].strip()}" if "e" in arguments else ""
    unit = _of_first("u ul up", arguments).strip()
    return f"{GAP}{arguments.get('p', '')}{number}{error}{power}{' ' if unit else ''}{unit}{GAP}"


def _fraction(arguments: Arguments) -> str:
    """{{frac|2}} → 1/2, {{frac|3|4}} → 3/4, {{frac|1|3|4}} → 1 3/4."""
    *before, below = _positional(arguments) or [""]
    above = before.pop() if before else "1"
    return GAP + " ".join([*before, f"{above}/{below}"]) + GAP if below else GAP


def _power(arguments: Arguments) -> str:
    exponent = arguments.get("1", "").strip()
    return f"×10^{exponent}" if exponent else "e"  # the second is French, as in XIX{{e}}


def _as_of(arguments: Arguments) -> str:
    """{{as of|2011|5|3|lc=y}} → as of 3 May 2011."""
    if "alt" in arguments:
        return arguments["alt"]
    year, month, day, *_ = [*_positional(arguments), "", "", ""]
    if month.isdecimal() and 1 <= int(month) <= 12:
        month = calendar.month_name[int(month)]
    words = ["as of" if "lc" in arguments else "As of", day, month, year]
    return " ".join(filter(None, words))


def _ship(arguments: Arguments) -> str:
    return " ".join(_positional(arguments)[:2])


def _ship_class(arguments: Arguments) -> str:
    name, kind, *_ = [*_positional(arguments), "", ""]
    return f"{name}-class {kind}"


def _accidental(arguments: Arguments) -> str:
    sign = arguments.get("1", "").strip().lower()
    return {"flat": "♭", "sharp": "♯", "natural": "♮"}.get(sign, sign)


def _joined(arguments: Arguments) -> str:
    return "".join(_positional(arguments))


def _quantity(arguments: Arguments) -> str:
    return GAP + " ".join(_positional(arguments)[:2]) + GAP


# By the name in small letters. Those that end in a colon are functions of the wiki itself.
RENDERERS: dict[str, Callable[[Arguments], str]] = {
    **{name: partial(_mark, mark) for mark, names in _MARKS.items() for name in _named(names)},
    **{name: partial(_of_first, keys) for keys, names in _ARGUMENT.items() for name in _named(names)},
    **{name: partial(_after, mark) for mark, names in _BEFORE_ARGUMENT.items() for name in _named(names)},
    **dict.fromkeys(_named(_BLOCKS), _block),
    **dict.fromkeys(["convert", "cvt"], _converted),
    **dict.fromkeys(["frac", "fraction", "sfrac"], _fraction),
    **dict.fromkeys(["unité", "unidad", "nombre", "num", "fmtn"], _quantity),
    **dict.fromkeys(["chem", "linktext"], _joined),
    **dict.fromkeys(["sclass", "sclass-"], _ship_class),
    "val": _value,
    "e": _power,
    "as of": _as_of,
    "ship": _ship,
    "music": _accidental,
    "formatnum:": lambda arguments: arguments["1"],
    "lc:": lambda arguments: arguments["1"].lower(),
    "uc:": lambda arguments: arguments["1"].upper(),
    "lcfirst:": lambda arguments: arguments["1"][:1].lower() + arguments["1"][1:],
    "ucfirst:": lambda arguments: arguments["1"][:1].upper() + arguments["1"][1:],
}
