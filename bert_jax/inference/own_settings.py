"""How a model was trained to be used, where it says so: its length and pooling, which flags may change."""

import dataclasses
import json

from absl import logging
from etils import epath

from bert_jax.inference.pooling import OF_TEXTS
from bert_jax.storage.json_file import read_json
from bert_jax.storage.whole_file import replace_text
from bert_jax.workdir import fine_tuned

_REMEDY = "mend or remove it"
_LENGTH, _POOLING = "sentence_bert_config.json", "1_Pooling/config.json"  # of a sentence-transformers directory
_POOLING_MODES = ("pooling_mode_mean_tokens", "pooling_mode_cls_token", "pooling_mode_max_tokens")  # as OF_TEXTS


@dataclasses.dataclass(frozen=True)
class OwnSettings:
    """None: the model does not say."""

    max_length: int | None = None  # tokens of a text, special ones included
    pooling: str | None = None

    def length(self, most: int) -> int:
        """Tokens of a text where nothing else is asked for, by a model that reads at most so many."""
        return min(self.max_length or most, most)


@dataclasses.dataclass(frozen=True)
class _SentenceBert:
    """sentence_bert_config.json of a sentence-transformers directory."""

    max_seq_length: int | None = None


@dataclasses.dataclass(frozen=True)
class _Modes:
    """1_Pooling/config.json."""

    pooling_mode_cls_token: bool = False
    pooling_mode_mean_tokens: bool = False
    pooling_mode_max_tokens: bool = False


def own_settings(model: epath.PathLike) -> OwnSettings:
    """Those of a fine-tuned workdir or a sentence-transformers directory; UserError if its files are damaged."""
    model = epath.Path(model)
    if fine_tuned.is_fine_tuned(model):
        described = fine_tuned.read_description(model)
        return OwnSettings(described.text.max_length or None, described.settings.get("pooling"))
    length, pooling = model / _LENGTH, model / _POOLING
    max_length = read_json(length, _SentenceBert, _REMEDY).max_seq_length if length.exists() else None
    modes = read_json(pooling, _Modes, _REMEDY) if pooling.exists() else _Modes()
    found = [kind for kind, name in zip(OF_TEXTS, _POOLING_MODES, strict=True) if getattr(modes, name)]
    own = OwnSettings(max_length, found[0] if len(found) == 1 else None)
    if own != OwnSettings():
        logging.info("%s says: pooling %s, at most %s tokens a text", model, own.pooling, own.max_length)
    return own


def write_own_settings(directory: epath.Path, own: OwnSettings) -> None:
    """Put what `own_settings` reads beside a model's files in `directory`."""
    if own.max_length is not None:
        replace_text(directory / _LENGTH, json.dumps({"max_seq_length": own.max_length}) + "\n")
    if own.pooling is not None:
        modes = {name: kind == own.pooling for kind, name in zip(OF_TEXTS, _POOLING_MODES, strict=True)}
        (directory / _POOLING).parent.mkdir()
        replace_text(directory / _POOLING, json.dumps(modes) + "\n")
