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
from bert_jax.inference.answer_file import in_chunks, write_answers
from bert_jax.inference.forward import DeviceModel
from bert_jax.inference.progress import Progress
from bert_jax.interchange.pretrained import WITH_MASKED_LM, Pretrained, read_pretrained
from bert_jax.model.encoder import INPUTS
from bert_jax.model.functional import Model, Params
from bert_jax.model.pretraining import MASKED_LM, MASKED_POSITIONS, parts_of, pretraining_model
from bert_jax.parallel.mesh import by_sequence, make_mesh
from bert_jax.tasks.columns import Columns
from bert_jax.tasks.headers import HAS_HEADER
from bert_jax.tasks.rows import EncodedText, make_rows
from bert_jax.tasks.texts import read_texts
from bert_jax.text.masked_text import MASK, encode_with_masks, mask_pattern
from bert_jax.text.tokenizer import Tokenizer
from bert_jax.workdir.fine_tuned import digest

Row = tuple[EncodedText, list[int]]  # a text's tokens, and where its masks are


def fill_masks(
    workdir: epath.PathLike,
    source: str,
    output: str,
    best: int,
    columns: str = "",
    header: str = "auto",
    dtype: str = "float32",
) -> int:
    """Write a JSON line for each text of `source`, in its order; gives how many there are.

    Each holds the text, its `masks`, the `best` words for each with their probabilities, and the text `filled` in with
    the first of them. columns, header: as the flags of finetune; `dtype` is that of activations and products.

    Raises:
      UserError: there is no model with a masked-LM head, the file cannot be read, a text has no [MASK], or the output's
        name is that of another format.
    """
    if output != "-" and not output.endswith(".jsonl"):
        raise UserError(f"--output={output}: words for {MASK} are JSON Lines; give a name that ends in .jsonl, or -")
    examples = read_texts(source, Columns.of(columns), "class", need_labels=False, header=HAS_HEADER[header])
    texts, places = [one.text for one in examples], [one.place for one in examples]
    pretrained = read_pretrained(workdir, ModelConfig(), WITH_MASKED_LM)
    tokenizer, most = pretrained.tokenizer, pretrained.config.max_position_embeddings
    rows = list(zip(texts, mask_rows(texts, places, tokenizer, most), strict=True))
    filler = MaskFiller(pretrained, best, str(workdir), dtype)

    def made(done: int) -> Iterator[dict[str, Any]]:
        return in_chunks(rows, done, lambda chunk, start, progress: filler.filled(chunk, progress))

    if output == "-":
        for line in map(_as_line, made(0)):
            print(line, flush=True)
    else:
        asked = {"texts": digest(repr(texts).encode()), "dtype": dtype, "best": best}
        head = {"weights": _digest(pretrained.arrays), **asked}
        write_answers(output, head, made, lambda done: map(_as_line, done))
    return len(texts)


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Of all weights."""
    return digest("".join(f"{name} {digest(array.tobytes())}" for name, array in sorted(arrays.items())).encode())


def _as_line(filled: dict[str, Any]) -> str:
    return json.dumps(filled, ensure_ascii=False)


class MaskFiller(DeviceModel):
    """A pretrained model with its masked-LM head, on all devices."""

    def __init__(
        self, pretrained: Pretrained, best: int, name: str, dtype: str = "float32", few_rows: bool = False
    ) -> None:
        """`best`: so many words for each mask; `name` is the model's; `dtype` is that of activations and products.

        few_rows: as for Forward.

        Raises:
          UserError: it has no masked-LM head.
        """
        if MASKED_LM not in parts_of(pretrained.arrays):
            raise UserError(f"{name} has no masked-LM head; give a pretraining run, or weights with cls.predictions")
        mesh, self._tokenizer = make_mesh(MeshConfig()), pretrained.tokenizer
        self._longest = pretrained.config.max_position_embeddings
        model = pretraining_model(pretrained.config, dtype, by_sequence=by_sequence(mesh), parts=[MASKED_LM])
        apply = _likeliest(model, min(best, self._tokenizer.vocab_size), self._tokenizer.vocab_size)
        inputs = (*INPUTS, MASKED_POSITIONS)
        super().__init__(model, self._longest, pretrained.arrays, mesh, apply, inputs=inputs, few_rows=few_rows)

    def fill(self, texts: Sequence[str], places: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What is found for each text; `places` name them in the UserError."""
        return self.filled(list(zip(texts, mask_rows(texts, places, self._tokenizer, self._longest), strict=True)))

    def filled(self, asked: Sequence[tuple[str, Row]], progress: Progress | None = None) -> Iterator[dict[str, Any]]:
        """What is found for each text, with its row."""
        if not asked:
            return
        most = max(len(masks) for _, (_, masks) in asked)
        positions = np.array([[*masks, *[0] * (most - len(masks))] for _, (_, masks) in asked], np.int32)
        encoded = make_rows([row for _, (row, _) in asked], range(len(asked)), labels={MASKED_POSITIONS: positions})
        outputs = self._forward.outputs(self._params, encoded, progress.watch if progress else iter)
        for (text, (_, masks)), (probabilities, ids) in zip(asked, outputs, strict=True):
            yield self._described(text, probabilities[: len(masks)], ids[: len(masks)])

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


def mask_rows(texts: Sequence[str], places: Sequence[str], tokenizer: Tokenizer, most: int) -> list[Row]:
    """The texts as the model reads them, each with where its masks are.

    Raises:
      UserError: a text, which `places` names, has no [MASK], or more than `most` tokens.
    """
    return [_mask_row(text, place, tokenizer, most) for text, place in zip(texts, places, strict=True)]


def _mask_row(text: str, place: str, tokenizer: Tokenizer, most: int) -> Row:
    ids = [tokenizer.cls_id, *encode_with_masks(text, tokenizer), tokenizer.sep_id]
    positions = [at for at, token in enumerate(ids) if token == tokenizer.mask_id]
    if not positions:
        raise UserError(f"{place} has no {MASK}: {text!r:.80}; put one where a word is to be filled in")
    if len(ids) > most:
        raise UserError(f"{place} has {len(ids)} tokens, more than the {most} that the model reads; shorten it")
    return EncodedText(ids, len(ids)), positions


def _likeliest(model: Model, best: int, vocab_size: int) -> Any:
    """The function (params, batch) -> probabilities and ids of the best words, each [batch, masks, best]."""

    def apply(params: Params, batch: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        logits = model.apply(params, **batch).masked_lm[..., :vocab_size]
        return jax.lax.top_k(jax.nn.softmax(logits), best)

    return apply


def _filled(text: str, words: Iterable[str], mask: str) -> str:
    of_masks = iter(words)
    return re.sub(mask, lambda _: next(of_masks).removeprefix("##").strip(), text)
