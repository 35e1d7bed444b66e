#!/usr/bin/env bash
# Pretrain a BERT. Sets up first, if need be.
#
#     launch/pretrain.sh                                             the quickstart, below: from raw text to a report
#     launch/pretrain.sh --config=configs/NAME.py --workdir=DIR ...  a run of your own, on whatever devices the host has
#
# Started again with the same arguments, either goes on where it stopped.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

"$root/launch/setup.sh"

if (($# > 0)); then
  exec "$root/.venv/bin/python" -m bert_jax.pretrain "$@" # from here: relative paths are the caller's
fi

cd "$root"
out=runs/quickstart

step() {
  echo "==> $1" >&2
}
verb() {
  .venv/bin/python -m "bert_jax.$1" "${@:2}"
}

step "1/5 A vocabulary from the Python documentation on this machine: $out/vocab"
verb build_vocab \
  --input=python-docs \
  --output=$out/vocab \
  --kind=wordpiece \
  --vocab_size=4000 \
  --lowercase

step "2/5 Training records, sentence pairs with masked words: $out/records"
verb build_records \
  --input=python-docs \
  --vocab=$out/vocab \
  --output=$out/records \
  --max_seq_length=64 \
  --max_predictions_per_seq=10 \
  --dupe_factor=1 \
  --holdout=0.02 \
  --num_parts=4 \
  --num_workers=2

step "3/5 Pretraining with configs/tiny.py, a few minutes on two CPU cores: $out/train"
verb pretrain \
  --config=configs/tiny.py \
  --workdir=$out/train

step "4/5 Weights and tokenizer as Hugging Face transformers reads them: $out/export"
verb export \
  --workdir=$out/train \
  --format=huggingface \
  --output=$out/export

step "5/5 A page that shows what happened"
cp $out/train/report.html $out/report.html.tmp
mv $out/report.html.tmp $out/report.html
echo "Open in a browser: $root/$out/report.html"
