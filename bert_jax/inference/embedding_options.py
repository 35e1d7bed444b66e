"""What embed is asked for, and the model that it is asked of."""

import dataclasses
from collections.abc import Callable
from typing import Any

import google_crc32c
import numpy as np
from absl import flags

from bert_jax.config import MeshConfig, ModelConfig, TextConfig
from bert_jax.config.check import require
from bert_jax.errors import UserError
from bert_jax.inference.embedding import Embedder
from bert_jax.inference.forward import TOKENS
from bert_jax.inference.pooling import COMBINED, OF_TEXTS, OF_TOKENS, Pooling, layers_of
from bert_jax.interchange.own_settings import own_settings
from bert_jax.interchange.pretrained import Pretrained, read_pretrained
from bert_jax.parallel.mesh import make_mesh
from bert_jax.tasks.columns import COLUMNS_HELP, HEADER_HELP
from bert_jax.text.tokenizer import Tokenizer

_POOLING_HELP = (
    "What has a vector: a text (mean, cls or max of its tokens), a word or a token. Default: as the model says."
)
_LAYERS_HELP = (
    "Indices into hidden_states, as in Transformers: 0 is the embeddings' output, 1 the first layer's, -1 the last."
)


@dataclasses.dataclass(frozen=True)
class EmbeddingOptions:
    """The flags of embed that decide the vectors, and how they are stored."""

    model: str
    pooling: str | None = None  # None: as the model says, else mean
    layers: str = "-1"
    combine: str = "concat"
    normalize: bool | None = None  # None: as the model says, else no
    long: str = "cut"
    max_length: int = 0  # 0: as the model says, else as many tokens as it reads
    dtype: str = "float32"  # of the output
    shard_rows: int = 50_000  # texts of a shard at most; fewer where these were too many bytes
    batch_tokens: int = TOKENS
    columns: str = ""
    header: str = "auto"


def define_options() -> Callable[[], EmbeddingOptions]:
    """Define a flag for each option; gives what reads them."""
    flags.DEFINE_string("model", None, "Workdir, Hugging Face directory or file, numpy export, original checkpoint.")
    flags.mark_flag_as_required("model")
    flags.DEFINE_enum("pooling", None, [*OF_TEXTS, *OF_TOKENS], _POOLING_HELP)
    flags.DEFINE_string("layers", "-1", _LAYERS_HELP)
    flags.DEFINE_enum("combine", "concat", list(COMBINED), "With several --layers: how their vectors become one.")
    flags.DEFINE_boolean("normalize", None, "Scale vectors of texts to length 1. Default: as the model says, else no.")
    flags.DEFINE_enum("long", "cut", ["cut", "windows"], "Cut texts over --max_length, or read them in windows.")
    flags.DEFINE_integer(
        "max_length", 0, "Tokens per text, at most; 0: as the model says, else all it reads.", 0, 10**6
    )
    flags.DEFINE_enum(
        "dtype", "float32", ["float32", "float16"], "dtype of the written vectors; computation is float32."
    )
    flags.DEFINE_integer("shard_rows", 50_000, "Texts per shard, at most.", 1, 10**9)
    flags.DEFINE_integer("batch_tokens", TOKENS, "Tokens per batch and device; vectors do not depend on it.", 1, 10**6)
    flags.DEFINE_string("columns", "", f"{COLUMNS_HELP} Default: found by the header's names.")
    flags.DEFINE_enum("header", "auto", ["auto", "yes", "no"], HEADER_HELP)
    names = [field.name for field in dataclasses.fields(EmbeddingOptions)]

    def read() -> EmbeddingOptions:
        given: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
        return EmbeddingOptions(**given)

    return read


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A model ready to embed, and the settings by which its vectors are known again."""

    embedder: Embedder
    settings: dict[str, Any]
    tokenizer: Tokenizer


def load(options: EmbeddingOptions) -> Loaded:
    """The model of the options on all devices; UserError if it cannot be read or has no such layer."""
    own = own_settings(options.model)
    pooling = Pooling(options.pooling or own.pooling or "mean", layers_of(options.layers), options.combine)
    if options.normalize and not pooling.of_texts:
        raise UserError(f"--normalize is for vectors of texts, and not for --pooling={options.pooling}; leave it out")
    pretrained = read_pretrained(options.model, ModelConfig(), absent="not needed")
    most = pretrained.config.max_position_embeddings
    length = options.max_length or own.length(most)
    require(3 < length <= most, "--max_length", length, f"give 4 to {most}, as the model reads")
    text = TextConfig(max_length=length, long=options.long)  # type: ignore[arg-type]  # the flag has these values
    mesh = make_mesh(MeshConfig())
    normalize = pooling.of_texts and (own.normalized if options.normalize is None else options.normalize)
    embedder = Embedder(pretrained, pooling, text, mesh, normalize, options.batch_tokens)
    settings = _settings(options, pretrained, pooling, text) | {"normalize": normalize}
    return Loaded(embedder, settings, pretrained.tokenizer)


def _settings(options: EmbeddingOptions, pretrained: Pretrained, pooling: Pooling, text: TextConfig) -> dict[str, Any]:
    weights = 0
    for path in sorted(pretrained.arrays):
        weights = google_crc32c.extend(weights, np.ascontiguousarray(pretrained.arrays[path]).tobytes())
    return {
        "weights": f"{weights:08x}",
        "vocabulary": pretrained.tokenizer.fingerprint,
        "pooling": pooling.kind,
        "layers": list(pooling.layers),
        "combine": pooling.combine,
        "dtype": options.dtype,
        "max_length": text.max_length,
        "long": text.long,
        "shard_rows": options.shard_rows,
        "columns": options.columns,
    }
