#!/usr/bin/env bash
# Pretrain on a Cloud TPU slice: ask for it, set it up, run on all of its workers, start again when it is taken away.
#
#     launch/tpu_pod.sh create  --name=NAME --zone=ZONE --type=v5litepod-16 --version=v2-alpha-tpuv5-lite [--spot]
#     launch/tpu_pod.sh run     ... as create ... -- --config=configs/bert_large.py --workdir=gs://BUCKET/large ...
#     launch/tpu_pod.sh status  --name=NAME --zone=ZONE
#     launch/tpu_pod.sh logs    --name=NAME --zone=ZONE [--worker=0]
#     launch/tpu_pod.sh resume  ... as run: the slice may be there or gone, the run resumes ...
#     launch/tpu_pod.sh delete  --name=NAME --zone=ZONE
#
# `run` and `resume` create the slice if it is not there, copy this project (as last committed) to every worker, and
# stay: when the slice is preempted it is asked for again, and when the run ends with anything but success or an error
# that must be fixed it is started again, which resumes from the newest checkpoint. They may be stopped and typed again
# at any time; the run does not mind. What follows -- goes to launch/pretrain.sh on every worker.
#
#     --project=PROJECT     default: gcloud's own
#     --network=N  --subnetwork=N  --service_account=EMAIL  --internal_ips     as gcloud has them
#     --retries=20          how often in a row, without an hour of work between, to try again
#     --poll_seconds=30     between two looks at a slice that is not there yet; the wait after a failure doubles, to 600 s
#     --dry_run             print the commands, run none
#
# It uses the credentials that gcloud has, and shows none. The slice costs money until it is deleted.
set -euo pipefail
unset CDPATH # exported, it makes cd print where it goes, or go elsewhere
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
  echo "error: $1" >&2
  exit 2
}

say() {
  echo "$(date +%H:%M:%S) $1" >&2
}

name='' zone='' type='' version='' project='' worker=0 retries=20 poll_seconds=30 dry_run='' packed=''
asked=() # further flags of `gcloud ... create`

read_flags() {
  while (($# > 0)); do
    case $1 in
      --name=* | --zone=* | --type=* | --version=* | --project=* | --worker=* | --retries=* | --poll_seconds=*)
        local flag=${1#--}
        printf -v "${flag%%=*}" '%s' "${flag#*=}"
        ;;
      --network=* | --subnetwork=*) asked+=("$1") ;;
      --service_account=*) asked+=("--service-account=${1#*=}") ;;
      --internal_ips) asked+=(--internal-ips) ;;
      --spot) asked+=(--spot) ;;
      --dry_run) dry_run=yes ;;
      --)
        shift
        pretrain_flags=("$@")
        return
        ;;
      *) fail "unknown flag $1; see the head of launch/tpu_pod.sh" ;;
    esac
    shift
  done
}

need() {
  local flag
  for flag; do
    [[ -n ${!flag} ]] || fail "--$flag is missing; see the head of launch/tpu_pod.sh"
  done
}

# gcloud in our zone and project: printed, and run unless --dry_run.
cloud() {
  local command=(gcloud compute tpus "$@" "--zone=$zone" ${project:+"--project=$project"})
  echo "+ ${command[*]@Q}" >&2
  [[ -n $dry_run ]] || "${command[@]}"
}

# The state of the request ("queued-resources", "state.state") or of the slice itself ("tpu-vm", "state"). By list, which
# tells what is not there from what cannot be asked: a slice must not be deleted because a connection was.
state_of() {
  local state
  if state=$(cloud "$1" list "--filter=name~(^|/)$name\$" "--format=value($2)"); then
    echo "${state:-ABSENT}"
  else
    echo UNREACHABLE # gcloud has said why
  fi
}

create() {
  need name zone type version
  say "asking for $type as $name in $zone"
  cloud queued-resources create "$name" "--node-id=$name" "--accelerator-type=$type" "--runtime-version=$version" \
    ${asked[@]+"${asked[@]}"}
}

delete() {
  need name zone
  say "deleting $name and its request"
  cloud queued-resources delete "$name" --force --quiet
}

status() {
  need name zone
  cloud queued-resources describe "$name" '--format=value(state.state)'
  cloud tpu-vm describe "$name" '--format=value(state,health,acceleratorType)'
}

logs() {
  need name zone
  cloud tpu-vm ssh "$name" "--worker=$worker" '--command=tail --lines=100 -F bert_jax/pretrain.log'
}

# Wait until the slice works; ask for it again where it was taken away. 1: not this time.
make_ready() {
  local request slice=''
  while :; do
    request=$(state_of queued-resources state.state)
    if [[ $request == ACTIVE ]]; then
      slice=$(state_of tpu-vm state) # a preempted slice may stay in a request that is still called ACTIVE
    fi
    say "the request for $name is $request${slice:+, the slice $slice}"
    case $request/$slice in
      ACTIVE/READY) return ;;
      UNREACHABLE/* | */UNREACHABLE) return 1 ;;
      ABSENT/*) create || return 1 ;;
      # These do not come back by themselves.
      SUSPENDED/* | FAILED/* | ACTIVE/PREEMPTED | ACTIVE/TERMINATED | ACTIVE/STOPPED | ACTIVE/ABSENT)
        delete || return 1
        ;;
    esac
    slice=''
    sleep "$poll_seconds"
  done
}

# Pack the project as it was last committed.
pack() {
  local said
  packed=$(mktemp -d)
  trap 'rm -rf "$packed"' EXIT
  said=$(git -C "$root" archive --format=tar.gz --output="$packed/bert_jax.tar.gz" HEAD 2>&1) ||
    fail "$root cannot be packed as last committed: ${said%%$'\n'*}; run this from a git clone with a commit"
}

# Copy the project to every worker and set it up there. Once more does no harm.
set_up() {
  [[ -f $packed/bert_jax.tar.gz ]] || pack # days later: temporary files may have been removed meanwhile
  say "copying bert_jax to every worker of $name"
  cloud tpu-vm scp "$packed/bert_jax.tar.gz" "$name:bert_jax.tar.gz" --worker=all || return 1
  on_workers 'mkdir -p bert_jax && tar -xzf bert_jax.tar.gz -C bert_jax && bert_jax/launch/tpu_worker.sh setup'
}

on_workers() {
  cloud tpu-vm ssh "$name" --worker=all "--command=$1"
}

# One life of the run, on all workers at once; it is joined if it runs already.
run_once() {
  local line
  printf -v line '%q ' bert_jax/launch/tpu_worker.sh run --distributed "${pretrain_flags[@]}"
  say "running on every worker of $name"
  on_workers "$line"
}

# Whether a worker has ended with an error that will come again. gcloud tells one worker's exit code, or its own.
must_be_fixed() {
  { on_workers 'bert_jax/launch/tpu_worker.sh ended' || true; } | grep -Eq 'ended with [12]$'
}

# Run to the end, whatever happens to the slice meanwhile.
run() {
  need name zone type version
  ((${#pretrain_flags[@]} > 0)) || fail "nothing to run; give launch/pretrain.sh's flags after --"
  pack # first: where it fails, no slice should wait and cost money
  if [[ -n $dry_run ]]; then
    create
    set_up
    run_once
    return
  fi
  local tries=0 pause=$poll_seconds started
  while :; do
    if make_ready && set_up; then
      started=$SECONDS
      if run_once; then
        say "done; delete the slice with: launch/tpu_pod.sh delete --name=$name --zone=$zone"
        return
      fi
      must_be_fixed && fail "the run ended with an error that must be fixed first, see above"
      ((SECONDS - started < 3600)) || { tries=0 pause=$poll_seconds; } # it had worked for long: not the same trouble
    fi
    if ((++tries > retries)); then
      say "given up after $retries tries in a row; type the same command to resume"
      exit 75
    fi
    say "stopped; resuming in $pause s (try $tries of $retries)"
    sleep "$pause"
    pause=$((pause * 2 < 600 ? pause * 2 : 600))
  done
}

action=${1:-}
pretrain_flags=()
case $action in
  create | run | status | logs | resume | delete) ;;
  *) fail "give one of create, run, status, logs, resume, delete; see the head of launch/tpu_pod.sh" ;;
esac
read_flags "${@:2}"
for flag in worker retries poll_seconds; do # else a run of days finds out, at its first preemption
  [[ ${!flag} =~ ^(0|[1-9][0-9]{0,5})$ || ($flag == worker && ${!flag} == all) ]] ||
    fail "--$flag=${!flag} is not a whole number; give one"
done
[[ -n $dry_run ]] || command -v gcloud >/dev/null || fail "gcloud is not on PATH; install the Google Cloud CLI and log in with it"
[[ $action == resume ]] && action=run
"$action"
