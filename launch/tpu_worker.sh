#!/usr/bin/env bash
# On one worker of a TPU slice: start launch/pretrain.sh, or join it if it runs already, show its log, end as it ends.
# launch/tpu_pod.sh runs this on all workers at once.
#
#     launch/tpu_worker.sh setup                  Python and .venv
#     launch/tpu_worker.sh run FLAG ...           of launch/pretrain.sh
#     launch/tpu_worker.sh ended                  how the last run here ended
#
# The run does not hang on the connection that started it: it continues when that breaks. Beside this project lie
# pretrain.log (all lives of the run), pretrain.pid and, when it has ended, pretrain.status.
set -euo pipefail
unset CDPATH # exported, it makes cd print where it goes, or go elsewhere
cd "$(dirname "${BASH_SOURCE[0]}")/.."

setup() {
  runs || rm -f pretrain.status # of an earlier life: where this one cannot even be started, it would be taken for its end
  launch/setup.sh gcs && return # a run of many hosts has its paths in a bucket
  # TPU images come with another Python, or with one that lacks venv.
  echo "Installing a Python with venv" >&2
  sudo apt-get -qq -o DPkg::Lock::Timeout=300 update
  local python
  for python in python3.12 python3.13 python3.14 python3.11; do # whichever the image's distribution has
    sudo apt-get -qq -o DPkg::Lock::Timeout=300 install --yes "$python-venv" && break
  done
  launch/setup.sh gcs
}

runs() {
  [[ -f pretrain.pid ]] && grep -qs pretrain.sh "/proc/$(<pretrain.pid)/cmdline" # the number may be another's by now
}

run() {
  if runs; then
    echo "It is running already; its log from here on:" >&2
  else
    rm -f pretrain.status
    # shellcheck disable=SC2016  # $@ and $? are the inner shell's
    setsid bash -c '"$@" >>pretrain.log 2>&1; echo $? >pretrain.status' bash launch/pretrain.sh "$@" \
      </dev/null >/dev/null 2>&1 &
    echo $! >pretrain.pid
  fi
  touch pretrain.log
  tail --lines=20 --pid="$(<pretrain.pid)" -F pretrain.log 2>/dev/null || true
  return "$(cat pretrain.status 2>/dev/null || echo 75)"
}

ended() {
  echo "pretraining ended with $(cat pretrain.status 2>/dev/null || echo a kill)"
}

"$@"
