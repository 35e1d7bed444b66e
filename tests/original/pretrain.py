"""The original's model, reader and optimizer at work: google-research/bert as PyPI's bert-tensorflow 1.0.4 has it.

Run as a program with flags of the original's run_pretraining.py. Takes --num_train_steps steps from --init_checkpoint
on --input_file, in order, and leaves in --output_dir: losses.npz (of every step, before its update, with the
log-probabilities of the first) and a checkpoint of its own. TensorFlow 2 lacks tf.contrib, tf.layers and tf.estimator;
the first two are stood in for below, of the third the original's functions are called without.
"""

import sys
import types
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf
from absl import app, flags


def dense(inputs, units, activation=None, name="dense", kernel_initializer=None):
    with tf.variable_scope(name):
        kernel = tf.get_variable("kernel", [inputs.shape[-1], units], initializer=kernel_initializer)
        outputs = tf.matmul(inputs, kernel) + tf.get_variable("bias", [units], initializer=tf.zeros_initializer())
    return activation(outputs) if activation else outputs


def layer_norm(inputs, begin_norm_axis, begin_params_axis, scope=None):
    assert begin_norm_axis == begin_params_axis == -1
    with tf.variable_scope(scope or "LayerNorm"):
        beta = tf.get_variable("beta", inputs.shape[-1:], initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", inputs.shape[-1:], initializer=tf.ones_initializer())
    mean, variance = tf.nn.moments(inputs, [-1], keepdims=True)
    return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, variance_epsilon=1e-12)


contrib = types.ModuleType("tensorflow.contrib")
contrib.layers = types.SimpleNamespace(layer_norm=layer_norm)
sys.modules["tensorflow.contrib"] = contrib
tf.layers = types.SimpleNamespace(dense=dense)
from bert import modeling, optimization, run_pretraining  # noqa: E402

FLAGS = flags.FLAGS


def build(features):
    """The losses and log-probabilities, wired as in the original's model_fn."""
    config = modeling.BertConfig.from_json_file(FLAGS.bert_config_file)
    model = modeling.BertModel(
        config,
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
    next_sentence = run_pretraining.get_next_sentence_output(
        config, model.get_pooled_output(), features["next_sentence_labels"]
    )
    return masked_lm, next_sentence


def main(argv):
    del argv
    tf.disable_v2_behavior()
    files = sorted(tf.gfile.Glob(FLAGS.input_file))
    input_fn = run_pretraining.input_fn_builder(files, FLAGS.max_seq_length, FLAGS.max_predictions_per_seq, False)
    batches = input_fn({"batch_size": FLAGS.train_batch_size})
    (masked_lm_loss, _, masked_lm), (next_sentence_loss, _, next_sentence) = build(
        tf.data.make_one_shot_iterator(batches).get_next()
    )
    assignment, _ = modeling.get_assignment_map_from_checkpoint(tf.trainable_variables(), FLAGS.init_checkpoint)
    assert set(assignment) == {variable.op.name for variable in tf.trainable_variables()}
    tf.train.init_from_checkpoint(FLAGS.init_checkpoint, assignment)
    # Fed, because the original's rate reads the step while its update adds to it, and either may come first.
    step = tf.placeholder(tf.int64, [])
    step.assign = tf.train.get_or_create_global_step().assign
    tf.train.get_or_create_global_step = lambda: step
    train = optimization.create_optimizer(
        masked_lm_loss + next_sentence_loss,
        FLAGS.learning_rate,
        FLAGS.num_train_steps,
        FLAGS.num_warmup_steps,
        use_tpu=False,
    )
    fetched = {
        "masked_lm_loss": masked_lm_loss,
        "next_sentence_loss": next_sentence_loss,
        "masked_lm": masked_lm,
        "next_sentence": next_sentence,
    }
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        steps = [session.run((fetched, train), {step: number})[0] for number in range(FLAGS.num_train_steps)]
        tf.train.Saver().save(session, f"{FLAGS.output_dir}/model.ckpt", write_meta_graph=False)
    np.savez(
        Path(FLAGS.output_dir) / "losses.npz",
        masked_lm=steps[0]["masked_lm"],
        next_sentence=steps[0]["next_sentence"],
        **{name: [step[name] for step in steps] for name in ("masked_lm_loss", "next_sentence_loss")},
    )


if __name__ == "__main__":
    app.run(main)
