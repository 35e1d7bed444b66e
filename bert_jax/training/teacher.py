"""The teacher of a pretraining run: read, checked, known again when the run resumes, and what a student takes of it."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping

import numpy as np
from absl import logging
from etils import epath

from bert_jax.config import LAYERS_OF_BERT, Config, ModelConfig, bert_base
from bert_jax.config.check import require
from bert_jax.errors import UserError
from bert_jax.interchange.foreign import ForeignWeights
from bert_jax.interchange.pretrained import WITH_MASKED_LM, Pretrained, read_pretrained
from bert_jax.model.distillation import distillation_model
from bert_jax.model.embeddings import POSITIONS, TOKEN_TYPES, WORDS
from bert_jax.model.functional import flatten
from bert_jax.storage.json_file import read_json, write_json
from bert_jax.text.load_tokenizer import vocabulary_beside
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.training.surplus_rows import drop_surplus_rows
from bert_jax.training.warm_start import FirstWeights, is_another, vocabulary_to_give
from bert_jax.workdir.run_directory import has_checkpoint

FILE = "teacher.json"  # in a workdir: what is known of the teacher, from the run's begin
# What a student needs equal to its teacher's, to begin as some of its layers.
SAME_TO_BEGIN = (
    *("hidden_size", "embedding_size", "num_attention_heads", "intermediate_size", "hidden_act"),
    *LAYERS_OF_BERT,
)


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A model to learn from, on the host: encoder and masked-LM head."""

    path: str
    arrays: Mapping[str, np.ndarray]  # our path -> float32
    config: ModelConfig

    @functools.cached_property
    def digest(self) -> str:
        """See digest_of_weights."""
        return digest_of_weights(self.arrays)


def digest_of_weights(arrays: Mapping[str, np.ndarray]) -> str:
    """What tells these weights from others, wherever they lie and in whichever format; 16 hex digits."""
    sha256 = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha256.update(f"{name} {array.dtype} {array.shape}\n".encode())
        sha256.update(array.data)
    return sha256.hexdigest()[:16]


def read_teacher(config: Config, records: Tokenizer) -> Teacher:
    """The teacher of a resolved config whose vocab_size is known, on records with this vocabulary.

    Raises:
      UserError: there is none, it is damaged, has no masked-LM head, or does not go with the student or the records.
    """
    path, flag = epath.Path(config.teacher), f"--config.teacher={config.teacher}"
    try:
        found = read_pretrained(path, _left_open(config.model), WITH_MASKED_LM)
    except UserError as error:
        raise UserError(f"--config.teacher: {error}") from None
    weights = drop_surplus_rows(ForeignWeights(dict(found.arrays), found.config, []), config.model, path)
    _check_vocabulary(flag, path, found, weights.config.vocab_size, config.model.vocab_size, records)
    theirs = dataclasses.replace(weights.config, next_sentence=False)
    _check_sizes(flag, theirs, config)
    wanted = flatten(distillation_model(theirs).abstract_params)
    if missing := [name for name in wanted if name not in weights.arrays]:
        raise UserError(f"{flag} has no {missing[0]}; give a pretrained model with its masked-LM head")
    return Teacher(config.teacher, {name: weights.arrays[name] for name in wanted}, theirs)


def architecture(config: Config) -> ModelConfig | None:
    """That of the teacher of a resolved config, for a plan; None of a run without one.

    A teacher that is not there is taken for a BERT-base. Raises UserError if it cannot be read.
    """
    if not config.teacher:
        return None
    theirs = bert_base()
    if epath.Path(config.teacher).exists():
        theirs = read_pretrained(config.teacher, _left_open(config.model), WITH_MASKED_LM).config
    else:
        logging.warning("--config.teacher=%s is not there: planned for a BERT-base as teacher", config.teacher)
    theirs = dataclasses.replace(theirs, vocab_size=config.model.vocab_size)
    _check_sizes(f"--config.teacher={config.teacher}", theirs, config)
    return theirs


def _left_open(student: ModelConfig) -> ModelConfig:
    """What a single file does not say of itself is as the student has it, but for layers that no such file has."""
    return dataclasses.replace(student, **LAYERS_OF_BERT)


def _check_vocabulary(
    flag: str, path: epath.Path, found: Pretrained, rows: int, vocab_size: int, records: Tokenizer
) -> None:
    if is_another(records, [found.tokenizer]) or rows != vocab_size:
        remedy = vocabulary_to_give(vocabulary_beside(path), [found.tokenizer], rows, records)
        raise UserError(
            f"{flag} has another vocabulary than the records; give another teacher, or records built with {remedy}"
        )


def _check_sizes(flag: str, theirs: ModelConfig, config: Config) -> None:
    """Raise UserError where the teacher is not as the run's settings need it."""
    ours, settings = config.model, config.distillation
    longest = max(phase.max_seq_length for phase in config.phases)
    if theirs.max_position_embeddings < longest:
        raise UserError(
            f"{flag} reads at most {theirs.max_position_embeddings} tokens and a phase has max_seq_length={longest}; "
            "give shorter phases, or another teacher"
        )
    if settings.cosine_weight:
        settings.layer_pairs(ours.num_hidden_layers, theirs.num_hidden_layers)
        name, remedy = "--config.model.hidden_size", f"give {theirs.hidden_size} as the teacher has, or cosine_weight=0"
        require(ours.hidden_size == theirs.hidden_size, name, ours.hidden_size, remedy)
    if settings.first_layers(ours.num_hidden_layers, theirs.num_hidden_layers):
        for name in SAME_TO_BEGIN:
            mine, wanted = getattr(ours, name), getattr(theirs, name)
            otherwise = "distillation.init_layers='' and freeze_positions=false for fresh weights"
            remedy = f"give {wanted} as the teacher has, or {otherwise}"
            require(mine == wanted, f"--config.model.{name}", mine, remedy)
        shared, remedy = ours.num_hidden_groups, "give 0: layers that share their weights cannot begin as several"
        require(not shared, "--config.model.num_hidden_groups", shared, remedy)


def student_weights(teacher: Teacher, config: Config) -> FirstWeights:
    """Of a student that begins as some of the teacher's layers, with its embeddings and the words' biases.

    With pre_norm, the LayerNorm behind its last layer is the teacher's. Where the student has no token types, the
    teacher's first is added to the positions, or to the words if there are none: a text alone is embedded as the
    teacher embeds it (the original leaves the type out). Positions beyond the student's are left out.
    """
    ours, settings = config.model, config.distillation
    layers = settings.first_layers(ours.num_hidden_layers, teacher.config.num_hidden_layers)
    sources = {
        f"encoder/layer_{mine}/": f"encoder/layer_{teacher.config.distinct_layer(number)}/"
        for mine, number in enumerate(layers)
    }
    same = ["encoder/embeddings/", "encoder/final_norm/", "masked_lm/output_bias"]
    sources |= dict(zip(same, same, strict=True))
    if settings.init_transform:
        sources |= {"masked_lm/": "masked_lm/"}
    arrays = {
        mine + name.removeprefix(theirs): array
        for mine, theirs in sources.items()
        for name, array in teacher.arrays.items()
        if name.startswith(theirs)
    }
    has_positions = POSITIONS in arrays
    if not ours.type_vocab_size and TOKEN_TYPES in arrays:
        # In the words it adds the same number to a token's logits of all words, which a softmax does not see.
        table = POSITIONS if has_positions else WORDS
        arrays[table] = arrays[table] + arrays.pop(TOKEN_TYPES)[:1]
    if has_positions:
        arrays[POSITIONS] = arrays[POSITIONS][: ours.max_position_embeddings]
    logging.info("the student begins as layers %s of %s", settings.init_layers, teacher.path)
    return FirstWeights(arrays, None)


@dataclasses.dataclass(frozen=True)
class _Known:
    """The content of teacher.json."""

    path: str
    digest: str


def check_same_teacher(workdir: epath.Path, teacher: Teacher | None) -> None:
    """Raise UserError if the run in `workdir` has begun with another teacher; wherever the same one lies now."""
    file, begun = workdir / FILE, (workdir / "config.json").exists() or has_checkpoint(workdir)
    if not begun:
        return
    known = read_json(file, _Known, "restore it, or give another --workdir") if file.exists() else None
    before, now = known.digest if known else "", teacher.digest if teacher else ""
    if before != now:
        was = f"the teacher {known.path} (digest {known.digest})" if known else "no teacher"
        given = f"{teacher.path} (digest {teacher.digest})" if teacher else "none"
        raise UserError(
            f"{workdir} was started with {was} and --config.teacher is {given}; give the same to resume, or another "
            "--workdir"
        )


def keep_teacher(workdir: epath.Path, teacher: Teacher) -> None:
    """Write what the next start compares its teacher with."""
    write_json(workdir / FILE, _Known(teacher.path, teacher.digest))
