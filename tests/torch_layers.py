"""Layers that are not BERT's, and those that are, in torch and float64: what tests compare ours with."""

import math

import numpy as np
import torch
from torch.nn import functional

from bert_jax.model.functional import flatten

TABLES = ("word", "position", "token_type")
INPUTS = ("input_ids", "input_mask", "segment_ids")


class Reference:
    """Logits of all tokens and of pairs, of weights by our paths."""

    def __init__(self, config, weights):
        self.config, self.weights = config, weights

    def dense(self, inputs, path):
        bias = self.weights.get(f"{path}/bias")
        return inputs @ self.weights[f"{path}/kernel"] + (0 if bias is None else bias)

    def norm(self, inputs, path):
        scale, bias = self.weights[f"{path}/scale"], self.weights.get(f"{path}/bias")
        return functional.layer_norm(inputs, inputs.shape[-1:], scale, bias, self.config.layer_norm_eps)

    def hidden_states(self, ids, mask, segments):
        """As Transformers has those of a model with LayerNorm before: sums, and the last one normalised."""
        hidden = self.embeddings(ids, segments)
        states = [hidden]
        for number in range(self.config.num_hidden_layers):
            hidden = self.layer(hidden, mask, f"encoder/layer_{self.config.distinct_layer(number)}")
            states.append(hidden)
        if self.config.pre_norm:
            states[-1] = self.norm(states[-1], "encoder/final_norm")
        return states

    def embeddings(self, ids, segments):
        tables = {name: self.weights.get(f"encoder/embeddings/{name}/embedding") for name in TABLES}
        hidden = tables["word"][ids]
        if tables["token_type"] is not None:
            hidden = hidden + tables["token_type"][segments]
        if self.config.position_embedding == "learned":
            hidden = hidden + tables["position"][: ids.shape[1]]
        hidden = self.norm(hidden, "encoder/embeddings/norm")
        return self.dense(hidden, "encoder/embeddings/projection") if self.config.embedding_size else hidden

    def layer(self, hidden, mask, path):
        def attention(inputs):
            return self.attention(inputs, mask, f"{path}/attention")

        def feed_forward(inputs):
            wide = self.dense(inputs, f"{path}/intermediate")
            if not self.config.gated_feed_forward:
                return self.dense(functional.gelu(wide), f"{path}/output")
            return self.dense(functional.gelu(self.dense(inputs, f"{path}/gate")) * wide, f"{path}/output")

        for part, norm in ((attention, f"{path}/attention_norm"), (feed_forward, f"{path}/output_norm")):
            if self.config.pre_norm:
                hidden = hidden + part(self.norm(hidden, norm))
            else:
                hidden = self.norm(hidden + part(hidden), norm)
        return hidden

    def attention(self, inputs, mask, path):
        query, key, value = (self.heads(self.dense(inputs, f"{path}/{name}")) for name in ("query", "key", "value"))
        if self.config.position_embedding == "rotary":
            query, key = rotated(query), rotated(key)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        scores = scores - 10_000.0 * (1 - mask[:, None, None, :])
        if self.config.left_to_right:
            scores = scores - 10_000.0 * torch.triu(torch.ones(scores.shape[-2:]), 1)
        context = (scores.softmax(-1) @ value).transpose(1, 2)
        return self.dense(context.reshape(inputs.shape), f"{path}/output")

    def heads(self, tokens):
        return tokens.reshape(*tokens.shape[:2], self.config.num_attention_heads, -1).transpose(1, 2)

    def loss(self, batch):
        """The mean of masked tokens', and that of pairs'."""
        ids, mask, segments = (torch.from_numpy(batch[name]) for name in INPUTS)
        states = self.hidden_states(ids.long(), mask.double(), segments.long())[-1]
        places = torch.from_numpy(batch["masked_lm_positions"]).long()
        taken = torch.take_along_dim(states, places[:, :, None], 1)
        features = self.norm(functional.gelu(self.dense(taken, "masked_lm/transform")), "masked_lm/norm")
        logits = features @ self.weights["encoder/embeddings/word/embedding"].T + self.weights["masked_lm/output_bias"]
        words = torch.from_numpy(batch["masked_lm_ids"]).long()
        loss = functional.cross_entropy(logits.flatten(0, 1), words.flatten())
        if self.config.next_sentence:
            pooled = torch.tanh(self.dense(states[:, 0], "encoder/pooler"))
            labels = torch.from_numpy(batch["next_sentence_labels"][:, 0]).long()
            loss = loss + functional.cross_entropy(self.dense(pooled, "next_sentence"), labels)
        return loss


def rotated(heads):
    """[batch, heads, tokens, width]: number i and number i + width / 2 as one complex number, times a root of one."""
    half = heads.shape[-1] // 2
    pairs = torch.complex(heads[..., :half], heads[..., half:])
    speeds = torch.tensor([10_000.0 ** (-i / half) for i in range(half)], dtype=torch.float64)
    angles = torch.arange(heads.shape[2], dtype=torch.float64)[:, None] * speeds
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)


def reference(config, params):
    arrays = {path: np.asarray(array, np.float64) for path, array in flatten(params).items()}
    return Reference(config, {path: torch.tensor(array, requires_grad=True) for path, array in arrays.items()})
