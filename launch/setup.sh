#!/usr/bin/env bash
# Prepare .venv at the project's root: this project, editable, with all that it needs on this host.
#
#     launch/setup.sh [EXTRA ...]        EXTRA: of setup.cfg, such as test
#
# The other scripts call it first. When nothing has changed since the last time, it returns at once.
# The accelerator's extra (tpu, cuda) is added where its device is seen. PYTHON=/path/to/python names the interpreter
# that a new .venv is made with. Versions and hashes are those of launch/lock/, which launch/lock.sh renews; only torch,
# of the extra test, has no hash there.
set -euo pipefail
unset CDPATH # exported, it makes cd print where it goes, or go elsewhere
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  echo "error: $1" >&2
  exit 1
}

# Also refuses a version manager's placeholder, and a Python without venv (Debian packs that apart).
suits() {
  "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1
}

find_python() {
  if [[ -n ${PYTHON:-} ]]; then
    suits "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 to 3.14 with venv; set PYTHON to one, or unset it"
    echo "$PYTHON"
    return
  fi
  local name
  for name in python3.11 python3.12 python3.13 python3.14 python3; do
    if suits "$name"; then
      echo "$name"
      return
    fi
  done
  fail "no Python 3.11 to 3.14 with venv on PATH; install one (Debian, Ubuntu: apt install python3-venv, or python3.11-venv where python3 is older) or set PYTHON=/path/to/python3"
}

accelerator() {
  if compgen -G '/dev/accel*' >/dev/null || compgen -G '/dev/vfio/[0-9]*' >/dev/null; then
    echo tpu
  elif nvidia-smi -L >/dev/null 2>&1; then
    echo cuda
  fi
}

extras=$(printf '%s\n' "$@" "$(accelerator)" | sort -u | paste -sd, - | sed 's/^,//')
locks=(launch/lock/base.txt)
for extra in ${extras//,/ }; do
  locks+=("launch/lock/$extra.txt")
  [[ -f ${locks[-1]} ]] || fail "there is no extra $extra; give one of setup.cfg (new there? run launch/lock.sh)"
done
stamp=.venv/installed${extras:+-$extras}
wanted=$(cat setup.cfg pyproject.toml "${locks[@]}" <(echo "$PWD") | cksum) # the path: an editable installation holds it
is_done() {
  [[ -x .venv/bin/python && -f $stamp && $(<"$stamp") == "$wanted" ]]
}
! is_done || exit 0
if command -v flock >/dev/null; then # one at a time: the second of two finds what the first has made
  exec 9>.venv.lock
  flock 9
  ! is_done || exit 0
fi

if ! { suits .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
  python=$(find_python)
  echo "Creating .venv with $python" >&2
  "$python" -m venv --clear .venv
fi
echo "Installing bert_jax${extras:+ with $extras} into .venv (the first time takes about a minute)" >&2
rm -f "$stamp"
install() {
  .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" ||
    fail "installation into .venv failed, see above; run the same command again when the cause is gone"
}
# --use-pep517: seqeval (extra tasks) is there as source only, which old pips would build with what is installed.
install --require-hashes --no-deps --use-pep517 "${locks[@]/#/--requirement=}"
case ,$extras, in
  *,test,*) install --no-build-isolation --editable ".[$extras]" ;; # torch, and what it alone needs, is still to come
  *) install --no-build-isolation --no-deps --editable . ;;
esac
echo "$wanted" >"$stamp.tmp"
mv "$stamp.tmp" "$stamp"
