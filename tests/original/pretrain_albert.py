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


def build_model(**arguments):
    config = modeling.AlbertConfig.from_json_file(FLAGS.albert_config_file)
    return config, modeling.AlbertModel(config, **arguments)


def main(argv):
    del argv
    optimizer = functools.partial(optimization.create_optimizer, use_tpu=False, optimizer="lamb")
    pairs = run_pretraining.get_sentence_order_output
    tensorflow1.train(FLAGS, modeling, run_pretraining, build_model, pairs, optimizer)


if __name__ == "__main__":
    app.run(main)
