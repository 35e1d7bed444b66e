"""SQuAD's files of both versions against their plain JSON; flat rows; answers that are not at their offsets."""

import json
import logging
import lzma
from pathlib import Path

import pytest

from bert_jax.errors import UserError
from bert_jax.tasks.squad import for_training, misplaced_answers, read_questions


def plain(path):
    """The questions of a file, each with its context."""
    content = Path(path).read_bytes()
    text = lzma.decompress(content) if path.endswith(".xz") else content
    paragraphs = [p for article in json.loads(text)["data"] for p in article["paragraphs"]]
    return [(question, paragraph["context"]) for paragraph in paragraphs for question in paragraph["qas"]]


def squad(*questions, context="Ada wrote the first program."):
    return json.dumps({"version": "v2.0", "data": [{"paragraphs": [{"context": context, "qas": list(questions)}]}]})


def question(number, *answers, **more):
    return {
        "id": f"q{number}",
        "question": "Who?",
        "answers": [{"text": t, "answer_start": s} for t, s in answers],
    } | more


@pytest.mark.parametrize(
    ("name", "count", "impossible"),
    [
        ("squad2/train.json.xz", 4057, 2141),
        ("squad2/dev.json.xz", 870, 431),
        ("squad2/test.json.xz", 1151, 596),
        ("squad2/test_other_articles.json", 838, 0),
        ("covidqa_long/train.json.xz", 218, 0),
        ("covidqa_long/test.json.xz", 129, 0),
    ],
)
def test_real_files(real, name, count, impossible):
    path = real(name)
    examples = read_questions(path, need_answers=True, strict=True)
    assert (len(examples), sum(e.is_impossible for e in examples)) == (count, impossible)
    for example, (asked, context) in zip(examples, plain(path), strict=True):
        assert (example.id, example.question, example.context) == (asked["id"], asked["question"], context)
        given = () if example.is_impossible else [(a["text"], a["answer_start"]) for a in asked["answers"]]
        assert example.answers == tuple(given)
        assert all(example.context[start : start + len(text)] == text for text, start in example.answers)
        assert example.has_gold
        assert example.place == f"{path}, question {asked['id']}"
    assert for_training(examples) == examples


def test_impossible_questions_have_no_answers(write):
    path = write(
        "a.json",
        squad(
            question(1, ("Ada", 0), is_impossible=True, plausible_answers=[{"text": "the", "answer_start": 10}]),
            question(2, ("Ada", 0)),
            question(3, is_impossible=True),
        ),
    )
    examples = read_questions(path, need_answers=True)
    assert [(e.is_impossible, e.answers, e.has_gold) for e in examples] == [
        (True, (), True),
        (False, (("Ada", 0),), True),
        (True, (), True),
    ]


def test_prediction_needs_no_answers(write):
    asked = [{"id": 1, "question": "Who?"}, {"id": 2, "question": "Who?", "answers": []}]
    path = write("a.json", squad(*asked))
    assert [(e.id, e.has_gold, e.is_impossible) for e in read_questions(path, need_answers=False)] == [
        (1, False, False),
        (2, False, False),
    ]
    with pytest.raises(UserError, match=r"a\.json, question 1 has no answers; write them, or is_impossible, or remove"):
        read_questions(path, need_answers=True)


def test_offsets_are_characters(write):
    context = "😀 Zoë  wrote\u2028it."
    for escaped in (True, False):
        file = {"data": [{"paragraphs": [{"context": context, "qas": [question(1, ("wrote", 7), ("Zoë", 2))]}]}]}
        path = write("a.json", json.dumps(file, ensure_ascii=escaped))
        (example,) = read_questions(path, need_answers=True, strict=True)
        assert example.context == context


MISPLACED = squad(
    question(1, ("Ada", 1), ("Ada", 0)),
    question(2, ("wrote", 5)),
    question(3, ("program", 20)),
    question(4, ("", 3)),
    question(5, ("program", -8)),
    question(6, ("program.", 2000)),
)


def test_answers_that_are_not_at_their_offsets_are_named_and_counted(write, caplog):
    path = write("a.json", MISPLACED)
    with caplog.at_level(logging.WARNING, logger="absl"):
        examples = read_questions(path, need_answers=True)
    assert [place for place, _ in misplaced_answers(examples)] == [f"{path}, question q{n}" for n in (1, 2, 4, 5, 6)]
    assert (
        f"{path}: 5 answers are not at their offsets, the first 'Ada' of {path}, question q1, 'wrote' of" in caplog.text
    )
    assert examples[0].answers == (("Ada", -1), ("Ada", 0))
    assert all(example.has_gold for example in examples)  # scores compare with the texts
    caplog.clear()
    kept = for_training(examples)
    assert [(e.id, e.answers) for e in kept] == [("q1", (("Ada", 0),)), ("q3", (("program", 20),))]
    assert "4 of 6 questions are not trained on" in caplog.text


def test_strict_refuses_them(write):
    with pytest.raises(
        UserError, match=r"^--strict: .*a\.json: 5 answers .* question q1, .*leave out --strict$"
    ) as caught:
        read_questions(write("a.json", MISPLACED), need_answers=True, strict=True)
    assert "\n" not in str(caught.value)


def test_flat_rows(write):
    context = "Ada wrote the first program."
    rows = [
        {"id": "a", "question": "Who?", "context": context, "answers": {"text": ["Ada"], "answer_start": [0]}},
        {"id": "b", "question": "Who?", "context": context, "answers": {"text": [], "answer_start": []}},
        {"id": "c", "question": "Who?", "context": context, "answers": [{"text": "first", "answer_start": 14}]},
        {"id": "d", "question": "Who?", "context": context, "answers": [], "is_impossible": False},
        {"question": "Who?", "context": context},
    ]
    path = write("a.jsonl", "\n".join(map(json.dumps, rows)))
    found = read_questions(path, need_answers=False, strict=True)
    assert [(e.id, e.answers, e.is_impossible, e.has_gold) for e in found] == [
        ("a", (("Ada", 0),), False, True),
        ("b", (), True, True),
        ("c", (("first", 14),), False, True),
        ("d", (), False, False),
        (None, (), False, False),
    ]
    assert found[4].place == f"{path}, line 5"
    with pytest.raises(UserError, match=r"line 4 has no answers"):
        read_questions(path, need_answers=True)


ROW = {"question": "Who?", "context": "Ada."}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.json",
            squad(question(1), question(1)),
            r"a\.json has the id 'q1' more than once; give each question its own",
        ),
        ("a.json", squad({"id": 1, "question": "a"}, {"id": "1", "question": "b"}), r"has the id '1' more than once"),
        ("a.json", squad(), r"a\.json has no questions"),
        (
            "a.jsonl",
            json.dumps({"question": "Who?", "context": "Ada.", "answers": {"text": ["Ada"], "answer_start": []}}),
            r"a\.jsonl, line 1 has 1 answers and 0 offsets; fix it",
        ),
        ("a.json", '{"data": [', r"a\.json is not JSON"),
        ("a.json", "[]", r"a\.json is damaged or of another version: Expected `object`, got `array`"),
        (
            "a.json",
            '{"data": [{"paragraphs": [{"qas": []}]}]}',
            r"required field `context`.*data\[0\]\.paragraphs\[0\]",
        ),
        ("a.json", b'{"data":\n"\xe9"}', r"a\.json, line 2 is not UTF-8"),
        ("a.json", squad(question(1), context="\ud83d"), r"half of a surrogate pair"),
        ("a.txt", "x", r"call it \.json \(SQuAD's form\) or \.jsonl"),
        ("a.jsonl", json.dumps({"question": "x"}), r"a\.jsonl has no field 'context' but question"),
        ("a.jsonl", json.dumps(ROW | {"answers": "Ada"}), r"line 1, answers is .*Expected `array`"),
        (
            "a.jsonl",
            json.dumps(ROW | {"answers": {"text": ["Ada"]}}),
            r"line 1, answers .*required field `answer_start`",
        ),
        (
            "a.jsonl",
            json.dumps(ROW | {"answers": {"text": [], "answer_start": [1]}}),
            r"line 1 has 0 answers and 1 offs",
        ),
        ("a.jsonl", json.dumps(ROW | {"question": None}), r"line 1: 'question' is null"),
    ],
)
def test_what_is_no_question(write, name, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read_questions(write(name, content), need_answers=False)
    assert "\n" not in str(caught.value)


def test_text_that_says_impossible_is_no_answer(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = {"question": "who?", "context": "Ada", "answers": {"text": ["Ada"], "answer_start": [0]}}
    path.write_text(json.dumps(row | {"is_impossible": "false"}) + "\n")
    with pytest.raises(UserError, match=r"line 1: is_impossible is 'false'; give true or false"):
        read_questions(str(path), need_answers=True)
