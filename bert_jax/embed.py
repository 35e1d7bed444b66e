"""Vectors of texts: .npy shards and ids, for search, clustering or another program. The same command again resumes.

python -m bert_jax.embed --model=MODEL --input=FILE --output=DIR [--pooling=mean|cls|max|words|tokens] [--layers=-1]
    [--[no]normalize] [--queries=FILE --qrels=FILE]     with these, how well the input is searched, as JSON
python -m bert_jax.embed --model=MODEL --mine=PAIRS --output=FILE.jsonl      pairs with hard negatives
"""

import json
from collections.abc import Sequence

from absl import flags

from bert_jax import cli
from bert_jax.inference.embedding_options import define_options, load
from bert_jax.inference.embedding_run import check_input, embed_file
from bert_jax.inference.mining import mine_file
from bert_jax.inference.retrieval import check_can_search, read_searches, search_scores
from bert_jax.parallel.processes import is_first, joined
from bert_jax.storage.lock import only_run
from bert_jax.storage.paths import check_place

_OUTPUT = flags.DEFINE_string("output", None, "Directory to write; of --mine, a file.", required=True)
_INPUT = flags.DEFINE_string("input", None, "Texts: .txt (one a line), .jsonl, .tsv, .csv; - is standard input.")
_MINE = flags.DEFINE_string("mine", None, "File of pairs (anchor, positive) to find hard negatives for.")
_SKIP = flags.DEFINE_integer("skip", 0, "With --mine: nearest texts to pass over; they may be positives.", 0, 10**6)
_OF_POSITIVE = "With --mine: a negative's cosine is at most this fraction of the positive's."
_MARGIN = flags.DEFINE_float("margin", 0.95, _OF_POSITIVE, 0, 1)
_NEGATIVES = flags.DEFINE_integer("negatives", 5, "With --mine: negatives for each pair, at most.", 1, 10**6)
_QUERIES = flags.DEFINE_string("queries", None, "JSON Lines of _id and text: queries to search --input with.")
_QRELS = flags.DEFINE_string("qrels", None, "With --queries: lines of query, document and grade, with tabs between.")
_OPTIONS = define_options()
_NOT_FOR_MINING = ("input", "queries", "qrels", "dtype", "shard_rows")


def main(argv: Sequence[str]) -> None:
    """Embed a file, and search it; or mine."""
    del argv
    options = _OPTIONS()
    if _MINE.value:
        cli.refuse(_NOT_FOR_MINING, "is not for --mine, which reads the texts of its pairs alone and writes text")
        mine_file(options, _MINE.value, _OUTPUT.value, _NEGATIVES.value, _SKIP.value, _MARGIN.value)
        return
    cli.refuse(["skip", "margin", "negatives"], "is for --mine")
    source = check_input(_INPUT.value)
    check_place(_OUTPUT.value, "output")
    if searches := read_searches(_QUERIES.value, _QRELS.value):
        check_can_search(options, source)
    with joined(), only_run(_OUTPUT.value, is_writer=is_first()):
        loaded = load(options)
        embed_file(options, loaded, source, _OUTPUT.value)
        if searches:
            found = search_scores(options, loaded.embedder, _OUTPUT.value, source, searches)
            if is_first():
                print(json.dumps(found, indent=2))


if __name__ == "__main__":
    cli.run(main)
