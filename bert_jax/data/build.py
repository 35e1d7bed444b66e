"""What one run of build_records is to make: the build, and whether another one in the same directory makes the same."""

import dataclasses
import json
from typing import Any

from etils import epath

from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import PARTS
from bert_jax.errors import UserError
from bert_jax.storage.json_file import check_schema
from bert_jax.text.corpus import Corpus
from bert_jax.text.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class Build:
    """Records to make, and of what. Which processes do the work is not in here: the records do not depend on it."""

    corpus: Corpus
    tokenizer: Tokenizer
    options: RecordOptions
    output: epath.Path
    strict: bool  # refuse suspicious text
    plan: dict[str, Any]  # everything that decides the records, as JSON gives it back

    @classmethod
    def of(
        cls, corpus: Corpus, tokenizer: Tokenizer, options: RecordOptions, output: epath.PathLike, strict: bool
    ) -> "Build":
        """The build of these, with its plan."""
        return cls(corpus, tokenizer, options, epath.Path(output), strict, _plan(corpus, tokenizer, options))

    @property
    def work(self) -> epath.Path:
        """The directory of what is unfinished; it goes when the records are complete."""
        return self.output / PARTS

    def check_same(self, other: dict[str, Any]) -> None:
        """Raise UserError if `other`, the plan of what `output` holds, has other options, text or vocabulary."""
        check_schema(other, _Plan, f"the plan of {self.output}", "delete that directory and build the records again")
        self._check_same_options(other["options"])
        if other["inputs"] != self.plan["inputs"]:
            raise UserError(f"{self.output} holds records of other text than --input; give another --output")
        if other["vocab_fingerprint"] != self.plan["vocab_fingerprint"]:
            raise UserError(
                f"{self.output} holds records made with vocabulary {other['vocab_fingerprint']} of "
                f"{other['vocab_size']} tokens, and --vocab is {self.plan['vocab_fingerprint']} of "
                f"{self.plan['vocab_size']}; give another --output"
            )

    def _check_same_options(self, others: dict[str, Any]) -> None:
        for name, value in self.plan["options"].items():
            other = others.get(name, getattr(RecordOptions, name))  # older records do not have every option
            if other != value:
                raise UserError(
                    f"{self.output} holds records made with --{name}={other}, not {value}; "
                    "give another --output, or the same options"
                )


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What a plan must hold to be compared."""

    options: dict[str, Any]
    inputs: Any
    vocab_size: int
    vocab_fingerprint: str


def _plan(corpus: Corpus, tokenizer: Tokenizer, options: RecordOptions) -> dict[str, Any]:
    # --skip_bad_records and --strict are not in it: they change whether records are made, not what they hold.
    plan = {
        "options": dataclasses.asdict(options),
        "inputs": corpus.identity(),
        "vocab_size": tokenizer.vocab_size,
        "vocab_fingerprint": tokenizer.fingerprint,
        "tokenizer_kind": tokenizer.kind,
    }
    return json.loads(json.dumps(plan))  # as it comes back from a file
