#!/usr/bin/env bash
# Set up if need be, then check everything: lint, format, types, tests.
#
#     launch/test.sh [--all] [PYTEST ARGUMENT ...]        --all: the slow tests too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

launch/setup.sh test

if [[ ${1:-} == --all ]]; then
  shift
  set -- -m '' "$@"
fi

run() {
  echo "==> $*" >&2
  .venv/bin/python -m "$@"
}

run ruff check
run ruff format --check
run mypy
run pytest "$@"
