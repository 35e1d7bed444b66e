"""What the originals need of TensorFlow 1 and TensorFlow 2 has no more: tf.contrib, tf.layers; and their training.

tf.estimator is gone, too: the originals' functions are called without it.
"""

import sys
import types
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf


def dense(inputs, units, activation=None, name="dense", kernel_initializer=None):
    with tf.variable_scope(name):
        kernel = tf.get_variable("kernel", [inputs.shape[-1], units], initializer=kernel_initializer)
        outputs = tf.matmul(inputs, kernel) + tf.get_variable("bias", [units], initializer=tf.zeros_initializer())
    return activation(outputs) if activation else outputs


def layer_norm(inputs, begin_norm_axis, begin_params_axis, scope=None):
    assert begin_norm_axis == begin_params_axis == -1
    with tf.variable_scope(scope, default_name="LayerNorm"):  # a second one in the same scope is LayerNorm_1
        beta = tf.get_variable("beta", inputs.shape[-1:], initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", inputs.shape[-1:], initializer=tf.ones_initializer())
    mean, variance = tf.nn.moments(inputs, [-1], keepdims=True)
    return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, variance_epsilon=1e-12)


contrib = types.ModuleType("tensorflow.contrib")
contrib.layers = types.SimpleNamespace(layer_norm=layer_norm)
contrib.cluster_resolver = contrib.data = contrib.tpu = None
sys.modules["tensorflow.contrib"] = contrib
tf.layers = types.SimpleNamespace(dense=dense)


def train(flags, modeling, run_pretraining, build_model, pair_output, make_optimizer):
    """Take --num_train_steps steps from --init_checkpoint and leave in --output_dir what they came to.

    build_model: of the arguments that both originals' models have, (settings, model). pair_output: the function that
    gives the pairs' loss. losses.npz has the losses of every step, before its update, and the log-probabilities of the
    first.
    """
    tf.disable_v2_behavior()
    masked_lm, next_sentence = _losses(_batch(flags, run_pretraining), run_pretraining, build_model, pair_output)
    assignment, _ = modeling.get_assignment_map_from_checkpoint(tf.trainable_variables(), flags.init_checkpoint)
    assert set(assignment) == {variable.op.name for variable in tf.trainable_variables()}
    tf.train.init_from_checkpoint(flags.init_checkpoint, assignment)
    # Fed, because the original's rate reads the step while its update adds to it, and either may come first.
    step = tf.placeholder(tf.int64, [])
    step.assign = tf.train.get_or_create_global_step().assign
    tf.train.get_or_create_global_step = lambda: step
    update = make_optimizer(
        masked_lm[0] + next_sentence[0], flags.learning_rate, flags.num_train_steps, flags.num_warmup_steps
    )
    fetched = {
        "masked_lm_loss": masked_lm[0],
        "next_sentence_loss": next_sentence[0],
        "masked_lm": masked_lm[2],
        "next_sentence": next_sentence[2],
    }
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        steps = [session.run((fetched, update), {step: number})[0] for number in range(flags.num_train_steps)]
        tf.train.Saver().save(session, f"{flags.output_dir}/model.ckpt", write_meta_graph=False)
    np.savez(
        Path(flags.output_dir) / "losses.npz",
        masked_lm=steps[0]["masked_lm"],
        next_sentence=steps[0]["next_sentence"],
        **{name: [each[name] for each in steps] for name in ("masked_lm_loss", "next_sentence_loss")},
    )


def _batch(flags, run_pretraining):
    """One of --input_file, by the original's reader."""
    files = sorted(tf.gfile.Glob(flags.input_file))
    input_fn = run_pretraining.input_fn_builder(files, flags.max_seq_length, flags.max_predictions_per_seq, False)
    return tf.data.make_one_shot_iterator(input_fn({"batch_size": flags.train_batch_size})).get_next()


def _losses(features, run_pretraining, build_model, pair_output):
    """Of masked LM and of pairs (loss, loss of each example, log-probabilities), as the originals' model_fn does."""
    config, model = build_model(
        is_training=True,
        input_ids=features["input_ids"],
        input_mask=features["input_mask"],
        token_type_ids=features["segment_ids"],
        # As on TPUs. Otherwise the gradient of the word embedding is IndexedSlices, of which TensorFlow's global norm
        # counts every occurrence of a word apart, and what clipping makes of it is another thing.
        use_one_hot_embeddings=True,
    )
    masked_lm = run_pretraining.get_masked_lm_output(
        config,
        model.get_sequence_output(),
        model.get_embedding_table(),
        features["masked_lm_positions"],
        features["masked_lm_ids"],
        features["masked_lm_weights"],
    )
    return masked_lm, pair_output(config, model.get_pooled_output(), features["next_sentence_labels"])
