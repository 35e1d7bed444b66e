"""Vectors of texts: .npy shards and ids, for search, clustering or another program. The same command again goes on.

python -m bert_jax.embed --model=MODEL --input=FILE --output=DIR [--pooling=mean|cls|max|words|tokens] [--layers=-1]
    [--[no]normalize] [--queries=FILE --qrels=FILE]     with these, how well the input is searched, as JSON
python -m bert_jax.embed --model=MODEL --mine=PAIRS --output=FILE.jsonl      pairs with hard negatives
"""

import json
from collections.abc import Sequence

from absl import flags

from bert_jax import cli
from bert_jax.errors import UserError
from bert_jax.inference.embedding_options import define_options, load
from bert_jax.inference.embedding_run import embed_file
from bert_jax.inference.mining import mine_file
from bert_jax.inference.retrieval import check_can_search, read_searches, search_scores
from bert_jax.parallel.processes import is_first, joined
from bert_jax.storage.lock import only_run
from bert_jax.storage.paths import check_place

_OUTPUT = flags.DEFINE_string("output", None, "Directory to write; of --mine, a file.", required=True)
_INPUT = flags.DEFINE_string("input", None, "Texts: .txt (one a line), .jsonl, .tsv, .csv; - is the standard input.")
_MINE = flags.DEFINE_string("mine", None, "Anchors and positives, to find hard negatives for.")
_SKIP = flags.DEFINE_integer("skip", 0, "Mining passes over so many nearest texts: they may be positives.", 0, 10**6)
_MARGIN = flags.DEFINE_float("margin", 0.95, "A negative is at most so much of its positive's cosine.", 0, 1)
_NEGATIVES = flags.DEFINE_integer("negatives", 5, "How many of them a pair gets, if there are.", 1, 10**6)
_QUERIES = flags.DEFINE_string("queries", None, "Queries as JSON Lines of _id and text, to search the input for.")
_QRELS = flags.DEFINE_string("qrels", None, "Judgements: query, document and grade between tabs.")
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
    if not _INPUT.value:
        raise UserError("--input is missing, give a file of texts (.txt, .jsonl, .tsv or .csv), or - with texts at it")
    check_place(_OUTPUT.value, "output")
    searches = read_searches(_QUERIES.value, _QRELS.value)
    if searches:
        check_can_search(options, _INPUT.value)
    with joined(), only_run(_OUTPUT.value, is_writer=is_first()):
        loaded = load(options)
        embed_file(options, loaded, _INPUT.value, _OUTPUT.value)
        if searches:
            found = search_scores(options, loaded.embedder, _OUTPUT.value, _INPUT.value, searches)
            if is_first():
                print(json.dumps(found, indent=2))


if __name__ == "__main__":
    cli.run(main)
