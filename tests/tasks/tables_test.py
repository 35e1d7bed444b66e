"""Tables of each format, against plain restatements of what the format says; and what is no table."""

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import subprocess
import sys

import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.columns import Columns
from bert_jax.tasks.tables import read_table


def rows(path, columns=None, header=None):
    return [list(row.cells.values()) for row in read_table(path, Columns.of(columns), header).rows]


def places(path, **options):
    return [row.place for row in read_table(path, **options).rows]


# Real files.


@pytest.mark.parametrize(
    ("name", "columns", "count"),
    [
        ("cola/train.tsv", "text:3,label:1", 8551),
        ("cola/dev_in_domain.tsv", "text:3,label:1", 527),
        ("cola/dev_out_of_domain.tsv", "text:3,label:1", 516),
        ("sick/train.tsv", None, 4500),
        ("sick/dev.tsv", None, 500),
        ("sick/test.tsv", None, 4927),
        ("sts/train.tsv", None, 3835),
        ("sts/dev.tsv", None, 750),
        ("sts/test.tsv", None, 2845),
        ("hoc/train.jsonl.xz", None, 1296),
        ("movie_reviews/test.jsonl.xz", None, 200),
    ],
)
def test_real_files_have_all_their_rows(real, name, columns, count):
    path = real(name)
    table = read_table(path, Columns.of(columns))
    assert len(table.rows) == count
    if path.endswith(".tsv"):
        with open(path, encoding="utf-8", newline="\n") as file:  # noqa: PTH123
            lines = [line.rstrip("\r\n").split("\t") for line in file]
        assert [list(row.cells.values()) for row in table.rows] == lines[len(lines) - count :]
        assert table.rows[-1].place == f"{path}, line {len(lines)}"
    else:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            assert [row.cells for row in table.rows] == [json.loads(line) for line in file]


# TSV.


def test_quotes_in_tsv_are_text(write):
    path = write("a.tsv", 'text\tlabel\n"Open\t0\nclose" it\t1\n"both"\t"1"\n""\t\'\n')
    assert rows(path) == [['"Open', "0"], ['close" it', "1"], ['"both"', '"1"'], ['""', "'"]]


def test_cells_stay_what_they_are(write):
    cells = ["null", "NA", "", " ", "  two  spaces ", "\u00a0\u2028\u0085", "None", "nan", "\ufeffin the middle", "\r"]
    path = write("a.tsv", "text\tlabel\n" + "".join(f"{cell}\tx\n" for cell in cells))
    assert [row[0] for row in rows(path)] == cells
    path = write("a.jsonl", "".join(json.dumps({"text": cell}) + "\n" for cell in cells))
    assert [row[0] for row in rows(path)] == cells
    path = write("a.csv", "text,label\n" + "".join(f'"{cell}",x\n' for cell in cells))
    assert [row[0] for row in rows(path)] == cells


def test_random_tsv_is_what_split_makes_of_it(write):
    rng = random.Random(0)
    for number in range(100):
        pieces = ['"', "'", "a", " ", "\\", ",", "é", "\u2028", "\x85", "\x0c", "日"]
        cells = [
            ["".join(rng.choices(pieces, k=rng.randrange(6))) for _ in range(3)] for _ in range(rng.randrange(1, 9))
        ]
        ends = rng.choice(["\n", "\r\n"])
        text = ends.join("\t".join(row) for row in cells) + rng.choice(["", ends])
        assert rows(write(f"{number}.tsv", text), header=False) == cells


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_byte_order_mark_and_line_ends(write, mark, end):
    for name, content in [("a.tsv", "text\tlabel\nx\t1\ny\t2"), ("a.csv", "text,label\nx,1\ny,2")]:
        path = write(name, mark + content.replace("\n", end).encode())
        assert rows(path) == [["x", "1"], ["y", "2"]]
        assert read_table(path).columns == ("text", "label")
    assert rows(write("a.jsonl", mark + f'{{"text": "x"}}{end}{{"text": "y"}}{end}'.encode())) == [["x"], ["y"]]
    assert rows(write("a.txt", mark + f"x{end}y{end}".encode())) == [["x"], ["y"]]


@pytest.mark.parametrize("end", [".gz", ".bz2", ".xz", ".GZ"])
def test_compressed_files(write, end):
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[end.lower()]
    assert rows(write(f"a.tsv{end}", pack(b"text\tlabel\nx\t1\n"))) == [["x", "1"]]
    assert rows(write(f"a.JSONL{end}", pack(b'{"text": "x"}\n'))) == [["x"]]


def test_blank_lines_at_the_end_are_no_rows_but_those_between_are_mistakes(write):
    assert rows(write("a.tsv", "text\tlabel\nx\t1\n\n\n")) == [["x", "1"]]
    with pytest.raises(UserError, match=r"a\.tsv, line 3 has 1 cell and the first row 2; fix the tabs there"):
        read_table(write("a.tsv", "text\tlabel\nx\t1\n\ny\t1\n"))
    assert rows(write("a.tsv", "text\nx\n\ny\n")) == [["x"], [""], ["y"]]


# CSV.


def test_random_csv_is_what_the_csv_module_makes_of_it(write):
    rng = random.Random(1)
    for number in range(100):
        pieces = ['"', "'", "a", " ", "\\", ",", "é", "\u2028", "\n", "\r\n", "\t", "日"]
        cells = [
            ["".join(rng.choices(pieces, k=rng.randrange(6))) for _ in range(3)] for _ in range(rng.randrange(1, 9))
        ]
        text = io.StringIO()
        csv.writer(text, lineterminator=rng.choice(["\n", "\r\n"]), quoting=rng.choice([0, 1])).writerows(cells)
        path = write(f"{number}.csv", text.getvalue())
        assert rows(path, header=False) == cells
        starts, line = [], 1
        for row in cells:
            starts.append(f"{path}, line {line}")
            line += 1 + sum(cell.count("\n") for cell in row)
        assert places(path, header=False) == starts


def test_long_cells_and_the_limit_of_others(write):
    long, limit = "x" * 300_000, csv.field_size_limit()
    assert rows(write("a.csv", f"text,label\n{long},1\n")) == [[long, "1"]]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            'text,label\nx,1\n"never closed,2\ny,1\n',
            r"line 3: the row that begins there is no CSV .*a quoted cell twice",
        ),
        ('text,label\n"a" b,1\n', r"line 2: the row that begins there is no CSV"),
        ('text,label\n"a\nb",1\nx\n', r"line 4 has 1 cell and the first row 2; fix the commas there"),
    ],
)
def test_csv_that_is_none(write, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read_table(write("a.csv", content))
    assert "\n" not in str(caught.value)


# JSON Lines, plain lines, standard input.


def test_objects_may_differ_in_their_keys(write):
    table = read_table(write("a.jsonl", '{"text": "x", "label": 1}\n\n{"id": null, "text": "y"}\n'))
    assert table.columns == ("text", "label", "id")
    assert [row.cells for row in table.rows] == [{"text": "x", "label": 1}, {"id": None, "text": "y"}]
    assert [row.place.rpartition(", ")[2] for row in table.rows] == ["line 1", "line 3"]


def test_a_text_a_line_keeps_its_blank_lines(write):
    assert rows(write("a.txt", "First.\n\n  third\t with a tab \nlast")) == [
        ["First."],
        [""],
        ["  third\t with a tab "],
        ["last"],
    ]
    assert rows(write("a.txt", "text\tlabel\nx\t1\n")) == [["x", "1"]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b'{"text": "x"}\n{"text": "y"}\n', [{"text": "x"}, {"text": "y"}]),
        (b"\xef\xbb\xbfx\ty\r\n\n{z}\n", [{"text": "x\ty"}, {"text": ""}, {"text": "{z}"}]),
    ],
)
def test_standard_input(given, expected):
    program = "import json; from bert_jax.tasks.tables import read_table; t = read_table('-'); "
    program += "print(json.dumps([[r.place, r.cells] for r in t.rows]))"
    done = subprocess.run([sys.executable, "-c", program], input=given, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert [cells for _, cells in found] == expected
    assert found[1][0] == "standard input, line 2"


# Mistakes.


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "text\tlabel\nx\t1\ny\n", r"line 3 has 1 cell and the first row 2; fix the tabs there$"),
        ("a.tsv", "text\tlabel\nx\t1\t2\n", r"line 2 has 3 cells and the first row 2"),
        (
            "a.txt",
            "Two\twords.\nMore.\n",
            r"line 2 has 1 cell .*a \.txt without a tab in its first line is a text a line",
        ),
        ("a.tsv", "text\tlabel\nx\0\t1\n", r"line 2 has a NUL character, which is no text; fix or remove the line"),
        ("a.csv", "text,label\nx\0,1\n", r"line 2 has a NUL"),
        ("a.tsv", b"text\tlabel\nx\t1\n\xe9\t1\n", r"line 3 is not UTF-8 text; convert it, for example with iconv"),
        ("a.csv", b"text,label\n\xe9,1\n", r"line 2 is not UTF-8"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "\xe9"}\n', r"line 2 is not UTF-8"),
        ("a.tsv", "text\tlabel\ttext\nx\t1\ty\n", r"line 1: the header has text more than once; give each column"),
        ("a.tsv", "text\tlabel\n", r"a\.tsv has no rows below its header"),
        ("a.tsv", "", r"a\.tsv has no rows; give one"),
        ("a.jsonl", "\n", r"a\.jsonl has no rows; give one"),
        ("a.csv", "", r"a\.csv has no rows; give one"),
        ("a.txt", "", r"a\.txt has no rows"),
        ("a.jsonl", '{"text": "x"}\n{"text": \n', r"line 2 is not JSON .*; fix or remove it"),
        ("a.jsonl", '["x"]\n', r"line 1 is no JSON object; each line is one"),
        ("a.jsonl", '{"text": "\\ud83d"}\n', r"line 1 has half of a surrogate pair, which is no text; fix it"),
        ("a.parquet", "PAR1", r"its name does not say what it is; call it \.tsv, \.csv, \.jsonl or \.txt"),
        ("a", "x", r"its name does not say what it is"),
        ("a.tsv", b"\x1f\x8b\x08rest", r"is gz data; give it a name that ends in \.gz"),
        ("a.tsv.gz", b"text\tlabel\n", r"is not compressed; take \.gz off its name"),
    ],
)
def test_what_is_no_table_is_one_line(write, name, content, message):
    path = write(name, content)
    with pytest.raises(UserError, match=message) as caught:
        read_table(path, header=True if name == "a.tsv" else None)
    assert "\n" not in str(caught.value)
    assert path in str(caught.value)


def test_what_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"a\.tsv is not there; give the path of a file"):
        read_table(str(tmp_path / "a.tsv"))
    with pytest.raises(UserError, match=r"is a directory; give a file"):
        read_table(str(tmp_path.with_suffix(".tsv").mkdir() or tmp_path.with_suffix(".tsv")))


def test_a_whole_character_in_escapes_is_text(write):
    assert rows(write("a.jsonl", '{"text": "\\ud83d\\ude00"}\n')) == [["😀"]]
