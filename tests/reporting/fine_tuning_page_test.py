"""The page of a fine-tuning, of every task, while it runs and afterwards."""

import dataclasses
import json
import subprocess
import sys

import pytest

from bert_jax.config import FineTuningConfig, TaskConfig
from bert_jax.config.file import to_json
from bert_jax.errors import UserError
from bert_jax.reporting.page import run_and_metrics, write_report
from bert_jax.tasks.examples import ChoiceExample, PairExample, QuestionExample, TaggingExample, TextExample
from bert_jax.tasks.kinds import KINDS
from bert_jax.workdir.metrics_log import MetricsLog

ATTACK = '<script>alert("1")</script>'


def text(label, text="a text", text2=None, number=1):
    return TextExample(f"/far/away/test.tsv, line {number}", None, text, text2, label)


def labelled(label, share, *others):
    rest = (1 - share) / max(len(others), 1)
    return {"label": label, "probabilities": {label: share, **dict.fromkeys(others, rest)}}


def spread(*each):
    sd = 0.02 if len(each) > 1 else None
    return {"mean": sum(each) / len(each), "sd": sd, "each": list(each)}


LENGTHS = {"texts": 9, "too_long": 2, "long": "cut", "max_length": 64, "median": 20.0, "edges": [0, 32, 64]}


@pytest.fixture
def workdir(tmp_path):
    """workdir(kind, settings, answered, scores={name: each seed's}, floors={}) -> a directory that is done."""

    def made(kind, settings, answered, scores, floors=None):
        config = FineTuningConfig(task=TaskConfig(kind=kind, train="train.tsv", test="test.tsv"))
        (tmp_path / "config.json").write_text(to_json(config))
        headline, each = next(iter(scores.items()))
        for seed in range(len(each)):
            run(tmp_path / f"seed_{seed}", headline, each[seed])
            (tmp_path / f"seed_{seed}" / "scores.json").write_text(json.dumps({"settings": settings}))
        best = each.index(max(each))
        lines = [json.dumps({"example": dataclasses.asdict(one), "prediction": said}) for one, said in answered]
        (tmp_path / f"seed_{best}" / "test_predictions.jsonl").write_text("\n".join([*lines, ""]))
        summary = {
            "headline": headline,
            "seeds": list(range(len(each))),
            "best_seed": best,
            "steps": [20] * len(each),
            "dev": {},
            "test": {name: spread(*values) for name, values in scores.items()},
            "floors": {"dev": {}, "test": floors or {}},
            "lengths": {"train": LENGTHS | {"counts": [5, 4]}},
        }
        (tmp_path / "scores.json").write_text(json.dumps(summary))
        return tmp_path

    return made


def run(directory, headline, score):
    directory.mkdir(parents=True)
    with MetricsLog(directory, resume_step=0) as log:
        for step in (5, 10, 15, 20):
            log.write("train", step, {"loss": 2 - step / 20, "learning_rate": 1e-5, "tokens_per_second": 100.0})
            log.write("validation", step, {headline: score * step / 20, f"floor_{headline}": 0.4})


FILMS = [
    (text("good"), labelled("good", 0.9, "bad")),
    (text("bad"), labelled("bad", 0.8, "good")),
    (text("bad", "dull, but well made", number=7), labelled("good", 0.7, "bad")),
    (text("bad", ATTACK, number=8), labelled("good", 0.95, "bad")),
] * 5
TWO_LABELS = {"labels": ["bad", "good"]}


def test_classification(workdir, parsed):
    floors = {"commonest label": {"accuracy": 0.1, "macro_f1": 0.05}, "TF-IDF": {"accuracy": 0.2}}
    path = write_report(workdir("classification", TWO_LABELS, FILMS, {"accuracy": [0.5], "macro_f1": [0.6]}, floors))
    page, words = parsed(path), parsed(path).words()
    for part in (
        "Fine-tuning, classification:",
        "This model beats simple methods: accuracy on the test file is 50.0%, "
        "the best simple method (TF-IDF) reaches 20.0%.",
        "95% interval",
        "Accuracy on the dev file",
        "Loss on the training file",
        "10 of 20 are wrong. First those that it was surest of.",
        "bad taken for good",
        "dull, but well made",
        "expected calibration error",
        "test.tsv, line 7",
        "9 texts, the middle one of 20 tokens; 2 are longer than 64 tokens and were cut.",
    ):
        assert part in words
    assert "/far/away" not in words
    assert words.index(ATTACK) < words.index("dull, but well made")  # 95 % sure before 70 %
    assert page.cells[page.cells.index("bad") :][:6] == ["bad", "100.0%", "33.3%", "50.0%", "15", "5"]
    matrix = page.cells.index("bad", page.cells.index("good") + 1)
    assert page.cells[matrix : matrix + 6] == ["bad", "5", "10", "good", "0", "5"]
    assert "floor" in words
    assert dict(page.rows())["kind"] == "classification"
    assert dict(page.rows())["frozen_layers"] == "-1"


def test_seeds_stand_side_by_side(workdir, parsed):
    page = parsed(write_report(workdir("classification", TWO_LABELS, FILMS, {"accuracy": [0.5, 0.7, 0.6]})))
    words = page.words()
    assert "Accuracy on the test file is 60.0% ± 2.0 over 3 seeds." in words
    assert page.cells[page.cells.index("1, kept") : page.cells.index("1, kept") + 3] == ["1, kept", "20", "70.0%"]
    assert "seed 1 (kept)" in words
    assert "other seeds" in words


def test_a_floor_within_the_interval_is_as_good_and_one_above_is_better(workdir, parsed, tmp_path):
    path = workdir("classification", TWO_LABELS, FILMS, {"accuracy": [0.5]}, {"TF-IDF": {"accuracy": 0.52}})
    assert "No better than a simple method, as far as this file can tell" in parsed(write_report(path)).words()
    summary = json.loads((path / "scores.json").read_text())
    summary["floors"]["test"]["TF-IDF"]["accuracy"] = 0.9
    (path / "scores.json").write_text(json.dumps(summary))
    assert "A simple method does better: accuracy" in parsed(write_report(path)).words()


def test_a_model_of_one_answer_is_told(workdir, parsed):
    answered = [(text("bad"), labelled("good", 0.6, "bad")), (text("good"), labelled("good", 0.6, "bad"))]
    words = parsed(write_report(workdir("classification", TWO_LABELS, answered, {"accuracy": [0.5]}))).words()
    assert "Accuracy on the test file is 50.0%. It says “good” to everything." in words


def test_of_many_labels_the_confused_pairs_are_listed(workdir, parsed):
    names = [f"label {number:02}" for number in range(60)]
    answered = [(text(name), labelled(name, 0.5)) for name in names]
    answered += [(text("label 03"), labelled("label 44", 0.5))] * 4
    page = parsed(write_report(workdir("classification", {"labels": names}, answered, {"accuracy": [0.9]})))
    assert "Of 60, the 40 most frequent." in page.words()
    assert "Most frequent confusions" in page.words()
    place = page.cells.index("label 44")
    assert page.cells[place - 1 : place + 3] == ["label 03", "label 44", "4", "80.0%"]


def test_multilabel(workdir, parsed):
    settings = {"labels": ["a", "b", "c"], "thresholds": [0.4, 0.4, 0.4]}
    answered = [
        (text(("a", "b"), "missed b"), {"labels": ["a"], "probabilities": {"a": 0.8, "b": 0.1, "c": 0.2}}),
        (text((), ATTACK), {"labels": ["c"], "probabilities": {"a": 0.1, "b": 0.1, "c": 0.95}}),
        (text(("a",)), {"labels": ["a"], "probabilities": {"a": 0.9, "b": 0.1, "c": 0.2}}),
    ]
    page = parsed(write_report(workdir("multilabel", settings, answered, {"micro_f1": [0.5]})))
    words = page.words()
    assert "2 of 3 have a wrong label or miss one." in words
    assert words.index("gold: no label") < words.index("gold: a, b")
    assert "✓ b (missed)10%" in words
    assert page.cells[page.cells.index("b") :][:7] == ["b", "0.0%", "0.0%", "0.0%", "1", "0", "0.40"]


def test_regression(workdir, parsed):
    answered = [(text(float(n), f"text {n}", "other"), {"score": n + 0.1 * n}) for n in range(1, 15)]
    words = parsed(write_report(workdir("regression", {}, answered, {"spearman": [0.9]}))).words()
    assert "Predicted vs. gold" in words
    assert "Spearman correlation on the test file is 0.900" in words
    assert "gold 14.00, predicted 15.40 text 14 other" in words
    assert "gold 4.00" not in words  # only the ten worst


def test_choice(workdir, parsed):
    example = ChoiceExample("copa.jsonl, line 1", 3, "The man turned it on.", None, ("Water flowed.", ATTACK), 0)
    answered = [(example, {"label": 1, "probabilities": [0.25, 0.75]})]
    words = parsed(write_report(workdir("choice", {}, answered, {"accuracy": [0.0]}))).words()
    assert "The man turned it on. ✓ Water flowed.25% ✗ " + ATTACK + "75% copa.jsonl, line 1" in words


def tagged(words, tags, said):
    example = TaggingExample("test.txt, line 1", None, tuple(words.split()), tuple(tags.split()))
    return example, {"tags": said.split(), "probabilities": [0.9] * len(said.split())}


def marks(path):
    """(classes, text) of each marked stretch."""
    return [tuple(part.split("</mark>")[0].split('">', 1)) for part in path.read_text().split('<mark class="')[1:]]


def test_tagging(workdir, parsed):
    settings = {"labels": ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]}
    answered = [
        tagged("Ann Lee saw New York", "B-PER I-PER O B-LOC I-LOC", "B-PER I-PER O B-LOC O"),
        tagged("in Rome today", "O B-LOC O", "O O B-PER"),
        tagged("Bob sleeps", "B-PER O", "B-PER O"),
    ]
    path = write_report(workdir("tagging", settings, answered, {"f1": [0.5]}))
    page = parsed(path)
    assert "2 of 3 sentences have a mistake." in page.words()
    assert page.cells[page.cells.index("PER") :][:5] == ["PER", "66.7%", "100.0%", "80.0%", "2"]
    assert marks(path) == [
        ("right", "Ann Lee<sup>PER</sup>"),
        ("wrong missed", "New<sup>LOC</sup>"),
        ("missed", " York<sup>(gold: LOC)</sup>"),
        ("missed", "Rome<sup>(gold: LOC)</sup>"),
        ("wrong", "today<sup>PER</sup>"),
        ("right", "Bob<sup>PER</sup>"),
    ]


def test_tags_of_words(workdir, parsed):
    answered = [tagged("dogs bark", "NNS VBP", "NNS NN")]
    path = write_report(workdir("tagging", {"labels": ["NN", "NNS", "VBP"]}, answered, {"accuracy": [0.5]}))
    assert "Scores by tag" in parsed(path).words()
    assert marks(path) == [("wrong", "bark<sup>NN (gold: VBP)</sup>")]


def asked(context, answer, start, said, probability=0.9):
    answers = ((answer, context.index(answer)),) if answer else ()
    example = QuestionExample("dev.json, q1", "q1", "Who?", context, answers, not answer, True)
    return example, {"answer": said, "start": start, "end": start + len(said), "probability": probability}


def test_qa(workdir, parsed):
    answered = [
        asked("It was Ada Lovelace who wrote it.", "Ada Lovelace", 7, "Ada"),
        asked(f"{'x' * 900} & nobody knows", "", 903, "nobody", 0.6),
        asked("It was Ada.", "Ada", 7, "Ada"),
    ]
    path = write_report(workdir("qa", {}, answered, {"f1": [0.5]}))
    words = parsed(path).words()
    assert "2 of 3 answers are not those of gold, word by word." in words
    assert words.index("“nobody”, 60%; gold: no answer") < words.index("“Ada”, 90%; gold: “Ada Lovelace”")
    assert marks(path) == [("wrong", "nobody"), ("wrong missed", "Ada"), ("missed", " Lovelace"), ("right", "Ada")]
    assert "x" * 301 not in words
    assert "…" + "x" * 200 in words


def pair(place, gold, **said):
    return PairExample("sts.tsv, line 1", None, f"text {place}", "other", gold, ()), said


def test_similarity_of_scored_pairs(workdir, parsed):
    answered = [pair(0, 5.0, score=0.1), pair(1, 1.0, score=0.9), pair(2, 3.0, score=0.5)]
    words = parsed(write_report(workdir("similarity", {"scored": True}, answered, {"spearman": [0.5]}))).words()
    assert "Only their order counts" in words
    assert "gold 1.00, predicted 0.90" in words


def test_similarity_of_anchors(workdir, parsed):
    near = {"_neighbours": [("other", 0.75), ("a third", 0.5)]}
    answered = [
        pair(0, None, score=0.1, _rank=1, **near),
        pair(1, None, score=0.9, _rank=3),
        pair(2, None, score=0.5, _rank=1),
    ]
    path = write_report(workdir("similarity", {"scored": False}, answered, {"mrr": [0.5]}))
    words = parsed(path).words()
    assert "text 0 0.75 other 0.50 a third" in words
    assert marks(path) == [("right", "other")]
    assert "Mean reciprocal rank on the test file is 50.0%" in words
    assert words.index("rank 3, cosine 0.90 text 1 other") < words.index("rank 1, cosine 0.10 text 0 other")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_goes_on_has_curves_only(tmp_path, parsed, kind):
    (tmp_path / "config.json").write_text(to_json(FineTuningConfig(task=TaskConfig(kind=kind, train="train.tsv"))))
    run(tmp_path / "seed_0", "accuracy", 0.8)
    words = parsed(write_report(tmp_path)).words()
    assert "20 steps of seed 0 are done; accuracy on the dev file is 80.0% so far" in words.replace("0.800", "80.0%")
    assert "Accuracy on the dev file" in words
    assert "Predictions" not in words


def test_a_run_at_its_very_beginning(tmp_path, parsed):
    (tmp_path / "config.json").write_text(to_json(FineTuningConfig(task=TaskConfig(kind="choice", train="train.tsv"))))
    with pytest.raises(UserError, match="has no seed_0"):
        write_report(tmp_path)
    (tmp_path / "seed_0").mkdir()
    assert "0 steps of seed 0 are done; nothing has been scored yet." in parsed(write_report(tmp_path)).words()


def test_without_scikit_learn_its_tables_are_left_out(workdir, parsed, monkeypatch):
    path = workdir("classification", TWO_LABELS, FILMS, {"accuracy": [0.5]})
    monkeypatch.setitem(sys.modules, "sklearn", None)
    words = parsed(write_report(path)).words()
    assert "Scores by label" not in words
    assert "Confusion matrix" in words


def test_text_cannot_break_the_page_and_nothing_comes_from_elsewhere(workdir, parsed):
    path = write_report(workdir("classification", TWO_LABELS, FILMS, {"accuracy": [0.5]}, {ATTACK: {"accuracy": 0.3}}))
    page = parsed(path)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert ATTACK in page.words()
    assert all(value.startswith("#") for name, value in page.attributes if name.endswith("href"))
    assert all(part.startswith("#") for part in path.read_text().split("url(")[1:])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("scores.json", "{"),
        ("scores.json", '{"headline": 3}'),
        ("seed_0/test_predictions.jsonl", '{"example": {}, "prediction": {}}\n'),
        ("seed_0/scores.json", '{"settings": {"colour": 1}}'),
        ("config.json", '{"task": 3}'),
    ],
)
def test_a_damaged_file_is_one_line(workdir, name, content):
    path = workdir("classification", TWO_LABELS, FILMS, {"accuracy": [0.5]})
    (path / name).write_text(content)
    with pytest.raises(UserError, match=name) as caught:
        write_report(path)
    assert "\n" not in str(caught.value)


def test_a_picture_is_of_the_kept_seed(workdir):
    run, metrics = run_and_metrics(workdir("classification", TWO_LABELS, FILMS, {"accuracy": [0.5, 0.7]}))
    assert (run.name, metrics[0].name) == ("seed_1", "accuracy")


def test_the_verb_writes_it(workdir, tmp_path):
    path = workdir("classification", TWO_LABELS, FILMS, {"accuracy": [0.5]})
    flags = [f"--workdir={path}", f"--picture={tmp_path / 'x.svg'}"]
    done = subprocess.run(
        [sys.executable, "-m", "bert_jax.report", *flags], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"report: {path / 'report.html'}\n"), done.stderr
    assert (tmp_path / "x.svg").read_text().count("<svg") == 1
