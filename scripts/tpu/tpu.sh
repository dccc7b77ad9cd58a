#!/usr/bin/env bash
# Trains on a slice of Cloud TPUs, from a machine with gcloud.
#
#   scripts/tpu/tpu.sh train --type=v5litepod-16 --zone=us-west4-a --spot -- \
#       --config=configs/waveglow.py:full --workdir=gs://BUCKET/runs/waveglow --config.batch_size=192 \
#       --config.data.data_dir=gs://BUCKET/datasets
#
# Commands:
#   train    all of it, until the last step is reached: creates the slice, installs, starts the training, and does so
#            again whenever the slice is preempted or a host fails; then deletes the slice. The same command goes on
#            where an earlier one was interrupted, and watches a training that already runs.
#   create   requests a slice and waits for it
#   install  puts this checkout and evc_jax[tpu,train] on every host
#   launch   starts scripts/train.py, with what follows --, in the background on every host
#   status   prints the state of the slice, and of each host: running, idle, lost, or the training's exit code
#   logs     follows a host's log (--worker=0)
#   profile  forwards --profiler-port of a host (--worker=0) to this machine until Ctrl-C
#   stop     has the training save and stop
#   delete   gives the slice back
#
# Options:
#   --name=NAME         of the slice and its queued resource; default: evc
#   --zone=ZONE         default: gcloud's compute/zone
#   --project=PROJECT   default: gcloud's core/project
#   --type=TYPE         accelerator type, such as v5litepod-16, v5p-32 or v6e-16 (create, train)
#   --runtime=VERSION   TPU software version; default: the one that Google recommends for the type
#   --spot              a preemptible slice, at a fraction of the price; --reserved: from the project's reservation
#   --create-flag=FLAG  passed on to `gcloud compute tpus queued-resources create`, such as --network=NET; repeatable
#   --internal-ip       hosts without external addresses: they are made so, and reached over the network that this
#                       machine shares with them. To install they need Cloud NAT
#   --profiler-port=N   every host serves profiles on this port (launch, train); `profile` forwards it
#   --cache=PLACE       for compiled programs, so that a restart need not compile; default: compiled/ beside the workdir
#   --worker=N          the host of logs and profile; default: 0
#   --poll-s=SECONDS    between two looks at the slice; default: 60
#   --keep              do not delete the slice after the last step (train)
#
# The hosts' service account needs to read and write the bucket. Checkpoints, logs of metrics and data on gs://
# outlive the slice. Of what is on its own disks, the hosts' logs do: whenever a training ends, they are copied into
# logs/ beside the workdir.
set -euo pipefail

say() { printf 'tpu: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 2
}
usage() { sed -n '2,/^set/{s/^# \{0,1\}//p;}' "$0"; }

name=evc zone='' project='' type='' runtime='' cache='' logs='' worker=0 poll_s=60 keep='' profiler_port=''
tier=() create_flags=() ssh_flags=() training=() seen=''
root=$(cd "$(dirname "$0")/../.." && pwd)
max_failures=3 # in a row: restarts without a new checkpoint, or requests for a slice
host=evc_jax/scripts/tpu/host.sh

parse() {
  command=${1:-}
  case $command in
    -h | --help | help) usage && exit 0 ;;
    train | create | install | launch | status | logs | profile | stop | delete) shift ;;
    '') usage >&2 && exit 2 ;;
    *) die "there is no command '$command'; --help shows those there are." ;;
  esac
  while [ $# -gt 0 ]; do
    case $1 in
      --name=*) name=${1#*=} ;;
      --zone=*) zone=${1#*=} ;;
      --project=*) project=${1#*=} ;;
      --type=*) type=${1#*=} ;;
      --runtime=*) runtime=${1#*=} ;;
      --cache=*) cache=${1#*=} ;;
      --worker=*) worker=${1#*=} ;;
      --profiler-port=*) profiler_port=${1#*=} ;;
      --internal-ip) ssh_flags=(--internal-ip) create_flags+=(--internal-ips) ;;
      --poll-s=*) poll_s=${1#*=} ;;
      --create-flag=*) create_flags+=("${1#*=}") ;;
      --spot | --reserved) tier=("$1") ;;
      --keep) keep=yes ;;
      -h | --help) usage && exit 0 ;;
      --) shift && training=("$@") && break ;;
      *) die "there is no option '$1'; --help shows those there are, and scripts/train.py's go behind --." ;;
    esac
    shift
  done
  command -v gcloud >/dev/null || die "gcloud is not installed; it comes with the Google Cloud CLI."
  [ -z "$type" ] || [ -n "$runtime" ] || runtime=$(runtime_of "$type")
}

# Sets `workdir`, `cache` and `logs` from what follows --.
read_training() {
  local word
  workdir=''
  for word in ${training[@]+"${training[@]}"}; do
    case $word in --workdir=*) workdir=${word#*=} ;; esac
  done
  [ -n "$workdir" ] || die "no training is given; put --config=... and --workdir=gs://... behind --."
  case $workdir in
    gs://*/*)
      : "${cache:=$(dirname "$workdir")/compiled}"
      logs=$(dirname "$workdir")/logs/$(basename "$workdir")
      ;;
    *) die "--workdir is '$workdir'; give a folder on gs://, as the disks of a slice are lost with it." ;;
  esac
  [ -z "$profiler_port" ] || training+=("--profiler-port=$profiler_port")
}

# gcloud compute tpus GROUP VERB ARGUMENTS, in the project and zone of the options.
tpus() {
  gcloud --quiet ${project:+--project="$project"} compute tpus "$@" ${zone:+--zone="$zone"}
}

# on_hosts WORKER COMMAND: runs a command on one host or on all of them.
on_hosts() { tpus tpu-vm ssh "$name" --worker="$1" --command="$2" ${ssh_flags[@]+"${ssh_flags[@]}"}; }

# The state of the queued resource, or of its node once that is there. ABSENT: there is no such resource; UNKNOWN:
# gcloud cannot tell; NODE_UNKNOWN: it can, but not of the node, which may just have been taken away.
slice_state() {
  local answer
  if ! answer=$(tpus queued-resources describe "$name" --format='value(state.state)' 2>&1); then
    case $answer in
      *NOT_FOUND* | *"not found"*) echo ABSENT ;;
      *) printf '%s\n' "$answer" >&2 && echo UNKNOWN ;;
    esac
  elif [ "$answer" = ACTIVE ]; then
    tpus tpu-vm describe "$name" --format='value(state)' 2>/dev/null || echo NODE_UNKNOWN
  else
    echo "$answer"
  fi
}

runtime_of() {
  case $1 in
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v6e-*) echo v2-alpha-tpuv6e ;;
    v2-* | v3-* | v4-*) echo tpu-ubuntu2204-base ;;
    *) die "no TPU software version is known for the type '$1'; give --runtime=VERSION." ;;
  esac
}

request_slice() {
  [ -n "$type" ] || die "no slice '$name' is there and none can be made; give --type, such as --type=v5litepod-16."
  say "requesting $type as '$name'"
  tpus queued-resources create "$name" --node-id="$name" --accelerator-type="$type" --runtime-version="$runtime" \
    ${tier[@]+"${tier[@]}"} ${create_flags[@]+"${create_flags[@]}"} >&2
}

delete_slice() { tpus queued-resources delete "$name" --force >&2; }

# Returns once the slice is ready, requesting it where it is not there or not any more.
ensure_slice() {
  local state last='' refusals=0
  while state=$(slice_state) && [ "$state" != READY ]; do
    # Later it may be the network; a wrong project or account shows at once.
    [ "$state" != UNKNOWN ] || [ -n "$seen" ] || die "gcloud cannot tell of the slice '$name', see above."
    [ "$state" = "$last" ] || [ "$state" = ABSENT ] || say "slice '$name': $state"
    last=$state seen=yes
    case $state in
      ABSENT)
        request_slice && continue
        refusals=$((refusals + 1))
        [ "$refusals" -lt "$max_failures" ] || die "the slice cannot be requested, see above."
        ;;
      FAILED | SUSPENDED | PREEMPTED | TERMINATED | STOPPED) delete_slice || true ;;
    esac
    sleep "$poll_s"
  done
  seen=yes
}

install() {
  local folder
  folder=$(mktemp -d)
  say "installing on every host"
  pack "$folder/evc_jax.tar.gz" &&
    tpus tpu-vm scp "$folder/evc_jax.tar.gz" "$name:" --worker=all ${ssh_flags[@]+"${ssh_flags[@]}"} >&2 &&
    on_hosts all 'rm -rf evc_jax && mkdir evc_jax && tar -xzf evc_jax.tar.gz -C evc_jax' >&2 &&
    on_hosts all "$host install" >&2 || return 1
  rm -r "$folder"
}

# The checkout's files as they are, changes included; not what git ignores, nor what was deleted.
pack() {
  git -C "$root" ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [ ! -e "$root/$file" ] || printf '%s\0' "$file"; done |
    tar -C "$root" --null -czf "$1" -T -
}

launch() {
  local words revision
  words=$(printf ' %q' "$cache" "$logs" "${training[@]}")
  # The copies have no history; the log of starts shall name the commit all the same.
  revision=$(git -C "$root" describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || true)
  say "starting the training on every host"
  on_hosts all "${revision:+EVC_REVISION=$revision }$host start$words" >&2
}

# Until Ctrl-C.
profile() {
  [ -n "$profiler_port" ] || die "no port is given; give the training's, such as --profiler-port=9012."
  say "localhost:$profiler_port is the profiler of host $worker, until Ctrl-C"
  tpus tpu-vm ssh "$name" --worker="$worker" ${ssh_flags[@]+"${ssh_flags[@]}"} \
    --ssh-flag=-N --ssh-flag=-L --ssh-flag="$profiler_port:localhost:$profiler_port"
}

# One line per host with its name: running, idle (nothing was started), lost (it died without a word) or the exit code.
host_states() {
  on_hosts all "$host status 2>/dev/null || echo evc-host idle" 2>/dev/null | sed -n 's/^evc-host //p'
}

last_step() {
  gcloud storage ls "$workdir/checkpoints/" 2>/dev/null | sed -n 's#.*/\([0-9]\{1,\}\)/$#\1#p' | sort -n | tail -n 1
}

is_finished() {
  local steps
  steps=$(gcloud storage cat "$workdir/config.json" | sed -n 's/.*"steps": *\([0-9]*\).*/\1/p')
  [ "$(last_step)" -ge "$steps" ]
}

# Sets `outcome`: preempted, or what the hosts say once one of them does not run any more.
watch() {
  local states
  outcome=''
  while [ -z "$outcome" ]; do
    sleep "$poll_s"
    if [ "$(slice_state)" != READY ]; then
      outcome=preempted
    elif states=$(host_states | cut -d' ' -f1 | sort -u | tr '\n' ' ') && [ -n "$states" ]; then
      case " $states" in
        *' 2 '*) outcome=refused ;;
        *' running '*) [[ ! $states =~ idle|lost|[1-9] ]] || outcome=failed ;;
        ' 0 ') outcome=saved ;;
        *) outcome=failed ;;
      esac
    fi
  done
}

train() {
  local failures=0 before
  read_training
  while :; do
    ensure_slice
    before=$(last_step || true)
    host_states | grep -q '^running' || { install && launch; } || say "the hosts cannot be reached"
    watch
    case $outcome in
      saved)
        ! is_finished || break
        say "the training was asked to stop at step $(last_step || true); going on"
        ;;
      preempted) say "the slice was lost at step $(last_step || true)" ;;
      refused)
        show_failure
        die "scripts/train.py stopped over its settings or data, see above; the slice '$name' is kept."
        ;;
      failed)
        show_failure
        if [ "$(last_step || true)" = "$before" ]; then failures=$((failures + 1)); else failures=1; fi
        [ "$failures" -lt "$max_failures" ] ||
          die "the training failed $failures times without a new checkpoint, see above; the slice '$name' is kept."
        say "a host failed; starting again from step $(last_step || true)"
        ;;
    esac
  done
  say "step $(last_step) is reached; $workdir holds the run"
  [ -n "$keep" ] || delete_slice
}

# The logs' ends of the hosts that failed, four at most, and an end to those that still wait for them.
show_failure() {
  on_hosts all "$host failure" 2>/dev/null | awk -F': ' '!($1 in seen) { seen[$1] = ++hosts } seen[$1] <= 4' >&2 || true
  on_hosts all "$host upload $(printf %q "$logs"); $host kill" >&2 || true
  say "the logs of all hosts are in $logs"
}

parse "$@"
case $command in
  train) train ;;
  create) ensure_slice ;;
  install) install ;;
  launch) read_training && launch ;;
  status)
    slice_state
    host_states || true
    ;;
  logs) on_hosts "$worker" "$host follow" ;;
  profile) profile ;;
  stop) on_hosts all "$host stop" ;;
  delete) delete_slice ;;
esac
