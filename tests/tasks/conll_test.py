"""Words with tags: real files against a plain restatement of their form, and each way a line can be wrong."""

import json
import logging
import lzma
from pathlib import Path

import pytest

from bert_jax.config import TaskConfig
from bert_jax.errors import UserError
from bert_jax.tasks.columns import TAGGED_WORDS, Columns
from bert_jax.tasks.conll import read_tagging
from bert_jax.tasks.tags import check_tags, tag_scheme
from bert_jax.tasks.task_files import read_files


def read(path, columns=None, need_tags=True, header=None):
    return read_tagging(path, Columns.of(columns, TAGGED_WORDS), need_tags, header=header)


def plain(path, separator, word, tag):
    """[(words, tags)] of a well-formed file."""
    content = Path(path).read_bytes()
    text = (lzma.decompress(content) if path.endswith(".xz") else content).decode()
    blocks = [[line for line in block.split("\n") if line] for block in text.split("\n\n")]
    rows = [[line.split(separator) for line in block if not line.startswith("-DOCSTART-")] for block in blocks]
    return [([row[word] for row in block], [row[tag] for row in block]) for block in rows if block]


def pairs(examples):
    return [(list(example.words), list(example.tags)) for example in examples]


# Real files.


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("train", 8936), ("test", 2012)])
def test_conll_2000(real, name, count):
    path = real(f"conll2000/{name}.txt.xz")
    chunks, speech = read(path), read(path, "word:0,tag:1")
    assert pairs(chunks) == plain(path, " ", 0, 2)
    assert pairs(speech) == plain(path, " ", 0, 1)
    assert len(chunks) == len(speech) == count
    assert tag_scheme(e.tags for e in chunks) == "BIO"
    assert tag_scheme(e.tags for e in speech) == "none"
    assert check_tags(chunks) == check_tags(speech) == []
    if name == "train":
        assert len({tag for e in chunks for tag in e.tags}) == 22
        assert len({tag for e in speech for tag in e.tags}) in (43, 44)


@pytest.mark.parametrize(("name", "count", "entities"), [("train", 5424, 5134), ("dev", 923, 787), ("test", 940, 960)])
def test_ncbi_disease(real, name, count, entities):
    path = real(f"ncbi_disease/{name}.tsv")
    examples = read(path)
    assert pairs(examples) == plain(path, "\t", 0, 1)
    assert len(examples) == count
    assert sum(tag.startswith("B-") for e in examples for tag in e.tags) == entities
    assert tag_scheme(e.tags for e in examples) == "BIO"


@pytest.mark.parametrize(("name", "count"), [("train", 1315), ("dev", 229), ("test", 152)])
def test_wikigold(real, name, count, caplog):
    path = real(f"wikigold/{name}.txt")
    with caplog.at_level(logging.WARNING, logger="absl"):
        examples = read(path)
    expected = plain(path, " ", 0, 1)
    assert [words for words, _ in pairs(examples)] == [words for words, _ in expected]
    assert pairs(examples) == [(words, ["O" if tag == "0" else tag for tag in tags]) for words, tags in expected]
    assert len(examples) == count
    assert tag_scheme(e.tags for e in examples) == "IO"
    said = f"{path}, line 7463: the tag is the digit 0; it is read as O"
    assert caplog.messages == ([said] if name == "train" else [])


# Forms.


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Ada B-PER\nwrote O\n\nIt O\n", [("Ada wrote", "B-PER O"), ("It", "O")]),
        ("Ada\tB-PER\r\nwrote\tO\r\n\r\nIt\tO", [("Ada wrote", "B-PER O"), ("It", "O")]),
        ("\ufeffAda   B-PER  \n wrote O\n \t \n\u00a0\n\n\nIt O\n\n\n", [("Ada wrote", "B-PER O"), ("It", "O")]),
        ("Ada \t B-PER\nwrote\tO \n", [("Ada wrote", "B-PER O")]),
        ("-DOCSTART- -X- O O\n\nAda NNP B-NP B-PER\n-DOCSTART-\t-X-\n\nIt P B O\n", [("Ada", "B-PER"), ("It", "O")]),
        ("# O\n#1 O\n", [("# #1", "O O")]),
        ("\u200b O\n\u00a0 O\na\u2028b O\na\x85 O\n", [("\u200b|\u00a0|a\u2028b|a\x85", "O O O O")]),
    ],
)
def test_columns_of_words_and_tags(write, content, expected):
    found = [(" ".join(e.words), " ".join(e.tags)) for e in read(write("a.txt", content))]
    assert found == [(words.replace("|", " "), tags) for words, tags in expected]


def test_a_tab_parts_words_that_hold_spaces(write):
    assert pairs(read(write("a.tsv", "New York\tB-LOC\nis\tO\n"))) == [(["New York", "is"], ["B-LOC", "O"])]


def test_places_are_those_of_first_words(write):
    path = write("a.conll", "\nAda O\n\n\n-DOCSTART- O\n\nIt O\nis O\n")
    assert [e.place for e in read(path)] == [f"{path}, line 2", f"{path}, line 7"]


def test_words_alone_can_be_predicted(write):
    path = write("a.txt", "Ada\nwrote\t\n\nIt\n")
    assert [(e.words, e.tags) for e in read(path, need_tags=False)] == [(("Ada", "wrote"), None), (("It",), None)]
    assert [e.tags for e in read(path, "word:0,tag:2", need_tags=False)] == [None, None]
    with pytest.raises(
        UserError, match=r"a\.txt has no column of tags beside the words; give a file of words and tags"
    ):
        read(path)
    path = write("a.tsv", "Ada\tN\n")
    assert [e.tags for e in read(path, "word:0,tag:2", need_tags=False)] == [None]
    path = write("a.tsv", "Ada\tO\nwrote\t\n\nIt\tO\n")
    assert [e.tags for e in read(path, need_tags=False)] == [None, ("O",)]


@pytest.mark.parametrize(
    ("first", "columns", "header"),
    [
        ("word\tpos\tner_tag", None, None),
        ("\nToken\tPOS\tTag", None, None),
        ("Wort\tArt\tName", None, True),
        ("Wort\tArt\tName", "word:Wort,tag:Name", None),
        ("Wort\tArt\tName\n", "word:0,tag:Name", None),
    ],
)
def test_a_header_is_no_sentence(write, caplog, first, columns, header):
    path = write("a.tsv", f"{first}\nAda\tN\tB-PER\nwrote\tV\tO\n\nIt\tP\tO\n")
    with caplog.at_level(logging.INFO, logger="absl"):
        assert pairs(read(path, columns, header=header)) == [(["Ada", "wrote"], ["B-PER", "O"]), (["It"], ["O"])]
    line = first.split("\n").index(first.strip()) + 1
    assert f"{path}, line {line} is read as the header: " in caplog.messages[0]


def test_a_first_line_that_is_no_header_is_words(write):
    content = "word\tNN\nAda\tNN\n"
    assert pairs(read(write("a.tsv", content))) == [(["word", "Ada"], ["NN", "NN"])]
    possessive = "'s\tPOS\nAda\tNN\n"
    assert pairs(read(write("a.tsv", possessive))) == [(["'s", "Ada"], ["POS", "NN"])]
    header = "word\ttag\nAda\tNN\n"
    assert pairs(read(write("a.tsv", header), header=False)) == [(["word", "Ada"], ["tag", "NN"])]


CONLL_U = """# newdoc
# sent_id = s1
# text = Du chat
1-2\tDu\t_\t_\t_\t_\t_\t_\t_\t_
1\tDe\tde\tADP\tIN\t_\t3\tcase\t_\t_
2\tle\tle\tDET\tDT\t_\t3\tdet\t_\t_
2.1\tgone\t_\tX\t_\t_\t_\t_\t_\t_
3\t#\tchat\tNOUN\tNN\t_\t0\troot\t_\t_

# text = without id
1\tIl\til\tPRON\tPRP\t_\t0\troot\t_\t_
"""


def test_conll_u(write):
    examples = read(write("a.conllu", CONLL_U))
    assert pairs(examples) == [(["De", "le", "#"], ["ADP", "DET", "NOUN"]), (["Il"], ["PRON"])]
    assert [e.id for e in examples] == ["s1", None]
    assert [e.tags[0] for e in read(write("a.conllu", CONLL_U), "tag:4")] == ["IN", "PRP"]


def test_lists(write):
    rows = [
        {"id": 7, "tokens": ["Ada", "wrote"], "ner_tags": ["B-PER", "O"]},
        {"id": 8, "tokens": ["It"], "ner_tags": ["O"]},
    ]
    path = write("a.jsonl", "\n".join(map(json.dumps, rows)))
    assert [(e.id, e.words, e.tags) for e in read(path)] == [
        (7, ("Ada", "wrote"), ("B-PER", "O")),
        (8, ("It",), ("O",)),
    ]
    path = write("a.jsonl", json.dumps({"w": ["Ada"], "t": [3]}))
    assert pairs(read(path, "word:w,tag:t")) == [(["Ada"], ["3"])]
    path = write("a.jsonl", json.dumps({"words": ["Ada"], "pos": ["N"], "ner": ["O"]}))
    assert read(path, need_tags=False)[0].tags is None
    assert pairs(read(path, "tag:pos")) == [(["Ada"], ["N"])]


# Mistakes.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Ada\tO\nwrote O\n", r"line 2 has spaces between its columns, and lines before it have tabs; use one of them"),
        ("Ada O\n\nwrote\tO\n", r"line 3 has tabs between its columns, and lines before it have spaces; use one"),
        ("Ada NNP O\nwrote O\n", r"line 2 has 2 columns, and lines before it have 3; a word or tag is missing"),
        ("Ada O\nwrote\n", r"line 2 has 1 column, and lines before it have 2; a word or tag is missing"),
        ("Ada\nwrote O\n", r"line 2 has 2 columns, and lines before it have 1"),
        ("Ada\tO\nwrote\t\n", r"line 2 has no tag; write one \(O is outside\)"),
        ("Ada\tO\n\tO\n", r"line 2 has an empty word; fix or remove the line"),
        ("Ada O\nw\0 O\n", r"line 2 has a NUL"),
        (b"Ada O\n\xe9 O\n", r"line 2 is not UTF-8"),
        ("\n\n", r"has no sentences; give one with a word a line"),
        ("-DOCSTART- O\n\n", r"has no sentences"),
        ("", r"has no sentences"),
    ],
)
def test_what_is_no_sentence(write, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read(write("a.conll", content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("word:0,tag:2", r"a\.conll has no column '2' but 0, 1; correct tag: in --columns"),
        ("word:ner", r"a\.conll has no column 'ner' but 0, 1; correct word: in --columns"),
        ("word:1", r"has no column of tags beside the words"),
    ],
)
def test_a_column_that_is_not_there(write, columns, message):
    with pytest.raises(UserError, match=message):
        read(write("a.conll", "Ada O\n"), columns)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"words": ["Ada"]}, r"no column that is known to hold tags, but words; say which with --columns=tag:NAME"),
        ({"tags": ["O"]}, r"no column that is known to hold words, but tags"),
        ({"words": ["Ada"], "tags": ["O"], "pos": ["N"]}, r"more than one column that may hold tags \(tags, pos\)"),
        ({"words": "Ada", "tags": ["O"]}, r"line 1: 'words' is no list of words"),
        ({"words": [], "tags": []}, r"line 1: 'words' is no list of words"),
        ({"words": ["Ada", " "], "tags": ["O", "O"]}, r"line 1: 'words' is no list of words"),
        ({"words": ["Ada", "is"], "tags": ["O"]}, r"line 1 has 2 words and 1 tags in 'tags'; fix it"),
        ({"words": ["Ada"], "tags": ["O", "O"]}, r"line 1 has 1 words and 2 tags in 'tags'; fix it"),
        ({"words": ["Ada"], "tags": [""]}, r"line 1 has 1 words and 0 tags in 'tags'"),
        ({"words": ["Ada", "is"], "tags": ["O", None]}, r"line 1 has 2 words and 1 tags in 'tags'; fix it"),
        ({"words": ["Ada", "is"], "tags": [["O"], float("nan")]}, r"line 1 has 2 words and 0 tags in 'tags'; fix it"),
        ({"words": ["Ada"], "tags": None}, r"line 1 has 1 words and 0 tags in 'tags'"),
    ],
)
def test_lists_that_are_none(write, row, message):
    with pytest.raises(UserError, match=message):
        read(write("a.jsonl", json.dumps(row)))


# Tags.


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        (["I-A I-A O I-B"], "IO"),
        (["B-A I-A O B-A B-A"], "BIO"),
        (["B-A B-B"], "BIO"),
        (["I-A B-A I-A O I-B"], "IOB1"),
        (["I-A O", "B-A I-A"], "BIO"),  # a stray I-
        (["B-A E-A S-B O"], "BIOES"),
        (["B-A L-A U-B O"], "BILOU"),
        (["N V N"], "none"),
        (["O O"], "none"),
        (["0 3 4"], "none"),
        (["O O O O O O O O O 0 I-A"], "IO"),
        ([], "none"),
    ],
)
def test_schemes(sentences, scheme):
    assert tag_scheme([tags.split() for tags in sentences]) == scheme


def test_odd_tags_are_named_and_kept(write, caplog):
    path = write("a.txt", "Ada B-PER\n" + "is O\n" * 9 + "\nX PER\n")
    with caplog.at_level(logging.WARNING, logger="absl"):
        examples = read(path)
    assert check_tags(examples) == [(f"{path}, line 12, word 1 (X)", "PER")]
    assert examples[1].tags == ("PER",)
    assert caplog.messages == [
        f"{path}: tags of no span among tags of spans, left out of the loss and scored as O: 'PER' at {path}, line 12, "
        "word 1 (X)"
    ]


def test_zeros_of_word_tags_stay(write, caplog):
    assert pairs(read(write("a.txt", "a 0\nb 1\n"))) == [(["a", "b"], ["0", "1"])]
    assert not caplog.messages


def test_the_test_sentences_of_conll2000_have_a_tag_that_training_lacks(real, caplog):
    files = {split: str(real(f"conll2000/{split}.txt.xz")) for split in ("train", "test")}
    with caplog.at_level(logging.WARNING, logger="absl"):
        found = read_files(TaskConfig("tagging", files["train"], test=files["test"], columns="word:0,tag:2"))
    assert len(found.task.labels) == 22
    assert [line for line in caplog.messages if "never predicted" in line] == [
        f"{files['test']}, line 36802: the tag I-LST is not in the training file, so it is never predicted"
    ]
