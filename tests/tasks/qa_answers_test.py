"""The best answers against a plain restatement of the original's rules, and what those leave open."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bert_jax.config import TaskConfig, TextConfig
from bert_jax.tasks.encoding import TextEncoder
from bert_jax.tasks.qa import Qa
from bert_jax.tasks.qa_answers import N_BEST, Span, best_spans, null_score, prediction, with_null
from bert_jax.tasks.qa_windows import Window, windows_of
from bert_jax.text.load_tokenizer import load_tokenizer

VOCABULARY = Path(__file__).parents[3] / "shared" / "golden" / "bert-base-uncased-vocab.txt"

CONTEXT = " ".join(f"w{number % 23}" for number in range(60))
SPANS = np.array(
    [
        (at, at + len(word))
        for at, word in zip(
            [sum(len(w) + 1 for w in CONTEXT.split()[:n]) for n in range(60)], CONTEXT.split(), strict=True
        )
    ],
    np.int32,
)


def windows(room=25, stride=7, question=5):
    return [Window(question, SPANS[cut.start : cut.stop], cut.has_max_context) for cut in windows_of(60, room, stride)]


def random_outputs(rows, seed, integers=False):
    draw = np.random.default_rng(seed)
    numbers = [draw.normal(size=(row.first + len(row.spans) + 1, 2)) * 3 for row in rows]
    return [(each.round() if integers else each).astype(np.float32) for each in numbers]


def plain_best(outputs, rows, longest, null=None):
    """run_squad.py:741-924 in plain Python; an answer is (text, score), and "" is none."""
    found = []
    for logits, row in zip(outputs, rows, strict=True):
        starts, ends = (
            sorted(range(len(logits)), key=lambda place, side=side: logits[place, side], reverse=True)[:20]
            for side in (0, 1)
        )
        for start in starts:
            for end in ends:
                in_context = all(row.first <= place < row.first + len(row.spans) for place in (start, end))
                if in_context and row.has_max_context[start - row.first] and start <= end < start + longest:
                    text = CONTEXT[row.spans[start - row.first][0] : row.spans[end - row.first][1]]
                    found.append((text, float(logits[start, 0]) + float(logits[end, 1])))
    if null is not None:
        found.append(("", null))
    best = []
    for text, score in sorted(found, key=lambda one: one[1], reverse=True):
        if len(best) < 20 and text not in [each[0] for each in best]:
            best.append((text, score))
    return [*best, ("", null)] if null is not None and "" not in dict(best) else best


def texts(spans):
    return [(CONTEXT[span.start : span.end], span.score) for span in spans]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("integers", [False, True])  # many equal scores
@pytest.mark.parametrize("longest", [1, 4, 30])
def test_the_best_are_those_of_the_plain_rules(seed, integers, longest):
    rows = windows()
    outputs = random_outputs(rows, seed, integers)
    spans, null = best_spans(outputs, rows, CONTEXT, longest), null_score(outputs)
    plain = plain_best(outputs, rows, longest)
    if plain:
        assert texts(spans) == plain
        assert texts(with_null(spans, Span(null, 0, 0))) == plain_best(outputs, rows, longest, null)
    assert null == min(float(each[0].astype(np.float64).sum()) for each in outputs)


def only(rows, starts, ends, low=-9.0):
    """Outputs in which these places of the first row stand out, in this order."""
    outputs = [np.full((row.first + len(row.spans) + 1, 2), low, np.float32) for row in rows]
    for side, places in enumerate((starts, ends)):
        for rank, place in enumerate(places):
            outputs[0][place, side] = 9 - rank / 10
    return outputs


def test_an_answer_is_found_where_the_best_ends_give_none():
    rows = windows(room=60, question=30)
    outputs = only(rows, range(80, 89), range(40, 60))
    outputs[0][60:80, 0] = 5  # the 20 best starts are behind the 20 best ends
    assert plain_best(outputs, rows, 30) == []
    best = best_spans(outputs, rows, CONTEXT, 30)[0]
    scores = [
        (float(outputs[0][start, 0] + outputs[0][end, 1]), -start)
        for start in range(30, 90)
        for end in range(start, min(90, start + 30))
    ]
    assert best.score == max(scores)[0]


@pytest.mark.parametrize("threshold", [None, 0.0])
def test_all_that_is_best_may_be_in_the_question(threshold):
    rows = windows(room=60, question=30)
    outputs = only(rows, range(21), range(21))
    found = prediction(best_spans(outputs, rows, CONTEXT, 30), null_score(outputs), CONTEXT, threshold)
    assert (found["answer"] == "") == (threshold is not None)
    assert found["null_score_difference"] == 36
    assert found["candidates"][0]["answer"] == found["answer"]


def test_equal_texts_are_one_answer():
    rows = windows(room=60, question=5)
    outputs = only(rows, [5, 28, 51], [5, 28, 51])  # w0 three times
    spans = best_spans(outputs, rows, CONTEXT, 1)
    assert texts(spans)[0] == ("w0", 18)
    assert len({text for text, _ in texts(spans)}) == len(spans) <= N_BEST
    assert (spans[0].start, spans[0].end) == (0, 2)


def test_a_start_counts_only_in_the_window_with_most_about_it():
    rows = windows(room=40, stride=10)
    last_of_first = len(rows[0].spans) - 1
    assert not rows[0].has_max_context[last_of_first]
    outputs = [np.zeros((row.first + len(row.spans) + 1, 2), np.float32) for row in rows]
    outputs[0][rows[0].first + last_of_first] = 9
    assert best_spans(outputs, rows, CONTEXT, 1)[0].score == 0
    outputs[0][rows[0].first + 3, 0] = 9  # the end needs no maximum context
    assert best_spans(outputs, rows, CONTEXT, 60)[0].score == 18


def test_an_empty_context_has_no_answer():
    rows, outputs = [Window(5, np.zeros((0, 2), np.int32), np.zeros(0, bool))], [np.zeros((6, 2), np.float32)]
    for threshold in (None, -5.0, 5.0):
        found = prediction(best_spans(outputs, rows, "", 30), null_score(outputs), "", threshold)
        assert (found["answer"], found["probability"], found["null_score_difference"]) == ("", 1, None)
        assert found["candidates"] == [{"answer": "", "start": 0, "end": 0, "probability": 1}]


def test_pieces_without_characters_are_no_answer():
    spans = np.array([(0, 0), (0, 2), (2, 2)], np.int32)
    outputs = [np.array([[0, 0], [9, 9], [1, 1], [9, 9], [0, 0]], np.float32)]
    found = best_spans(outputs, [Window(1, spans, np.ones(3, bool))], "he", 3)
    assert [("he"[span.start : span.end], span.score) for span in found] == [("he", 18)]


@pytest.mark.parametrize(
    ("threshold", "is_null"), [(None, False), (-3.0, True), (-2.0, False), (0.0, False), (9.0, False)]
)
def test_no_answer_is_said_above_the_threshold_only(threshold, is_null):
    spans = [Span(5.0, 0, 2), Span(4.0, 3, 5)]
    found = prediction(spans, 3.0, CONTEXT, threshold)  # the difference is -2
    assert found["null_score_difference"] == -2
    assert found["answer"] == CONTEXT[found["start"] : found["end"]] == ("" if is_null else "w0")
    scores = [5.0, 4.0] if threshold is None else [5.0, 4.0, 3.0]
    shares = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
    assert [one["probability"] for one in found["candidates"]] == pytest.approx(shares)
    assert found["probability"] == pytest.approx(shares[2 if is_null else 0])
    assert [one["answer"] for one in found["candidates"]] == ["w0", "w1", ""][: len(scores)]


def test_none_is_a_21st_if_it_is_not_among_the_20_best():
    spans = [Span(float(-number), number, number + 1) for number in range(20)]
    assert with_null(spans, Span(-50.0, 0, 0)) == [*spans, Span(-50.0, 0, 0)]
    assert with_null(spans, Span(0.5, 0, 0)) == [Span(0.5, 0, 0), *spans[:19]]
    assert with_null(spans[:3], Span(-50.0, 0, 0)) == [*spans[:3], Span(-50.0, 0, 0)]
    assert with_null(spans[:3], Span(-1.0, 0, 0)) == [*spans[:2], Span(-1.0, 0, 0), spans[2]]


def test_probabilities_are_shares_of_all_answers_and_not_of_those_that_are_shown():
    found = prediction([Span(0.0, number, number + 1) for number in range(10)], 0.0, CONTEXT, None)
    assert [one["probability"] for one in found["candidates"]] == pytest.approx([0.1] * 5)


def test_probabilities_of_large_scores_are_finite():
    found = prediction([Span(1e4, 0, 2), Span(-1e4, 3, 5)], 0.0, CONTEXT, 0.0)
    assert [one["probability"] for one in found["candidates"]] == [1, 0, 0]


def test_scores_are_those_of_the_original_program(original_squad, original_tokenization, real, tmp_path):
    """Its write_predictions on rows that are filled up; texts differ where it does not find them again."""
    if not VOCABULARY.exists():
        pytest.skip("no vocabulary beside the project")
    tokenizer = original_tokenization.FullTokenizer(str(VOCABULARY), do_lower_case=True)
    examples = original_squad.read_squad_examples(real("squad2/test_other_articles.json"), False)[:60]
    features = []
    original_squad.convert_examples_to_features(examples, tokenizer, 192, 64, 64, False, features.append)
    task = Qa(has_impossible=True)
    ours = task.read(real("squad2/test_other_articles.json"), TaskConfig(), needs_labels=True)[:60]
    text = TextConfig(max_length=192, doc_stride=64)
    rows = task.encode(ours, TextEncoder(load_tokenizer(VOCABULARY), text, windows=True))
    draw = np.random.default_rng(0)
    outputs = [draw.normal(size=(length, 2)).astype(np.float32) for length in rows.lengths]
    results = []
    for feature, logits in zip(features, outputs, strict=True):
        filled = np.pad(logits, [(0, 192 - len(logits)), (0, 0)], constant_values=-1e4).T.tolist()
        results.append(SimpleNamespace(unique_id=feature.unique_id, start_logits=filled[0], end_logits=filled[1]))
    files = [str(tmp_path / name) for name in ("predictions", "nbest", "odds")]
    original_squad.write_predictions(examples, features, results, 20, 30, True, *files)
    predictions, _, odds = (json.loads(Path(file).read_text()) for file in files)
    found = task.predictions(outputs, rows, ours)
    assert [each["null_score_difference"] for each in found] == pytest.approx([odds[one.id] for one in ours])
    assert [bool(each["answer"]) for each in found] == [bool(predictions[one.id]) for one in ours]
    same = [each["answer"] in predictions[one.id] for each, one in zip(found, ours, strict=True)]
    assert np.mean(same) > 0.9
