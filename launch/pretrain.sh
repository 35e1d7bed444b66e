#!/usr/bin/env bash
# Pretrain a BERT. Sets up first, if need be.
#
#     launch/pretrain.sh                                             the quickstart, below: from raw text to a report
#     launch/pretrain.sh --config=configs/NAME.py --workdir=DIR ...  a run of your own, on whatever devices the host has
#     launch/pretrain.sh --distributed --config=...                  the same, on every host of a TPU slice or Slurm job
#
# Started again with the same arguments, each resumes. Exit code 0: done. 1 and 2: an error that you
# can fix. 75, or death by a signal: nothing is wrong, start it again; launch/tpu_pod.sh, slurm.sbatch and jobset.yaml do.
set -euo pipefail
unset CDPATH # exported, it makes cd print where it goes, or go elsewhere
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Of several processes, one that meets an error to fix leaves its exit code where launch/slurm.sbatch looks for it.
leave_error() {
  if (($1 == 1 || $1 == 2)) && [[ -d ${BERT_JAX_ERRORS:-} ]]; then
    echo "$1" >"$BERT_JAX_ERRORS/$HOSTNAME-$$" || true
  fi
}
trap 'leave_error $?' EXIT

extras=()
[[ " $* " != *gs://* ]] || extras=(gcs)
"$root/launch/setup.sh" ${extras[@]+"${extras[@]}"}

# One of several processes: when process 0 dies, the runtime aborts the others, and that too means "resume", 75.
one_of_several() {
  local status process stopped=
  "$root/.venv/bin/python" -m bert_jax.pretrain "$@" &
  process=$!
  trap 'stopped=1; kill -TERM "$process" 2>/dev/null || true' TERM INT
  while :; do
    status=0
    wait "$process" || status=$?
    kill -0 "$process" 2>/dev/null || break # it still runs: only this wait was interrupted, by a signal passed on
  done
  # It may have ended just after a signal interrupted the wait: bash still knows its own exit code.
  if ((status > 128)); then
    status=0
    wait "$process" || status=$?
  fi
  if ((status == 128 + 6)); then
    echo "error: another process of the job is gone; run the same commands again to resume" >&2
    status=75
  fi
  if ((status == 75)) && [[ -z $stopped ]]; then
    sleep "${BERT_JAX_LEAVE_LAST:-0}" # so that whoever reads exit codes sees first that of the process that failed
  fi
  exit "$status"
}

if (($# > 0)); then # from here: relative paths are the caller's
  case " $* " in # absl reads flags with one dash too
    *" --distributed"* | *" -distributed"* | *" --coordinator_address"* | *" -coordinator_address"*) one_of_several "$@" ;;
    *) exec "$root/.venv/bin/python" -m bert_jax.pretrain "$@" ;;
  esac
fi

cd "$root"
out=runs/quickstart

step() {
  echo "==> $1" >&2
}
verb() {
  .venv/bin/python -m "bert_jax.$1" "${@:2}"
}

step "1/6 A vocabulary from the Python documentation on this machine: $out/vocab"
verb build_vocab \
  --input=python-docs \
  --output=$out/vocab \
  --kind=wordpiece \
  --vocab_size=4000 \
  --lowercase

step "2/6 Training records, sentence pairs with masked tokens: $out/records"
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

step "3/6 Pretraining with configs/tiny_fast.py, a few minutes on two CPU cores: $out/train"
verb pretrain \
  --config=configs/tiny_fast.py \
  --workdir=$out/train

step "4/6 Weights and tokenizer as Hugging Face transformers reads them: $out/export"
verb export \
  --workdir=$out/train \
  --format=huggingface \
  --output=$out/export

step "5/6 Words for the blank in a sentence of yours: SENTENCE='...[MASK]...' launch/pretrain.sh"
mkdir -p $out
printf '%s\n' "${SENTENCE:-Return a list of the [MASK] in the file.}" >$out/sentence.txt
verb predict \
  --workdir=$out/train \
  --input=$out/sentence.txt \
  --output=$out/train/filled.jsonl

step "6/6 A page that shows what happened"
verb report \
  --workdir=$out/train \
  --output=$out/report.html >/dev/null
echo "Open in a browser: $root/$out/report.html"
