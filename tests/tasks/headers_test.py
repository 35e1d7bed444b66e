"""A header is found or asked for, and no row of data is eaten."""

import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.columns import Columns
from bert_jax.tasks.headers import is_header
from bert_jax.tasks.tables import read_table

# First rows of known sets as they are published.
HEADERS = [
    "sentence\tlabel",
    "index\tsentence",
    "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
    "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\t"
    "sentence1\tsentence2\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label",
    "index\tquestion\tsentence\tlabel",
    "index\tsentence1\tsentence2\tlabel",
    "\tvideo-id\tfold-ind\tstartphrase\tsent1\tsent2\tgold-source\tending0\tending1\tending2\tending3\tlabel",
    "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment",
    "pair_ID\tsentence_A\tsentence_B\tentailment_label\trelatedness_score\tentailment_AB\tentailment_BA\t"
    "sentence_A_original\tsentence_B_original\tsentence_A_dataset\tsentence_B_dataset\tSemEval_set",
    "dataset\tscore\tsentence1\tsentence2",
    "review\tsentiment",
    "Text\tLabel",
    "TEXT\tLABEL",
    "anchor\tpositive\tnegative",
    "\ttext\tlabel",
    "premise\thypothesis\tlabel",
]
# First rows of data.
DATA = [
    "gj04\t1\t\tOur friends won't buy this analysis.",
    "1\t0",
    "text\ttext",
    "text\tsports",
    "What is it?\tlabel",
    "\t",
    "text\t",
    "hide new secretions from the parental units\t0",
    "review\t0",
]


@pytest.mark.parametrize("row", HEADERS)
def test_headers_of_known_sets_are_found(row):
    assert is_header(row.split("\t"), Columns.of(None), None, "here")
    assert is_header(row.split("\t"), Columns.of("text:1"), None, "here")


def test_spaces_around_names_are_none_of_them(tmp_path):
    (tmp_path / "a.csv").write_text("id, body, label\n1, the cat, x\n")
    table = read_table(str(tmp_path / "a.csv"), Columns.of("text:body,label:label"))
    assert table.columns == ("id", "body", "label")


@pytest.mark.parametrize("row", DATA)
def test_data_is_not_eaten(row):
    asked = r"^here: is it a header \(.*--header=yes or --header=no.*--columns=text:3,label:1"
    with pytest.raises(UserError, match=asked):
        is_header(row.split("\t"), Columns.of(None), None, "here")
    assert not is_header(row.split("\t"), Columns.of("text:0,label:1"), None, "here")


@pytest.mark.parametrize("row", [*HEADERS, *DATA])
def test_what_is_asked_for_is_done(row):
    assert is_header(row.split("\t"), Columns.of(None), True, "here")
    assert not is_header(row.split("\t"), Columns.of(None), False, "here")
    assert is_header(row.split("\t"), Columns.of("text:0"), True, "here")
    assert not is_header(row.split("\t"), Columns.of("text:0"), False, "here")


def test_columns_by_name_are_a_header_of_whatever_words():
    first = ["gut", "schlecht+besser", "7"]
    assert is_header(first, Columns.of("text:gut,label:7"), None, "here")
    assert is_header(first, Columns.of("text:schlecht+besser"), None, "here")
    with pytest.raises(UserError, match=r"here has no column 'mittel' but gut, schlecht\+besser, 7; correct --columns"):
        is_header(first, Columns.of("text:mittel,label:7"), None, "here")


def test_the_label_s_name_may_be_missing():
    assert is_header(["id", "gut"], Columns.of("text:gut,label:besser"), None, "here")
    assert is_header(["id", "text"], Columns.of("label:besser"), None, "here")
    assert not is_header(["id", "gut"], Columns.of("text:1,label:besser"), None, "here")
    with pytest.raises(UserError, match=r"is it a header \(id, gut\)"):
        is_header(["id", "gut"], Columns.of("label:besser"), None, "here")
    with pytest.raises(UserError, match=r"no column 'mittel'"):
        is_header(["id", "gut"], Columns.of("text:mittel,label:besser"), None, "here")


def test_numbers_find_a_header_by_the_cells_that_they_mean():
    first = ["author", "my own column", "sentence", "label"]
    assert is_header(first, Columns.of("text:2,label:3"), None, "here")
    assert not is_header(first, Columns.of("text:2,label:1"), None, "here")


def test_no_row_is_lost(write):
    """Of the rows of a file, all but the header are there, however it was decided."""
    body = "".join(f"sentence {number}\t{number % 2}\n" for number in range(9))
    for header, columns, flag in [
        ("text\tlabel\n", None, None),
        ("text\tlabel\n", "text:0,label:1", None),
        ("a\tb\n", "text:a,label:b", None),
        ("a\tb\n", "text:0,label:1", True),
        ("a\tb\n", None, True),
        ("", "text:0,label:1", None),
        ("", None, False),
    ]:
        table = read_table(write("a.tsv", header + body), Columns.of(columns), flag)
        assert [list(row.cells.values()) for row in table.rows] == [line.split("\t") for line in body.splitlines()]
