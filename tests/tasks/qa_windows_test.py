"""Rows of questions: those of the original run_squad.py on real files and on odd texts, and what it does not have."""

import functools
import itertools
import json
import lzma
import random
from pathlib import Path

import numpy as np
import pytest

from bert_jax.config import TextConfig
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.examples import QuestionExample
from bert_jax.tasks.qa_windows import Context, encode_questions, windows_of
from bert_jax.tasks.squad import read_questions
from bert_jax.text.byte_bpe import ByteBPE
from bert_jax.text.load_tokenizer import load_tokenizer
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.text.wordpiece import WordPiece

VOCABULARY = Path(__file__).parents[3] / "shared" / "golden" / "bert-base-uncased-vocab.txt"
REAL = ["squad2/train.json.xz", "squad2/test_other_articles.json", "covidqa_long/test.json.xz"]


@pytest.fixture(scope="module")
def original(original_squad, original_tokenization):
    """original(path, lowercase, length, stride) -> the original's features, each with its question's id."""

    def features(path, lowercase, length, stride):
        tokenizer = original_tokenization.FullTokenizer(str(VOCABULARY), do_lower_case=lowercase)
        tokenizer.tokenize = functools.lru_cache(None)(tokenizer.tokenize)
        examples = original_squad.read_squad_examples(path, True)
        found = []
        original_squad.convert_examples_to_features(examples, tokenizer, length, stride, 64, True, found.append)
        return [(examples[feature.example_index].qas_id, feature) for feature in found]

    return features


@pytest.fixture(scope="module")
def vocabulary():
    if not VOCABULARY.exists():
        pytest.skip("no vocabulary beside the project")
    return VOCABULARY


def with_one_answer(content, articles=None):
    """As the original wants it: `is_impossible` is there, and one answer."""
    squad = json.loads(content)
    squad["data"] = squad["data"][:articles]
    for article in squad["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                question.setdefault("is_impossible", False)
                question["answers"] = question["answers"][:1]
    return json.dumps(squad)


def encoded(examples, tokenizer, length=384, stride=128, longest_question=64, long="auto"):
    encoder = TextEncoder(tokenizer, TextConfig(max_length=length, doc_stride=stride, long=long), windows=True)
    return encode_questions(examples, encoder, longest_question), encoder


def ids_of(rows, row):
    return rows.ids[rows.starts[row] : rows.starts[row + 1]]


def as_original(examples, rows):
    """Of each row what the original's features hold."""
    for row, window in enumerate(rows.windows):
        ids, places = ids_of(rows, row), range(window.first, window.first + len(window.spans))
        segments = (np.arange(len(ids)) >= rows.first_segment[row]).astype(int)
        positions = rows.labels["start_positions"][row], rows.labels["end_positions"][row]
        contexts = dict(zip(places, window.has_max_context.tolist(), strict=True))
        yield str(examples[rows.example[row]].id), ids.tolist(), segments.tolist(), positions, contexts


def from_original(features):
    for name, feature in features:
        length = sum(feature.input_mask)
        assert set(feature.token_to_orig_map) == set(feature.token_is_max_context)
        positions = feature.start_position, feature.end_position
        segments = feature.segment_ids[:length]
        yield str(name), feature.input_ids[:length], segments, positions, feature.token_is_max_context


@pytest.mark.parametrize("name", REAL)
def test_rows_are_the_originals(real, write, vocabulary, original, name):
    content = Path(real(name)).read_bytes()
    text = lzma.decompress(content) if name.endswith("xz") else content
    # The original takes the square of a context's length to find where a piece has maximum context.
    path = write("one.json", with_one_answer(text, 2 if "long" in name else None))
    examples = read_questions(path, need_answers=True, strict=True)
    rows, _ = encoded(examples, load_tokenizer(vocabulary))
    assert list(as_original(examples, rows)) == list(from_original(original(path, True, 384, 128)))
    assert rows.labels["example_weights"].min() == 1


@pytest.mark.parametrize(("length", "stride"), [(100, 16), (128, 128), (128, 1000), (90, 40)])
def test_rows_of_any_length_and_stride_are_the_originals(real, write, vocabulary, original, length, stride):
    path = write("few.json", with_one_answer(Path(real("squad2/test_other_articles.json")).read_bytes(), 4))
    examples = read_questions(path, need_answers=True, strict=True)
    rows, _ = encoded(examples, load_tokenizer(vocabulary, do_lower_case=False), length, stride)
    assert list(as_original(examples, rows)) == list(from_original(original(path, False, length, stride)))


ODD = [
    *(
        "plain words",
        "(1895-1943).",
        "  two  spaces  ",
        "Zürich",
        "e\u0301\u0327 a\u0300b",
        "\u0301lone",
        "İstanbul ΑΣ",
    ),
    *(
        "日本語 mixed漢字",
        "\u202fnarrow\u202fno-break",
        "no\xa0break em\u2003space",
        "line\u2028par\u2029",
        "a\tb\nc\r\nd",
    ),
    *(
        "soft\u00adhyphen zero\u200bwidth",
        "\u200b",
        "\x00\ufffd",
        "\x1cfile\x1d",
        "😀👍🏽",
        "ﬁne ẞ",
        "x" * 201,
        "$100.50",
    ),
]


def odd_squad(seed):
    draw = random.Random(seed)
    paragraphs = []
    for number in range(60):
        context = (
            draw.choice([" ", "  ", "\n", ""]).join(draw.choices(ODD, k=draw.randint(1, 25))).strip(" \t\r\n\u202f")
        )
        start = draw.randrange(len(context))
        answer = {"text": context[start : start + draw.randint(1, 20)], "answer_start": start}
        question = {"id": f"{number}", "question": draw.choice(ODD), "answers": [answer], "is_impossible": False}
        paragraphs.append({"context": context, "qas": [question]})
    return json.dumps({"data": [{"paragraphs": paragraphs}]})


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_rows_of_odd_texts_are_the_originals(write, vocabulary, original, lowercase, seed):
    path = write("odd.json", odd_squad(seed))
    examples = read_questions(path, need_answers=True)
    rows, _ = encoded(examples, load_tokenizer(vocabulary, lowercase), 96, 16)
    learned = {
        str(examples[number].id)
        for number, weight in zip(rows.example, rows.labels["example_weights"], strict=True)
        if weight
    }
    theirs = list(from_original(original(path, lowercase, 96, 16)))  # it leaves out answers with other white space
    of_both = learned & {feature[0] for feature in theirs}
    assert len(of_both) > 30
    ours = [row for row in as_original(examples, rows) if row[0] in of_both]
    assert ours == [feature for feature in theirs if feature[0] in of_both]


@pytest.mark.parametrize("name", REAL)
def test_labelled_characters_hold_the_answer(real, vocabulary, name):
    examples = read_questions(real(name), need_answers=True)
    rows, _ = encoded(examples, load_tokenizer(vocabulary))
    found = set()
    for row, number in enumerate(rows.example):
        first, last = (rows.labels[f"{end}_positions"][row] - rows.windows[row].first for end in ("start", "end"))
        if first >= 0:
            start, end = rows.windows[row].spans[first, 0], rows.windows[row].spans[last, 1]
            assert examples[number].answers[0][0].strip() in examples[number].context[start:end]
            found.add(number)
    with_answer = {number for number, example in enumerate(examples) if example.answers}
    assert len(with_answer - found) <= len(with_answer) * (0.15 if "covid" in name else 0)  # longer than all windows


WORDS = ["the", "Zü", "##rich", "1895", "1943", "(", "-", ")", ".", "japanese", "in", "who", "born", "?", "he", "was"]


@pytest.fixture(scope="module")
def small():
    return Tokenizer(WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str.lower, WORDS)], True, False))


def example(context, *answers, question="Who was born?", is_impossible=False, has_gold=True):
    return QuestionExample("f.json, question 1", 1, question, context, answers, is_impossible, has_gold)


def labelled(context, rows, row=0):
    window = rows.windows[row]
    first, last = (int(rows.labels[f"{end}_positions"][row]) - window.first for end in ("start", "end"))
    return context[window.spans[first, 0] : window.spans[last, 1]] if first >= 0 else None


@pytest.mark.parametrize(
    ("context", "answer", "characters"),
    [
        ("He was born (1895-1943).", "1895", "1895"),
        ("He  was   born\t(1895 -  1943).", "1895 -  1943", "1895 -  1943"),
        ("in the Japanese", "Japan", "Japanese"),
        ("in Zürich.", "ürich", "Zürich."),  # no piece begins there: the whole word, as in the original
        ("1943 1895 1943", "1943", "1943"),
    ],
)
def test_an_answer_is_the_least_pieces_that_hold_it(small, context, answer, characters):
    rows, _ = encoded([example(context, (answer, context.rindex(answer)))], small, 64)
    assert labelled(context, rows) == characters


def test_the_second_of_two_same_words_is_meant(small):
    rows, _ = encoded([example("1943 1895 1943", ("1943", 10))], small, 64)
    assert rows.labels["start_positions"].tolist() == [8]


def test_other_tokenizers_go_by_characters(byte_bpe):
    context = "He was  born (1895–1943) in Zürich, in Zürich."
    for answer in ("1895", "Zürich", "born", "in Zürich."):
        rows, _ = encoded([example(context, (answer, context.rindex(answer)))], byte_bpe, 200)
        assert labelled(context, rows).strip() == answer


@pytest.fixture(scope="module")
def byte_bpe():
    from tokenizers import ByteLevelBPETokenizer

    library = ByteLevelBPETokenizer()
    library.train_from_iterator(["He was born in Zürich (1895-1943)."] * 3, 300, 1, False)
    library.add_special_tokens(["<s>", "</s>", "<pad>", "<unk>", "<mask>"])
    return Tokenizer(ByteBPE(library._tokenizer.to_str().encode(), None))


def test_a_window_without_the_whole_answer_has_none(small):
    context = "he was born in the " * 4
    rows, encoder = encoded([example(context, ("born in", 8 + 19))], small, 12 + 3, stride=4)
    assert rows.windows[0].first == 6
    spans = [labelled(context, rows, row) for row in range(len(rows))]
    assert set(spans) == {"born in", None}
    assert (encoder.counts.texts, encoder.counts.too_long) == (1, 1)
    assert sum(window.has_max_context.sum() for window in rows.windows) == 20  # each piece in one window


def test_the_first_answer_is_learned_and_impossible_questions_have_place_0(small):
    context = "1895 was 1943"
    rows, _ = encoded([example(context, ("1943", 9), ("1895", 0)), example(context, is_impossible=True)], small, 64)
    assert [labelled(context, rows, row) for row in range(2)] == ["1943", None]
    assert rows.labels["example_weights"].tolist() == [1, 1]


def test_answers_that_are_elsewhere_are_not_learned(small):
    context = "1895 was 1943"
    rows, _ = encoded([example(context, ("1943", -1)), example(context, ("1895", -1), ("1943", 9))], small, 64)
    assert rows.labels["example_weights"].tolist() == [0, 1]
    assert labelled(context, rows, 1) == "1943"


def test_an_answer_of_no_piece_is_not_learned(small):
    rows, _ = encoded([example("he \u200b", ("\u200b", 3)), example("\u200b", ("\u200b", 0))], small, 64)
    assert rows.labels["example_weights"].tolist() == [0, 0]
    assert rows.labels["start_positions"].tolist() == [0, 0]


def test_without_answers_there_are_no_labels(small):
    rows, _ = encoded([example("he was", has_gold=False), example("he", ("he", 0))], small, 64)
    assert rows.labels == {}
    assert len(rows) == 2


@pytest.mark.parametrize("context", ["", "   ", "\u200b"])
def test_an_empty_context_has_a_row(small, context):
    rows, _ = encoded([example(context, is_impossible=True)], small, 64)
    assert [small.tokens[piece] for piece in ids_of(rows, 0)] == ["[CLS]", "who", "was", "born", "?", "[SEP]", "[SEP]"]
    assert rows.windows[0].spans.shape == (0, 2)


def test_long_questions_are_cut_and_counted(small, caplog):
    rows, encoder = encoded([example("he was", question="he was born " * 9)], small, 64, longest_question=5)
    assert small.decode(ids_of(rows, 0)) == "[CLS] he was born he was [SEP] he was [SEP]"
    encoder.log_lengths("f.json", "--long=windows")
    (message,) = caplog.messages
    assert message == "f.json: 1 of 1 questions are cut (finetune --config.task.max_query_length=N allows longer ones)"


def test_a_quarter_of_a_short_row_is_left_to_the_context(small):
    rows, _ = encoded([example("he was", question="he was born " * 9)], small, 11)
    assert {len(window.spans) for window in rows.windows} == {2}
    assert rows.lengths.max() == 11


def test_cutting_reads_the_first_window_alone(small, caplog):
    rows, encoder = encoded([example("he was born in the " * 4)], small, 15, long="cut")
    assert len(rows) == 1
    assert rows.windows[0].has_max_context.all()
    encoder.log_lengths("f.json", "--long=windows")
    assert "1 of 1 texts are longer than 15 tokens: cut" in caplog.text


def test_the_log_says_that_the_stride_is_an_advance(small, caplog):
    _, encoder = encoded([example("he was born in the " * 4)], small, 15, stride=4)
    encoder.log_lengths("f.json", "--long=windows")
    assert "in windows, each beginning text.doc_stride=4 tokens after the one before" in caplog.text


@pytest.mark.parametrize(("pieces", "room", "stride"), [(0, 5, 2), (5, 5, 2), (6, 5, 2), (100, 7, 3), (50, 9, 20)])
def test_windows_cover_all_and_each_piece_is_best_in_one(pieces, room, stride):
    cuts = windows_of(pieces, room, stride)
    owned = np.concatenate([np.arange(cut.start, cut.stop)[cut.has_max_context] for cut in cuts])
    assert sorted(owned) == list(range(pieces))
    assert all(0 <= cut.stop - cut.start <= room for cut in cuts)
    assert all(after.start - before.start == min(room, stride) for before, after in itertools.pairwise(cuts))


def test_questions_of_a_context_share_its_pieces(small, monkeypatch):
    calls = []
    of = Context.of
    monkeypatch.setattr(Context, "of", lambda *arguments: calls.append(1) or of(*arguments))
    encoded([example("he was", ("he", 0))] * 5, small, 64)
    assert len(calls) == 1
