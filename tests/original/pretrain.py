"""The original's model, reader and optimizer at work: google-research/bert as PyPI's bert-tensorflow 1.0.4 has it.

Run as a program with flags of the original's run_pretraining.py; tensorflow1.py says what it leaves behind.
"""

import functools

import tensorflow1  # before what needs it
from absl import app, flags
from bert import modeling, optimization, run_pretraining

FLAGS = flags.FLAGS


def build_model(**arguments):
    config = modeling.BertConfig.from_json_file(FLAGS.bert_config_file)
    return config, modeling.BertModel(config, **arguments)


def main(argv):
    del argv
    optimizer = functools.partial(optimization.create_optimizer, use_tpu=False)
    pairs = run_pretraining.get_next_sentence_output
    tensorflow1.train(FLAGS, modeling, run_pretraining, build_model, pairs, optimizer)


if __name__ == "__main__":
    app.run(main)
