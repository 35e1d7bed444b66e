"""ALBERT's model, reader and LAMB at work: google-research/albert as PyPI's albert-tensorflow 1.1 has it.

Run as a program with flags of the original's run_pretraining.py; tensorflow1.py says what it leaves behind.
"""

import functools
import sys

import tensorflow1  # before what needs it
from absl import app, flags
from tensorflow1 import tf

sys.modules["tensorflow"] = tf  # as which it imports TensorFlow 1
from albert import modeling, optimization, run_pretraining  # noqa: E402

FLAGS = flags.FLAGS
for name in ("albert_config_file", "init_checkpoint", "input_file", "output_dir"):
    flags.DEFINE_string(name, None, "")
for name in ("max_seq_length", "max_predictions_per_seq", "train_batch_size", "num_train_steps", "num_warmup_steps"):
    flags.DEFINE_integer(name, None, "")
flags.DEFINE_float("learning_rate", None, "")
flags.DEFINE_integer("masked_lm_budget", 0, "")


def build(features):
    """The losses and log-probabilities, wired as in the original's model_fn."""
    config = modeling.AlbertConfig.from_json_file(FLAGS.albert_config_file)
    model = modeling.AlbertModel(
        config,
        is_training=True,
        input_ids=features["input_ids"],
        input_mask=features["input_mask"],
        token_type_ids=features["segment_ids"],
        use_one_hot_embeddings=True,  # as in pretrain.py
    )
    masked_lm = run_pretraining.get_masked_lm_output(
        config,
        model.get_sequence_output(),
        model.get_embedding_table(),
        features["masked_lm_positions"],
        features["masked_lm_ids"],
        features["masked_lm_weights"],
    )
    sentence_order = run_pretraining.get_sentence_order_output(
        config, model.get_pooled_output(), features["next_sentence_labels"]
    )
    return masked_lm, sentence_order


def main(argv):
    del argv
    tf.disable_v2_behavior()
    optimizer = functools.partial(optimization.create_optimizer, use_tpu=False, optimizer="lamb")
    tensorflow1.train(FLAGS, modeling, *build(tensorflow1.batches(FLAGS, run_pretraining)), optimizer)


if __name__ == "__main__":
    app.run(main)
