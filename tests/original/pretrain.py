"""The original's model, reader and optimizer at work: google-research/bert as PyPI's bert-tensorflow 1.0.4 has it.

Run as a program with flags of the original's run_pretraining.py; tensorflow1.py says what it leaves behind.
"""

import functools

import tensorflow1  # before what needs it
from absl import app, flags
from bert import modeling, optimization, run_pretraining
from tensorflow1 import tf

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
    optimizer = functools.partial(optimization.create_optimizer, use_tpu=False)
    tensorflow1.train(FLAGS, modeling, *build(tensorflow1.batches(FLAGS, run_pretraining)), optimizer)


if __name__ == "__main__":
    app.run(main)
