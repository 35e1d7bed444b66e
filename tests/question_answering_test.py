"""finetune, predict and evaluate of questions, as commands, on a very small model: what one writes the next reads."""

import json
import pydoc_data.topics

import pytest

CONTEXTS = [" ".join(pydoc_data.topics.topics[name].split()[:70]) for name in ("assert", "break", "del", "while")]


def squad(contexts, version_2):
    """A question of each context's tenth word, and one without an answer."""
    paragraphs = []
    for number, context in enumerate(contexts):
        word = context.split()[9]
        answers = [{"text": word, "answer_start": context.index(word)}]
        questions = [{"id": f"{number}", "question": "Which is the tenth word?", "answers": answers}]
        if version_2:
            nothing = {"id": f"{number}-", "question": "Who was Ada?", "answers": [], "is_impossible": True}
            questions = [questions[0] | {"is_impossible": False}, nothing]
        paragraphs.append({"context": context, "qas": questions})
    return json.dumps({"data": [{"paragraphs": paragraphs}]})


@pytest.fixture(
    scope="module", params=[pytest.param(True, id="2.0"), pytest.param(False, id="1.1", marks=pytest.mark.slow)]
)
def tuned(request, tmp_path_factory, chain, finished_run):
    """(directory with train.json and workdir, whether there are questions without answers)."""
    directory = tmp_path_factory.mktemp("qa")
    (directory / "train.json").write_text(squad(CONTEXTS, request.param))
    files = [f"--{split}={directory}/train.json" for split in ("train", "dev", "test")]
    short = ["--config.fit.steps=2", "--config.fit.global_batch_size=4", "--config.text.max_shapes=1"]
    options = ["--config.text.doc_stride=20", "--config.task.max_answer_length=5", "--config.task.max_query_length=9"]
    workdir = f"--workdir={directory}/workdir"
    done = chain.run("finetune", "--task=qa", f"--init_from={finished_run}", *files, workdir, *short, *options)
    assert "each beginning text.doc_stride=20 tokens after the one before" in done.stderr
    return directory, request.param


def test_all_that_predicting_needs_lies_with_the_model(tuned):
    directory, version_2 = tuned
    task = json.loads((directory / "workdir" / "task.json").read_text())
    settings = task["settings"]
    assert (settings["max_query_length"], settings["max_answer_length"]) == (9, 5)
    assert settings["has_impossible"] == version_2
    assert (settings["null_threshold"] != 0.0) == version_2
    assert task["text"]["doc_stride"] == 20
    assert ("best_f1" in task["test"]) == version_2


def test_every_question_is_answered_out_of_its_context(tuned, chain):
    directory, version_2 = tuned
    flags = [f"--workdir={directory}/workdir", f"--input={directory}/train.json"]
    chain.run("predict", *flags, f"--output={directory}/answers.jsonl")
    lines = [json.loads(line) for line in (directory / "answers.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [
        f"{n}{kind}" for n in range(4) for kind in (["", "-"] if version_2 else [""])
    ]
    for line in lines:
        assert line["answer"] == CONTEXTS[int(line["id"][0])][line["start"] : line["end"]]
        assert 0 <= line["probability"] <= 1
        assert line["answer"] or version_2
    chain.run("predict", *flags, f"--output={directory}/answers.json")
    assert json.loads((directory / "answers.json").read_text()) == {line["id"]: line["answer"] for line in lines}


def test_evaluate_gives_the_scores_of_the_run(tuned, chain):
    directory, _ = tuned
    done = chain.run("evaluate", f"--workdir={directory}/workdir", f"--input={directory}/train.json")
    kept = json.loads((directory / "workdir" / "task.json").read_text())["test"]
    scores = json.loads(done.stdout)
    assert {name: scores[name] for name in kept} == pytest.approx(kept, abs=1e-4)
