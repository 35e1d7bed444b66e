"""The sets that benchmarks/tasks.py scores: their files, and the flags of `finetune` for each."""

import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Set(NamedTuple):
    """Files are named from the folder of the sets, or as "made/..." where `make` writes them."""

    task: str
    train: str
    dev: str = ""
    test: str = ""
    flags: tuple[str, ...] = ()
    also: tuple[str, str] = ("", "")  # name of a further test file of the same model, and the file
    search: tuple[str, str, str] | None = None  # corpus, queries and judgements: the score is that of a search, nDCG@10
    fit: bool = True  # False: the model is used as it is
    score: str = ""  # another one than the task's first


SICK = ("sick/train.tsv", "sick/dev.tsv", "sick/test.tsv")
STS = ("sts/train.tsv", "sts/dev.tsv", "sts/test.tsv")
CHUNKS = ("made/chunks/train.txt", "made/chunks/dev.txt", "conll2000/test.txt.xz")
HALLMARKS = ("hoc/train.jsonl.xz", "hoc/dev.jsonl.xz", "hoc/test.jsonl.xz")
REVIEWS = ("movie_reviews/train.jsonl.xz", "movie_reviews/dev.jsonl.xz", "movie_reviews/test.jsonl.xz")
SQUAD = ("squad2/train.json.xz", "squad2/dev.json.xz", "squad2/test.json.xz")
PARAGRAPHS = ("made/paragraphs/corpus.jsonl", "made/paragraphs/queries.jsonl", "made/paragraphs/qrels.tsv")
CRANFIELD = ("cranfield/corpus.jsonl.xz", "cranfield/queries.jsonl", "cranfield/qrels.tsv")
OWN_LENGTH = ("--config.text.max_length=256",)  # what MiniLM says of itself
PAIRS = "text:sentence_A,text2:sentence_B,id:pair_ID"
SETS = {
    "sick classes": Set("classification", *SICK, flags=(f"--columns={PAIRS},label:entailment_judgment",)),
    "sick relatedness": Set("regression", *SICK, flags=(f"--columns={PAIRS},label:relatedness_score",)),
    "sts": Set("regression", *STS),
    "sts vectors": Set("similarity", *STS),
    "cola": Set(
        *("classification", "cola/train.tsv", "cola/dev_in_domain.tsv", "cola/dev_out_of_domain.tsv"),
        flags=("--columns=text:3,label:1",),
        score="matthews",
    ),
    "copa": Set("choice", "copa/train.jsonl", "copa/dev.jsonl", "copa/dev.jsonl", ("--config.fit.epochs=5",)),
    "wikigold": Set(
        *("tagging", "wikigold/train.txt", "wikigold/dev.txt", "wikigold/test.txt"), flags=("--config.fit.epochs=10",)
    ),
    "ncbi_disease": Set("tagging", "ncbi_disease/train.tsv", "ncbi_disease/dev.tsv", "ncbi_disease/test.tsv"),
    "conll2000 chunks": Set("tagging", *CHUNKS, flags=("--columns=word:0,tag:2",)),
    "conll2000 parts of speech": Set("tagging", *CHUNKS, flags=("--columns=word:0,tag:1",)),
    "squad2": Set(
        *("qa", *SQUAD),
        flags=("--config.fit.epochs=3", "--config.fit.global_batch_size=16", "--config.optimizer.learning_rate=1e-4"),
        also=("other articles", "squad2/test_other_articles.json"),
    ),
    "covidqa_long": Set(
        *("qa", "covidqa_long/train.json.xz"),
        test="covidqa_long/test.json.xz",
        flags=(*OWN_LENGTH, "--config.fit.epochs=1", "--config.optimizer.learning_rate=1e-4"),
    ),
    "squad2 paragraphs": Set(
        *("similarity", "made/paragraphs/train.jsonl", "made/paragraphs/dev.jsonl"), flags=OWN_LENGTH, search=PARAGRAPHS
    ),
    "cranfield as it is": Set("similarity", "sts/train.tsv", flags=OWN_LENGTH, search=CRANFIELD, fit=False),
    "hoc": Set("multilabel", *HALLMARKS, flags=("--config.fit.epochs=10", "--config.task.class_weights=balanced")),
    "movie_reviews": Set("classification", *REVIEWS, flags=(*OWN_LENGTH, "--long=windows", "--config.fit.epochs=2")),
}


def place(file: str, data: Path, made: Path) -> str:
    """Where a set's file is."""
    return str(made / file.removeprefix("made/")) if file.startswith("made/") else str(data / file)


def make(data: Path, made: Path) -> None:
    """Write the files that the sets lack: conll2000's dev sentences, and SQuAD's paragraphs as a collection."""
    for directory in (made / "chunks", made / "paragraphs"):
        directory.mkdir(parents=True, exist_ok=True)
    sentences = read_text(data / CHUNKS[2].replace("test", "train")).strip().split("\n\n")
    for name, part in (("train", sentences[:-900]), ("dev", sentences[-900:])):
        (made / "chunks" / f"{name}.txt").write_text("\n\n".join(part) + "\n")
    train, dev, test = (list(answerable(data / file)) for file in SQUAD)
    test += answerable(data / SETS["squad2"].also[1])
    for name, asked in (("train", train), ("dev", dev)):
        write_lines(made / "paragraphs" / f"{name}.jsonl", [{"text": text, "text2": found} for text, found in asked])
    numbers = {paragraph: f"d{number}" for number, paragraph in enumerate(dict.fromkeys(found for _, found in test))}
    write_lines(made / PARAGRAPHS[0].removeprefix("made/"), [{"_id": of, "text": text} for text, of in numbers.items()])
    write_lines(
        made / PARAGRAPHS[1].removeprefix("made/"),
        [{"_id": f"q{number}", "text": text} for number, (text, _) in enumerate(test)],
    )
    judged = [f"q{number}\t{numbers[found]}\t1\n" for number, (_, found) in enumerate(test)]
    (made / PARAGRAPHS[2].removeprefix("made/")).write_text("".join(judged))


def answerable(path: Path) -> Iterator[tuple[str, str]]:
    """Each question that its paragraph answers, with the paragraph."""
    articles = json.loads(read_text(path))["data"]
    for paragraph in (one for article in articles for one in article["paragraphs"]):
        for question in paragraph["qas"]:
            if not question.get("is_impossible"):
                yield question["question"], paragraph["context"]


def read_text(path: Path) -> str:
    """Of a file, compressed or not."""
    return (lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()).decode()


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """As JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
