#!/usr/bin/env bash
# Fine-tune the model of the quickstart (launch/pretrain.sh), a minute or two on two CPU cores: it learns which of two
# sentences from the documentation on this machine follow each other.
#
#     launch/finetune.sh [MODEL]        MODEL: another than runs/quickstart/train
#
# Started again with the same argument, it resumes.
set -euo pipefail
unset CDPATH # exported, it makes cd print where it goes, or go elsewhere
model=${1:-runs/quickstart/train}
[[ $# -eq 0 || $model == /* || ! -e $model ]] || model=$PWD/$model # a relative path is the caller's
cd "$(dirname "${BASH_SOURCE[0]}")/.."

launch/setup.sh tasks
out=runs/follows

step() {
  echo "==> $1" >&2
}

mkdir -p $out
step "1/3 Labelled pairs of sentences: $out/{train,dev,test}.jsonl"
[[ -f $out/test.jsonl ]] || .venv/bin/python launch/sentence_pairs.py $out

step "2/3 Fine-tuning: $out/model"
.venv/bin/python -m bert_jax.finetune \
  --task=classification \
  --init_from="$model" \
  --train=$out/train.jsonl \
  --dev=$out/dev.jsonl \
  --test=$out/test.jsonl \
  --workdir=$out/model \
  --config.optimizer.learning_rate=5e-4

step "3/3 Predictions for the first pairs of $out/test.jsonl"
sed -n 1,3p $out/test.jsonl >$out/three.jsonl
.venv/bin/python -m bert_jax.predict --workdir=$out/model --input=$out/three.jsonl
echo "Open in a browser: $PWD/$out/model/report.html"
