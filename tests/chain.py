"""The commands of the project on a small real corpus, whose vocabulary and records are made once."""

import os
import pydoc_data.topics
import subprocess
import sys

from tests.verbs import INHERITED, QUICK_COMPILATION, ROOT

# What tests change of the environment of the processes that they start. Not all of it is looked at: some libraries
# change their own variables when they are imported.
CHANGED_BY_TESTS = ("PYTHONPATH", "STORAGE_EMULATOR_HOST")


class Chain:
    """The commands, run as people run them; `make` is to be called once for a directory."""

    environment = QUICK_COMPILATION

    def __init__(self, directory, verbs):
        self.directory, self._verbs = directory, verbs
        self.corpus, self.vocab = directory / "corpus.txt", directory / "vocab"

    def make(self):
        """Write the corpus, and make its vocabulary and records of 32 and 64 tokens."""
        topics = [text for _, text in sorted(pydoc_data.topics.topics.items())]
        documents = [[line.strip() for line in topic.splitlines() if line.strip()] for topic in topics[:60]]
        self.corpus.write_text("\n\n".join("\n".join(lines) for lines in documents) + "\n")
        self.run(
            "build_vocab", f"--input={self.corpus}", f"--output={self.vocab}", "--kind=wordpiece", "--vocab_size=800"
        )
        for length in (32, 64):
            self.build_records(length)

    def records(self, length):
        return self.directory / f"records-{length}"

    def build_records(self, length):
        return self.run(
            "build_records",
            f"--input={self.corpus}",
            f"--vocab={self.vocab}",
            f"--output={self.records(length)}",
            f"--max_seq_length={length}",
            "--max_predictions_per_seq=6",
            "--dupe_factor=2",
            "--holdout=0.1",
            "--num_workers=1",
        )

    def run(self, verb, *flags, check=True, **environment):
        """The finished process of `python -m bert_jax.VERB FLAGS`, with these environment variables."""
        if environment or any(os.environ.get(name) != INHERITED.get(name) for name in CHANGED_BY_TESTS):
            done = subprocess.run(
                [sys.executable, "-m", f"bert_jax.{verb}", *flags],
                cwd=ROOT,
                env=os.environ | self.environment | environment,
                capture_output=True,
                text=True,
                check=False,
            )
        else:
            done = self._verbs.run(verb, *flags)
        assert not check or done.returncode == 0, done.stderr
        return done

    def pretrain_flags(self, workdir, config="one_phase.py"):
        return [
            f"--config={ROOT / 'tests' / 'configs' / config}",
            f"--workdir={workdir}",
            f"--config.data.records={self.directory}/records-{{max_seq_length}}",
            f"--config.train.compilation_cache={os.environ['JAX_COMPILATION_CACHE_DIR']}",
        ]

    def pretrain(self, workdir, *flags, config="one_phase.py", check=True, **environment):
        """The finished process of a pretraining run."""
        return self.run("pretrain", *self.pretrain_flags(workdir, config), *flags, check=check, **environment)

    def start(self, program, *flags, devices=1):
        """A process that has just been started, of a module or a .py file, on so many devices; its stderr is a pipe."""
        return self._verbs.start(program, *flags, devices=devices)

    def start_pretrain(self, workdir, *flags, devices=1):
        """A pretraining run that has just been started, on so many devices; its stderr is a pipe."""
        return self.start("bert_jax.pretrain", *self.pretrain_flags(workdir), *flags, devices=devices)
