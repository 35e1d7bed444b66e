"""The work of `predict` on a pretraining workdir: the likeliest words for each [MASK] of a line."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from bert_jax.config import MeshConfig, ModelConfig
from bert_jax.errors import UserError
from bert_jax.inference.forward import INPUTS, Forward
from bert_jax.interchange.pretrained import WITH_MASKED_LM, read_pretrained
from bert_jax.interchange.renames import flatten, nest
from bert_jax.model.functional import Model, Params, param_shardings
from bert_jax.model.pretraining import pretraining_model
from bert_jax.parallel.mesh import make_mesh
from bert_jax.storage.whole_file import whole_file
from bert_jax.tasks.columns import Columns
from bert_jax.tasks.rows import EncodedText, make_rows
from bert_jax.tasks.texts import read_texts
from bert_jax.text.masked_text import MASK, encode_with_masks, mask_pattern

POSITIONS = "masked_lm_positions"


def fill_masks(workdir: epath.PathLike, source: str, output: str, best: int) -> int:
    """Write a JSON line for each text of `source`, in its order; gives how many there are.

    Each holds the text, its `masks`, the `best` words for each with their probabilities, and the text `filled` in with
    the first of them.

    Raises:
      UserError: there is no model with a masked-LM head, the file cannot be read, or a text has no [MASK].
    """
    filler = MaskFiller(workdir, best)
    texts = [example.text for example in read_texts(source, Columns.of(""), "class", need_labels=False)]
    lines = (json.dumps(each, ensure_ascii=False) for each in filler.fill(texts, source))
    if output == "-":
        for line in lines:
            print(line, flush=True)
    else:
        with whole_file(output) as file:
            file.writelines(f"{line}\n".encode() for line in lines)
    return len(texts)


class MaskFiller:
    """A pretrained model with its masked-LM head, on the devices."""

    def __init__(self, workdir: epath.PathLike, best: int) -> None:
        pretrained = read_pretrained(workdir, ModelConfig(), WITH_MASKED_LM)
        if not any(path.startswith("masked_lm/") for path in pretrained.arrays):
            raise UserError(f"{workdir} has no masked-LM head; give a pretraining run, or weights with cls.predictions")
        mesh = make_mesh(MeshConfig())
        model = pretraining_model(pretrained.config)
        self._tokenizer, self._config = pretrained.tokenizer, pretrained.config
        shardings = param_shardings(model, mesh)
        self._params = jax.device_put(nest(_whole(pretrained.arrays, model)), shardings)
        apply = _likeliest(model, min(best, self._tokenizer.vocab_size), self._tokenizer.vocab_size)
        self._forward = Forward(model, mesh, shardings, apply, (*INPUTS, POSITIONS))

    def fill(self, texts: Sequence[str], source: str) -> Iterator[dict[str, Any]]:
        """What is found for each text; `source` names them in the UserError."""
        rows = [self._row(text, f"{source}, line {number}") for number, text in enumerate(texts, 1)]
        if not rows:
            return
        most = max(len(positions) for _, positions in rows)
        positions = np.array([[*places, *[0] * (most - len(places))] for _, places in rows], np.int32)
        encoded = make_rows([row for row, _ in rows], range(len(rows)), labels={POSITIONS: positions})
        outputs = self._forward.outputs(self._params, encoded)
        for text, (_, places), (probabilities, ids) in zip(texts, rows, outputs, strict=True):
            yield self._described(text, probabilities[: len(places)], ids[: len(places)])

    def _row(self, text: str, place: str) -> tuple[EncodedText, list[int]]:
        """The text's row, and where its masks are."""
        tokenizer = self._tokenizer
        ids = [tokenizer.cls_id, *encode_with_masks(text, tokenizer), tokenizer.sep_id]
        positions = [at for at, token in enumerate(ids) if token == tokenizer.mask_id]
        if not positions:
            raise UserError(f"{place} has no {MASK}: {text!r:.80}; put one where a word is to be filled in")
        if len(ids) > self._config.max_position_embeddings:
            most = self._config.max_position_embeddings
            raise UserError(f"{place} has {len(ids)} tokens, more than the {most} that the model reads; shorten it")
        return EncodedText(ids, len(ids)), positions

    def _described(self, text: str, probabilities: np.ndarray, ids: np.ndarray) -> dict[str, Any]:
        masks = [
            [
                {"token": self._tokenizer.tokens[int(token)], "probability": round(float(share), 6)}
                for token, share in zip(some, shares, strict=True)
            ]
            for some, shares in zip(ids, probabilities, strict=True)
        ]
        words = [self._tokenizer.decode([int(some[0])]) for some in ids]
        return {"text": text, "filled": _filled(text, words, mask_pattern(self._tokenizer)), "masks": masks}


def _likeliest(model: Model, best: int, vocab_size: int) -> Any:
    """The function (params, batch) -> probabilities and ids of the best words, each [batch, masks, best]."""

    def apply(params: Params, batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        logits = model.apply(params, **batch).masked_lm[..., :vocab_size]
        return jax.lax.top_k(jax.nn.softmax(logits), best)

    return apply


def _whole(arrays: Mapping[str, np.ndarray], model: Model) -> dict[str, np.ndarray]:
    """The arrays, and zeros for what is not looked at: pooler and next-sentence head."""
    shapes = {path: leaf.shape for path, leaf in flatten(model.abstract_params).items()}
    return {path: arrays[path] if path in arrays else np.zeros(shape, np.float32) for path, shape in shapes.items()}


def _filled(text: str, words: Iterable[str], mask: str) -> str:
    of_masks = iter(words)
    return re.sub(mask, lambda _: next(of_masks).removeprefix("##").strip(), text)
