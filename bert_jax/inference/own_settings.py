"""How a model was trained to be used, where it says so: its length and pooling, which flags may change."""

import dataclasses

from absl import logging
from etils import epath

from bert_jax.inference.pooling import OF_TEXTS
from bert_jax.storage.json_file import read_json
from bert_jax.workdir import fine_tuned

_REMEDY = "mend or remove it"


@dataclasses.dataclass(frozen=True)
class OwnSettings:
    """None: the model does not say."""

    max_length: int | None = None  # tokens of a text, special ones included
    pooling: str | None = None


@dataclasses.dataclass(frozen=True)
class _SentenceBert:
    """sentence_bert_config.json of a sentence-transformers directory."""

    max_seq_length: int | None = None


@dataclasses.dataclass(frozen=True)
class _Pooling:
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
    length, pooling = model / "sentence_bert_config.json", model / "1_Pooling" / "config.json"
    max_length = read_json(length, _SentenceBert, _REMEDY).max_seq_length if length.exists() else None
    kinds = read_json(pooling, _Pooling, _REMEDY) if pooling.exists() else _Pooling()
    flags = (kinds.pooling_mode_mean_tokens, kinds.pooling_mode_cls_token, kinds.pooling_mode_max_tokens)
    found = [kind for kind, is_on in zip(OF_TEXTS, flags, strict=True) if is_on]
    own = OwnSettings(max_length, found[0] if len(found) == 1 else None)
    if own != OwnSettings():
        logging.info("%s says: pooling %s, at most %s tokens a text", model, own.pooling, own.max_length)
    return own
