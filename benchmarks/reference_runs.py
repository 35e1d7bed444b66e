"""Runs of the small configs on a text that anyone has by a package's name, and the package's reference curves of them.

    launch/setup.sh wiki
    pip download gensim==4.4.0 --no-deps
    unzip -j gensim-4.4.0-*.whl 'gensim/test/test_data/enwiki-latest-pages-articles1*'
    .venv/bin/python benchmarks/reference_runs.py --dump=DUMP.bz2 [--only=NAME,...] [--seeds=3] [--work=DIR]

The dump is 2.6 MB of English Wikipedia. Records are as the quickstart's. What is there is not run again, and what was
killed resumes.
"""

import argparse
from pathlib import Path

from curves import make_reference, write_reference
from verb import verb

from bert_jax.reporting.reference import DIRECTORY

ROOT = Path(__file__).parent.parent
WIDE = [  # 4 layers of 256, a shorter run
    *("num_hidden_layers=4", "hidden_size=256", "num_attention_heads=4", "intermediate_size=1024"),
    "initializer_range=0.04",
]
SHORTER = "--config.scale=0.4"
RUNS = {
    "wikipedia_2x128_paper": ["--config=configs/tiny.py"],
    "wikipedia_2x128_fast": ["--config=configs/tiny_fast.py"],
    "wikipedia_4x256_paper": [
        *("--config=configs/tiny.py", SHORTER, *(f"--config.model.{each}" for each in WIDE)),
        "--config.optimizer.learning_rate=5e-4",  # at 1e-3 so wide a model stays above the unigram floor
    ],
    "wikipedia_4x256_fast": ["--config=configs/tiny_fast.py", SHORTER, *(f"--config.model.{each}" for each in WIDE)],
}


def main() -> None:
    """Make vocabulary, records, runs and curves, each where it is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", required=True)
    parser.add_argument("--only", default=",".join(RUNS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", default=str(ROOT / "runs" / "references"))
    arguments = parser.parse_args()
    work = Path(arguments.work)
    text = f"--input={arguments.dump}"
    verb("build_vocab", text, f"--output={work}/vocab", "--kind=wordpiece", "--vocab_size=4000", "--lowercase")
    sizes = ["--max_seq_length=64", "--max_predictions_per_seq=10", "--dupe_factor=1", "--holdout=0.05"]
    verb("build_records", text, f"--vocab={work}/vocab", f"--output={work}/records", "--split_sentences", *sizes)
    for name in arguments.only.split(","):
        workdirs = [f"{work}/{name}-{seed}" for seed in range(arguments.seeds)]
        for seed, workdir in enumerate(workdirs):
            how = [f"--workdir={workdir}", f"--config.data.records={work}/records", f"--config.train.seed={seed}"]
            verb("pretrain", *RUNS[name], *how)
        command = f"benchmarks/reference_runs.py --dump=DUMP --only={name}, with the dump of PyPI's gensim 4.4.0"
        write_reference(DIRECTORY / f"{name}.json", make_reference(workdirs, command))


if __name__ == "__main__":
    main()
