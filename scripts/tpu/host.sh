#!/usr/bin/env bash
# What scripts/tpu/tpu.sh runs on each host of a slice; of no use elsewhere.
#
#   host.sh install                evc_jax[tpu,train] into ~/evc_venv
#   host.sh start CACHE LOGS ARGS  scripts/train.py ARGS in the background, log and exit code in ~/evc_train; when it
#                                  ends, the log is copied into LOGS
#   host.sh status                 evc-host STATE NAME; the state is running, idle, lost or the exit code
#   host.sh failure                the log's end where the training failed, every line behind the host's name
#   host.sh follow                 the log as it grows
#   host.sh upload LOGS            copies the log into LOGS
#   host.sh stop | kill            has the training save and stop | ends it at once
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=$HOME/evc_venv run=$HOME/evc_train

install() {
  # The hosts' own Python is older than evc_jax needs; uv brings one.
  PATH=$HOME/.local/bin:$PATH
  command -v uv >/dev/null || python3 -m pip install --user --quiet uv
  [ -x "$venv/bin/python" ] || uv venv --quiet --python 3.11 "$venv"
  uv pip install --quiet --python "$venv/bin/python" --constraint "$root/constraints.txt" --editable "${root}[tpu,train]"
}

start() {
  mkdir -p "$run"
  [ -f "$run/name" ] || echo "$(hostname)-$(date -u +%Y%m%d-%H%M%S)-$$" >"$run/name"
  rm -f "$run/exit" "$run/ready"
  setsid nohup "$0" train "$@" >>"$run/log" 2>&1 </dev/null &
  echo $! >"$run/pid"
  # Before its trap is set, a signal would end the shell that is to tell the exit code.
  for _ in $(seq 100); do [ -e "$run/ready" ] || sleep 0.1; done
}

train() {
  local code=0 logs=$2
  export JAX_COMPILATION_CACHE_DIR=$1
  shift 2
  case " $* " in *" --distributed="*) ;; *) set -- --distributed=auto "$@" ;; esac
  cd "$root"
  # A signal to the whole group is for the training; this shell waits for its exit code.
  trap : TERM
  touch "$run/ready"
  "$venv/bin/python" scripts/train.py "$@" || code=$?
  upload "$logs"
  echo "$code" >"$run/exit"
}

# The name has the time of the slice's first start: the next slice's hosts may be called the same.
upload() {
  [ ! -f "$run/log" ] || timeout 60 gcloud --quiet storage cp "$run/log" "$1/$(cat "$run/name").log" >/dev/null 2>&1 ||
    echo "the log cannot be copied to $1" >>"$run/log"
}

state() {
  local state=idle
  if [ -f "$run/exit" ]; then
    state=$(cat "$run/exit")
  elif [ -f "$run/pid" ]; then
    if is_alive; then state=running; else state=lost; fi
  fi
  echo "$state"
}

failure() {
  local state
  state=$(state)
  case $state in running | 0) return ;; esac
  {
    case $state in
      idle) echo "no training was started here" ;;
      lost) echo "the training is gone without an exit code: the host restarted, or lacked memory for any process" ;;
      137)
        echo "exit code 137: killed, as a rule because the host's memory is full; lower --config.data.read_threads," \
          "or --config.batch_size and raise --config.accumulate by the same factor"
        ;;
      *) echo "exit code $state" ;;
    esac
    [ ! -f "$run/log" ] || tail -n 40 "$run/log"
  } | sed "s/^/$(hostname): /"
}

# After a reboot the number may be another process's.
is_alive() { [ -f "$run/pid" ] && grep -qs host.sh "/proc/$(cat "$run/pid")/cmdline"; }

# Returns when it is gone, or what asks for its state next would still find it running.
kill_training() {
  signal KILL
  for _ in $(seq 100); do is_alive || break; sleep 0.1; done
}

# signal NAME: to the training and the shell that waits for it, if they run.
signal() { [ ! -f "$run/pid" ] || kill -s "$1" -- "-$(cat "$run/pid")" 2>/dev/null || true; }

case ${1:-} in
  install) install ;;
  start) shift && start "$@" ;;
  train) shift && train "$@" ;;
  status) echo "evc-host $(state) $(hostname)" ;;
  failure) failure ;;
  upload) upload "$2" ;;
  follow) tail -n 100 -F "$run/log" ;;
  stop) signal TERM ;;
  kill) kill_training ;;
  *) sed -n '2,/^set/{s/^# \{0,1\}//p;}' "$0" >&2 && exit 2 ;;
esac
