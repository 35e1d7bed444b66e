"""Which column is what: as `--columns` says, or by its name.

`--columns=text:1,text2:2,label:4` or `--columns=text:sentence_A,label:judgment`: a role, a colon, a column, which is
its name in the header or its number, from 0. A name goes before a number: where a column is called "1", that is meant.
Several columns for one role (choices, negatives) are joined by +, as in choices:7+8+9+10.

Without --columns, names decide, in any case and with or without _, - and spaces: the words below. Where they do not
decide, because none is there or several are, nothing is guessed.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from bert_jax.errors import UserError

LabelKind = Literal["class", "labels", "number"]
COLUMNS_HELP = "Column of each role, by name or number: text:1,label:4."
HEADER_HELP = "Whether the first row is a header."
AS_IN_TRAINING = " Default: as in training."

TEXTS = ("text", "text2", "label", "id")  # roles of tables of texts
CHOICES, PAIRS_AND_NEGATIVES, TAGGED_WORDS = (*TEXTS, "choices"), (*TEXTS, "negatives"), ("word", "tag", "id")
ROLES = tuple(dict.fromkeys((*CHOICES, *PAIRS_AND_NEGATIVES, *TAGGED_WORDS)))
NOT_TO_PREDICT = ("label", "id", "negatives")  # roles that a file to predict may be without, whatever --columns says
# Two texts of a row; "question" and "sentence" are QNLI's, "#1 String" is MRPC's.
PAIRS = (
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("text", "text2"),
    ("text", "textpair"),
    ("texta", "textb"),
    ("sentencea", "sentenceb"),
    ("sentence", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "answer"),
    ("query", "passage"),
    ("query", "document"),
    ("query", "answer"),
    ("#1string", "#2string"),
    ("anchor", "positive"),
    ("query", "positive"),
    ("question", "positive"),
)
SINGLES = ("text", "sentence", "review", "content", "document", "abstract", "comment", "tweet", "question", "query")
_TEXTS = {*SINGLES, *(word for pair in PAIRS for word in pair)}
_CLASSES = (
    *("label", "labels", "goldlabel", "class", "category", "target", "sentiment", "isduplicate", "quality"),
    *("entailmentjudgment", "entailmentlabel", "acceptability", "topic", "intent", "emotion"),
)
SCORES = ("score", "relatednessscore", "similarity", "similarityscore", "rating")
LABELS: dict[LabelKind, tuple[tuple[str, ...], ...]] = {  # those of the first group that has any
    "class": (_CLASSES,),
    "labels": (("labels",), ("label", "classes", "categories", "tags")),
    "number": (SCORES, ("label", "labels", "target", "isduplicate", "quality")),
}
IDS = ("id", "idx", "guid", "uid", "pairid", "index")  # the first that is there
NEGATIVE = "negative"  # and negative1, negatives ...
# Other words of the headers of known sets, by which a first row is known to be a header.
_OTHERS = {
    *("dataset", "genre", "filename", "year", "oldindex", "source", "source1", "source2", "promptid", "qid1", "qid2"),
    *("#1id", "#2id", "sentence1parse", "sentence2parse", "sentence1binaryparse", "sentence2binaryparse", "captionid"),
    *("label1", "label2", "label3", "label4", "label5", "entailmentab", "entailmentba", "sentenceaoriginal"),
    *("sentenceboriginal", "sentenceadataset", "sentencebdataset", "semevalset", "title", "date", "author", "split"),
    *("videoid", "foldind", "startphrase", "sent1", "sent2", "goldsource", "ctx", "ctxa", "ctxb", "activitylabel"),
    *("choices", "endings", "options", "context", "answers", "words", "tokens", "nertags", "postags", "word", "tag"),
    *("queryid", "corpusid", "unnamed:0"),
}
_NUMBERED = ("choice", "ending", "option", NEGATIVE)  # with a number after it
_WORDS = {*_TEXTS, *IDS, *_OTHERS, NEGATIVE, "negatives", *(w for groups in LABELS.values() for g in groups for w in g)}


@dataclasses.dataclass(frozen=True)
class Columns:
    """What --columns says: a column, by name or number, for some of the roles."""

    said: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, spec: str | None, roles: Sequence[str] = TEXTS) -> "Columns":
        """The value of --columns, None or "" if it is not given; UserError if it is none of these `roles`."""
        said: dict[str, str] = {}
        for part in (spec or "").split(",") if spec else ():
            role, colon, column = (piece.strip() for piece in part.partition(":"))
            if not colon or not column or role not in roles:
                raise UserError(
                    f"--columns={spec}: {part!r} names no column that is read here; write ROLE:COLUMN, as in "
                    f"{roles[0]}:1, where a role is one of {', '.join(roles)}"
                )
            if role in said:
                raise UserError(f"--columns={spec} says {role} twice; leave one out")
            said[role] = column
        return cls(tuple(said.items()))

    def get(self, role: str) -> str | None:
        """The column of a role as it was said."""
        return dict(self.said).get(role)

    @property
    def names(self) -> list[str]:
        """The columns that are said by name."""
        return [part for _, column in self.said for part in column.split("+") if not part.isdecimal()]

    @property
    def numbers(self) -> list[int]:
        """Those that are said by number."""
        return [int(part) for _, column in self.said for part in column.split("+") if part.isdecimal()]


class NoSuchColumnsError(UserError):
    """None of the columns that --columns says is there."""


def normal(name: str) -> str:
    """A column's name as it is looked up: "sentencea" of "sentence_A"."""
    return "".join(c for c in name.casefold() if c not in "_- \t")


def is_known(name: str) -> bool:
    """Whether a cell is a word that headers consist of."""
    word = normal(name)
    stem = word.rstrip("0123456789")
    return word in _WORDS or (stem != word and stem in _NUMBERED)


def resolve(column: str, names: Sequence[str], by_number: bool, path: str, role: str) -> str:
    """The name of the column that --columns means; UserError if it is not there."""
    if column in names:
        return column
    if by_number and column.isdecimal() and int(column) < len(names):
        name = names[int(column)]
        if role in ("text", "text2") and _is_no_text(name):
            raise UserError(
                f"{path} has {name!r} as column {column}, which is read as the text; give names, as in "
                f"--columns={role}:{name} if that is meant"
            )
        return name
    remedy = f"correct {role}: in --columns"
    if role == "label":
        remedy += ", or give a file with labels: training and scores need them"
    raise UserError(f"{path} has no column {column!r} but {listed(names)}; {remedy}")


def _is_no_text(name: str) -> bool:
    """Whether a header calls a column so that it holds labels, scores or ids."""
    word = normal(name)
    return word not in _TEXTS and (word in IDS or any(word in group for groups in LABELS.values() for group in groups))


def listed(names: Sequence[str]) -> str:
    """The columns for a message, in one short line."""
    line = " ".join(", ".join(name or "(no name)" for name in names).split())
    return line if len(line) <= 200 else line[:200] + " ..."


def find_texts(names: Sequence[str], path: str) -> tuple[str, str | None]:
    """The column of the text, and of the second one, if there is one, by their names."""
    found = {normal(name): name for name in names if normal(name) in _TEXTS}
    for first, second in PAIRS:
        if set(found) == {first, second}:
            return found[first], found[second]
    if len(found) == 1:
        return next(iter(found.values())), None
    what = f"more than one that may hold the text ({listed(list(found.values()))})" if found else "none of a known name"
    raise UserError(
        f"{path} has the columns {listed(names)}, {what}; say which holds the text with --columns=text:NAME "
        "(and text2:NAME, for pairs)"
    )


def find_label(names: Sequence[str], kind: LabelKind, path: str) -> str | None:
    """The column of the label by its name, None if there is none; UserError if there are several."""
    for group in LABELS[kind]:
        found = [name for name in names if normal(name) in group]
        if len(found) > 1:
            raise UserError(
                f"{path} has more than one column that may be the label ({listed(found)}); "
                "say which with --columns=label:NAME"
            )
        if found:
            return found[0]
    return None


def find_id(names: Sequence[str]) -> str | None:
    """The column of the row's own id by its name, None if there is none."""
    found = {normal(name): name for name in reversed(names)}
    return next((found[word] for word in IDS if word in found), None)
