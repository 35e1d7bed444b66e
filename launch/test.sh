#!/usr/bin/env bash
# Set up if need be, then check everything: lint, format, types, tests.
#
#     launch/test.sh [--all] [PYTEST ARGUMENT ...]        --all: the slow tests too
#
# Without an argument for pytest, the tests run in two processes, each file in one of them, in the order of conftest.py.
set -euo pipefail
unset CDPATH # exported, it makes cd print where it goes, or go elsewhere
cd "$(dirname "${BASH_SOURCE[0]}")/.."

launch/setup.sh test

unset PYTHONDONTWRITEBYTECODE # or every process that a test starts would compile the package anew

marked=()
if [[ ${1:-} == --all ]]; then
  shift
  marked=(-m '')
fi
if [[ $# -eq 0 ]]; then
  set -- -n 2 --dist loadfile --no-loadscope-reorder
fi

run() {
  echo "==> $*" >&2
  .venv/bin/python -m "$@"
}

run ruff check
run ruff format --check
run mypy
run pytest "${marked[@]}" "$@"
