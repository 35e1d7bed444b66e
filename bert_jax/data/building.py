"""From text to a records directory: cut into parts, a process pool, one shard a part, the manifest last.

What is in the output does not depend on the number of workers, and a run that was killed goes on from the shards
that are finished. Until the manifest is written, OUTPUT/.parts holds the parts and what is known of them.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from absl import logging
from etils import epath

import bert_jax
from bert_jax.data.examples import readable
from bert_jax.data.manifest import MANIFEST, Manifest, Split, read_manifest, write_manifest
from bert_jax.data.options import RecordOptions
from bert_jax.data.parts import Part, cut_into_parts
from bert_jax.data.shards import Built, read_built
from bert_jax.data.source import RecordSource
from bert_jax.data.statistics import Statistics, total
from bert_jax.data.whole_file import whole_file
from bert_jax.data.workers import build_shards
from bert_jax.errors import UserError
from bert_jax.text.corpus import corpus_identity, documents
from bert_jax.text.tokenizer import Tokenizer

_PLAN = "plan.json"  # in .parts: what the unfinished run is to make, of which parts
_EXAMPLES = 5  # records shown in the log


def build_records(
    inputs: Sequence[str],
    tokenizer: Tokenizer,
    output: epath.PathLike,
    options: RecordOptions,
    num_workers: int,
) -> Manifest:
    """Make the records of the text files `inputs` in the directory `output`, or finish making them.

    Does nothing if they are there already.

    Raises:
      UserError: an option makes no sense, the text cannot be used, or `output` holds other records.
    """
    output = epath.Path(output)
    options.check()
    plan = _plan(inputs, tokenizer, options)
    if (output / MANIFEST).exists():
        return _already_there(output, plan)
    work = output / ".parts"
    parts = _parts_of_earlier_run(output, work, plan) or _begin(inputs, output, work, options, plan)
    tokenizer.save(output / "tokenizer")
    waiting = [part for part in parts if read_built(work, part) is None]
    if len(waiting) < len(parts):
        logging.info("%d of %d shards are finished already", len(parts) - len(waiting), len(parts))
    build_shards(output, work, waiting, options, num_workers)
    manifest = _manifest(work, parts, options, plan)
    write_manifest(output, manifest)
    work.rmtree()
    _report(output, manifest, tokenizer)
    return manifest


def _plan(inputs: Sequence[str], tokenizer: Tokenizer, options: RecordOptions) -> dict[str, Any]:
    """Everything that decides the records; what a second run must have in common with the first."""
    plan = {
        "options": dataclasses.asdict(options),
        "inputs": corpus_identity(inputs),
        "vocab_size": tokenizer.vocab_size,
        "vocab_fingerprint": tokenizer.fingerprint,
        "tokenizer_kind": tokenizer.kind,
    }
    return json.loads(json.dumps(plan))  # as it comes back from a file


def _already_there(output: epath.Path, plan: dict[str, Any]) -> Manifest:
    manifest = read_manifest(output)
    _check_same(output, {name: getattr(manifest, name) for name in plan}, plan)
    if (output / ".parts").exists():  # of a run that was killed just before its end
        (output / ".parts").rmtree()
    logging.info("%s already holds these records, complete; nothing to do", output)
    return manifest


def _parts_of_earlier_run(output: epath.Path, work: epath.Path, plan: dict[str, Any]) -> list[Part]:
    """The parts of an unfinished run, or none. One that has finished no shard is not worth holding on to."""
    if not (work / _PLAN).exists() or not any(work.glob("*.done.json")):
        return []
    begun = json.loads((work / _PLAN).read_text())
    _check_same(output, begun["plan"], plan)
    return [Part(**part) for part in begun["parts"]]


def _begin(
    inputs: Sequence[str],
    output: epath.Path,
    work: epath.Path,
    options: RecordOptions,
    plan: dict[str, Any],
) -> list[Part]:
    if output.exists() and any(output.glob("*.tfrecord*")):
        raise UserError(f"{output} holds TFRecord files of another origin; give another --output")
    existed = output.exists()
    logging.info("Cutting %s into %d parts", ", ".join(inputs), options.num_parts)
    try:
        parts = cut_into_parts(work, documents(inputs, options.split_sentences), options, ", ".join(inputs))
    except BaseException:
        (work if existed else output).rmtree(missing_ok=True)
        raise
    with whole_file(work / _PLAN) as file:
        file.write(json.dumps({"plan": plan, "parts": [dataclasses.asdict(part) for part in parts]}).encode())
    return parts


def _check_same(output: epath.Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise UserError if the records in `output` are of other options, text or vocabulary."""
    for name, value in new["options"].items():
        if old["options"].get(name) != value:
            raise UserError(
                f"{output} holds records made with --{name}={old['options'].get(name)}, not {value}; "
                "give another --output, or the same options"
            )
    if old["inputs"] != new["inputs"]:
        raise UserError(f"{output} holds records of other text than --input; give another --output")
    if old["vocab_fingerprint"] != new["vocab_fingerprint"]:
        raise UserError(
            f"{output} holds records made with vocabulary {old['vocab_fingerprint']} of {old['vocab_size']} tokens, "
            f"and --vocab is {new['vocab_fingerprint']} of {new['vocab_size']}; give another --output"
        )


def _manifest(work: epath.Path, parts: Sequence[Part], options: RecordOptions, plan: dict[str, Any]) -> Manifest:
    built: dict[str, list[Built]] = {}
    for part in parts:
        shard = read_built(work, part)
        assert shard is not None, part
        built.setdefault(part.split, []).append(shard)
    return Manifest(
        max_seq_length=options.max_seq_length,
        max_predictions_per_seq=options.max_predictions_per_seq,
        splits={
            split: Split(sum(one.shard.num_records for one in shards), [one.shard for one in shards])
            for split, shards in built.items()
        },
        statistics={
            split: dataclasses.asdict(total(one.statistics for one in shards)) for split, shards in built.items()
        },
        bert_jax_version=bert_jax.__version__,
        **plan,
    )


def _report(output: epath.Path, manifest: Manifest, tokenizer: Tokenizer) -> None:
    source = RecordSource(output, "train")
    for number in range(min(_EXAMPLES, len(source))):
        logging.info("Example %d\n%s", number + 1, readable(source[number], tokenizer))
    for split, counts in manifest.statistics.items():
        summary = Statistics(**counts).summary(manifest.max_seq_length)
        logging.info("%s: %s", split, summary)
    logging.info("Records are in %s", output)
