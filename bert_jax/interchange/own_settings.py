"""How a model was trained to be used, where it says so: its length and its vectors, which flags may change."""

import dataclasses
from typing import get_args

from absl import logging
from etils import epath

from bert_jax.config.finetuning import TextPooling
from bert_jax.interchange.sentence_transformers_files import (
    USAGE,
    SentenceTransformersFiles,
    Usage,
    read_files,
    read_tokenizer_length,
    write_length,
    write_modules,
    write_pooling,
    write_usage,
)
from bert_jax.text.load_tokenizer import has_vocabulary, load_tokenizer
from bert_jax.workdir import fine_tuned

_COMPUTED = ("Transformer", "Pooling", "Normalize", "Dropout")  # the last does nothing but in training


@dataclasses.dataclass(frozen=True)
class OwnSettings:
    """None: the model does not say."""

    max_length: int | None = None  # tokens of a text, special ones included
    pooling: TextPooling | None = None  # of model/tasks.py's POOLINGS
    normalized: bool = False  # its vectors have length 1
    # Not used here, and handed on to what is written of the model.
    usage: Usage = dataclasses.field(default=Usage(), compare=False)
    other_pooling: tuple[str, ...] = dataclasses.field(default=(), compare=False)  # where it is none of TextPooling
    pools_prompt: bool = dataclasses.field(default=True, compare=False)  # and not only the tokens behind it
    left_out: tuple[str, ...] = dataclasses.field(default=(), compare=False)  # of what makes its vectors: not handed on

    @property
    def not_computed(self) -> tuple[str, ...]:
        """Here, of what makes its vectors."""
        pooling = [f"pooling by {' and '.join(self.other_pooling)}"] if self.other_pooling else []
        return (*self.left_out, *pooling)

    def __str__(self) -> str:
        """For people."""
        said = (self.pooling, f"pooling {self.pooling}"), (self.max_length, f"at most {self.max_length} tokens a text")
        return ", ".join(text for value, text in (*said, (self.normalized, "vectors of length 1")) if value)

    def length(self, most: int) -> int:
        """Tokens of a text where nothing else is asked for, by a model that reads at most so many."""
        return min(self.max_length or most, most)


NOTHING_SAID = OwnSettings()


def own_settings(model: epath.PathLike) -> OwnSettings:
    """Those of a fine-tuned workdir or a sentence-transformers directory; UserError if its files are damaged."""
    model = epath.Path(model)
    if fine_tuned.is_fine_tuned(model):
        return _of_fine_tuned(model)
    files = read_files(model)
    computed = [kind for kind in get_args(TextPooling) if files.pooling == (kind,)]
    own = OwnSettings(
        _own_length(model, files),
        computed[0] if computed else None,
        files.normalizes,
        usage=files.usage,
        other_pooling=() if computed else files.pooling,
        pools_prompt=files.pools_prompt,
        left_out=_left_out(model, files),
    )
    if own != NOTHING_SAID:
        logging.info("%s says of itself: %s", model, own)
    if own.not_computed:
        reason = " and ".join(own.not_computed)
        logging.warning("%s: %s is not computed here: vectors are others than its own", model, reason)
    _tell_prompts(model / USAGE, own)
    return own


def _of_fine_tuned(workdir: epath.Path) -> OwnSettings:
    """What task.json says, and what was kept beside it (beside_task)."""
    described, files = fine_tuned.read_description(workdir), read_files(workdir)
    own = OwnSettings(
        files.sentence_bert.max_seq_length or described.text.max_length or None,  # the former where it was set anew
        described.settings.get("pooling"),
        files.normalizes,
        usage=files.usage,
        pools_prompt=files.pools_prompt,
    )
    _tell_prompts(workdir / USAGE, own)
    return own


def beside_task(own: OwnSettings, pooling: TextPooling | None) -> OwnSettings:
    """What lies beside the task.json of a model that was fine-tuned, with this pooling, from one that says `own`.

    That file has pooling and length, and they are said once more only where a file has them beside something else.
    """
    kept = OwnSettings(normalized=own.normalized, usage=own.usage, pools_prompt=own.pools_prompt)
    is_more = kept.normalized or kept.usage != Usage() or not kept.pools_prompt
    return dataclasses.replace(kept, pooling=pooling) if is_more else NOTHING_SAID


def _own_length(model: epath.Path, files: SentenceTransformersFiles) -> int | None:
    """The tokenizer's own where the directory is of a newer sentence-transformers, which writes no other."""
    if files.sentence_bert.max_seq_length is None and files.modules:
        return read_tokenizer_length(model)
    return files.sentence_bert.max_seq_length


def _left_out(model: epath.Path, files: SentenceTransformersFiles) -> tuple[str, ...]:
    names = [module.name for module in files.modules]
    others = [name for name in names if name not in _COMPUTED]
    if "Pooling" in names and not files.pooling_file.exists():
        others.append(f"pooling by {files.pooling_file}, which is missing,")
    if _lowers_more_than_tokenizer(model, files):
        others.append("lower case (do_lower_case)")
    return tuple(others)


def _lowers_more_than_tokenizer(model: epath.Path, files: SentenceTransformersFiles) -> bool:
    """Whether texts are to be lower-cased that the tokenizer leaves as they are."""
    return files.sentence_bert.do_lower_case and has_vocabulary(model) and not load_tokenizer(model).lowercase


def _tell_prompts(path: epath.Path, own: OwnSettings) -> None:
    """Log what would stand before texts there, which is for whoever calls us to put there."""
    default = own.usage.default_prompt_name or ""
    pooled = "" if own.pools_prompt else "; its tokens are part of the vector here, and not there"
    if prompt := own.usage.prompts.get(default):
        logging.warning(
            "%s: its prompt %r stands before each text there; here put it into the texts%s", path, prompt, pooled
        )
    if named := [name for name, prompt in own.usage.prompts.items() if prompt and name != default]:
        logging.info("%s has prompts (%s); here put the one you need into the texts%s", path, ", ".join(named), pooled)


def write_own_settings(directory: epath.Path, own: OwnSettings, hidden_size: int) -> None:
    """Put what `own_settings` reads beside the files of a model of this width in `directory`."""
    if own.max_length is not None:
        write_length(directory, own.max_length)
    if own.usage != Usage():
        write_usage(directory, own.usage)
    is_whole = not own.left_out  # modules.json is of all that makes its vectors
    pools = own.pooling is not None or bool(own.other_pooling)
    if is_whole and (pools or own.normalized):  # without it sentence-transformers takes the mean, whatever the pooling
        write_modules(directory, own.normalized)
    if pools or (is_whole and own.normalized):
        write_own_pooling(directory, own, hidden_size)


def write_own_pooling(directory: epath.Path, own: OwnSettings, hidden_size: int) -> None:
    """Write how a model of this width pools: by the mean where `own` does not say."""
    write_pooling(directory, own.other_pooling or (own.pooling or "mean",), own.pools_prompt, hidden_size)
