"""An exported ONNX file at work under onnxruntime, on rows as our own models read them."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bert_jax.tasks.rows import Rows

_OURS = {"token_type_ids": "segment_ids"}  # theirs -> ours
Feed = dict[str, np.ndarray]


class OnnxProgram:
    """A session; `seconds` is how long it has run."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        # Of two sessions in turn the threads of each would spin while the other runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._inputs = [each.name for each in self._session.get_inputs()]
        names = [each.name for each in self._session.get_outputs()]
        self._outputs = [name for name in names if name != "last_hidden_state"]  # of which the mean is compared
        self.seconds = 0.0

    def run(self, batch: Feed) -> Feed:
        """Of a batch by our names."""
        feed = {name: batch[_OURS.get(name, name)].astype(np.int64) for name in self._inputs}
        begun = time.perf_counter()
        found = self._session.run(self._outputs, feed)
        self.seconds += time.perf_counter() - begun
        return dict(zip(self._outputs, found, strict=True))


def single_rows(rows: Rows, by_text: bool) -> Iterator[Feed]:
    """Each row as a batch of its own, without padding; `by_text`: each text of it, one after the other."""
    for row, length in enumerate(rows.lengths):
        batch = rows.batch([row], 1, max(1, int(length)))
        batch = {name: batch[name] for name in ("input_ids", "attention_mask", "segment_ids")}
        if not by_text:
            yield batch
            continue
        for text in range(rows.texts_per_row):
            tokens = max(1, int(batch["attention_mask"][0, text].sum()))
            yield {name: array[:, text, :tokens] for name, array in batch.items()}


def of_task(outputs: Sequence[Feed], head: str, texts: int) -> list[np.ndarray]:
    """What single_rows gave, as the task's own model gives it for each row."""
    if head == "embedding":
        vectors = np.stack([each["sentence_embedding"][0] for each in outputs])
        return list(vectors.reshape(-1, texts, vectors.shape[1]))
    if head == "span":
        return [np.stack([each["start_logits"][0], each["end_logits"][0]], axis=-1) for each in outputs]
    return [each["logits"][0] for each in outputs]
