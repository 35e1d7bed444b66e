"""Fine-tuning's choices of what is trained how fast: layer-wise rates, frozen lower layers, fresh upper ones."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import optax

from bert_jax.model.encoder import layer_of
from bert_jax.model.functional import Model, Params, Path, path_of, without_gradient


def depth(path: Path, layers: int) -> int:
    """0 for the embeddings, 1 for the first layer ..., `layers` + 1 behind them: for final_norm, pooler, head."""
    layer = layer_of(path)
    if layer is not None:
        return layer + 1
    return 0 if "embeddings" in path else layers + 1


def rates(params: Params, layers: int, decay: float, frozen: int) -> Params:
    """A tree like `params` of what their learning rate is multiplied by.

    decay ** (how far below the head): ELECTRA's (finetune configure_finetuning.py); 0 up to depth `frozen`, -1: none.
    """

    def rate(entries: tuple[Any, ...], _: Any) -> float:
        at = depth(path_of(entries), layers)
        return 0.0 if at <= frozen else decay ** (layers + 1 - at)

    return jax.tree_util.tree_map_with_path(rate, params)


def scale_by_rates(multipliers: Params) -> optax.GradientTransformation:
    """Updates times their multipliers; stateless."""
    return optax.stateless(lambda updates, _: jax.tree.map(lambda update, by: update * by, updates, multipliers))


def freeze(model: Model, layers: int, frozen: int) -> Model:
    """The model whose parameters up to depth `frozen` get no gradient, which is not computed then."""
    return without_gradient(model, lambda path: depth(path, layers) <= frozen)


def without_fresh(arrays: Mapping[str, np.ndarray], layers: int, fresh: int) -> dict[str, np.ndarray]:
    """The arrays by our paths without those of the `fresh` top layers, and of what is behind, if there are any."""
    most = layers - fresh if fresh else layers + 1
    return {path: array for path, array in arrays.items() if depth(tuple(path.split("/")), layers) <= most}
