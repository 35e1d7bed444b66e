"""A side of benchmarks/cpu_step.py: keras-hub's BertBackbone and MaskedLMHead on Keras' JAX backend, with a pair head.

Runs in an environment of its own (keras-hub brings TensorFlow): see cpu_step.py.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import keras_hub
import numpy as np
from step_setting import Setting, product_arrays, random_batch, setting_of_this_process, time_and_tell


def main() -> None:
    """Time it."""
    setting = setting_of_this_process()
    if setting.dtype == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = pretraining_model(setting)
    optimizer = keras.optimizers.AdamW(1e-4, weight_decay=0.01, epsilon=1e-6)
    optimizer.exclude_from_weight_decay(var_names=["bias", "layer_norm", "beta", "gamma"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=[loss, loss], jit_compile=True)
    batch = random_batch(setting)
    features = {
        "token_ids": batch["input_ids"],
        "padding_mask": batch["input_mask"],
        "segment_ids": batch["segment_ids"],
        "mask_positions": batch["masked_lm_positions"],
    }
    labels = [batch["masked_lm_ids"], batch["next_sentence_labels"][:, 0]]

    def step() -> float:
        return float(np.ravel(model.train_on_batch(features, labels))[0])

    left, right = (jnp.asarray(array, setting.dtype) for array in product_arrays(setting))
    multiply = jax.jit(jnp.matmul)
    time_and_tell(step, lambda: multiply(left, right).block_until_ready())


def pretraining_model(setting: Setting) -> keras.Model:
    """Backbone, masked tokens with the embedding tied, next sentence."""
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=setting.vocab,
        num_layers=setting.layers,
        num_heads=setting.heads,
        hidden_dim=setting.hidden,
        intermediate_dim=4 * setting.hidden,
    )
    positions = keras.Input((setting.predictions,), dtype="int32", name="mask_positions")
    out = backbone(backbone.input)
    words = keras_hub.layers.MaskedLMHead(
        vocabulary_size=setting.vocab,
        token_embedding=backbone.token_embedding,
        intermediate_activation="gelu",
    )(out["sequence_output"], mask_positions=positions)
    relation = keras.layers.Dense(2)(out["pooled_output"])
    return keras.Model({**backbone.input, "mask_positions": positions}, [words, relation])


if __name__ == "__main__":
    main()
