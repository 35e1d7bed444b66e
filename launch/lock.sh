#!/usr/bin/env bash
# Renew launch/lock/: every package that setup.cfg asks for, and all that those need, with versions and hashes. Run it
# after changing the dependencies in setup.cfg; what is locked already keeps its version where it can.
#
#     launch/lock.sh [--upgrade] [FLAG OF `uv pip compile` ...]
#
# versions.txt holds all extras together, so that they go together (but tpu, whose libtpu is the one that JAX asks for,
# while test and plan compile for a TPU with a newer one); base.txt and one file an extra hold the hashes, for Python
# 3.11 to 3.14 on any platform. Torch (extra test) is left out: its Linux package on PyPI brings CUDA libraries
# and its CPU package brings none, and a file with hashes cannot leave that open. launch/setup.sh reads these files.
set -euo pipefail
unset CDPATH # exported, it makes cd print where it goes, or go elsewhere
cd "$(dirname "${BASH_SOURCE[0]}")/.."

launch/setup.sh lock

mapfile -t extras < <(.venv/bin/python -c '
import configparser
config = configparser.ConfigParser()
config.read("setup.cfg")
print(*config["options.extras_require"], sep="\n")')

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
echo torch >"$work/excludes"
.venv/bin/python -c '
import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' >"$work/build.in"

# What setup.cfg asks for with these flags, into the file OUTPUT.
compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version=3.11 --no-annotate --no-header \
    --excludes="$work/excludes" --output-file="$1" "${@:2}" setup.cfg "$work/build.in" >/dev/null
}

echo "==> launch/lock/versions.txt" >&2
together=()
for extra in "${extras[@]}"; do
  [[ $extra == tpu ]] || together+=("--extra=$extra")
done
compile launch/lock/versions.txt "${together[@]}" "$@"
echo "==> launch/lock/base.txt" >&2
rm -f launch/lock/base.txt
compile launch/lock/base.txt --generate-hashes --constraints=launch/lock/versions.txt
for extra in "${extras[@]}"; do
  echo "==> launch/lock/$extra.txt" >&2
  held=launch/lock/versions.txt
  [[ $extra != tpu ]] || held=launch/lock/base.txt
  compile "$work/$extra.txt" --generate-hashes "--constraints=$held" "--extra=$extra"
  # Only what base.txt does not have already.
  awk 'NR == FNR { if (/^[^ ]/) base[$0]; next } /^[^ ]/ { ours = !($0 in base) } ours' \
    launch/lock/base.txt "$work/$extra.txt" >"launch/lock/$extra.txt"
done
