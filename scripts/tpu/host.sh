#!/usr/bin/env bash
# What scripts/tpu/tpu.sh runs on each host of a slice; of no use elsewhere.
#
#   host.sh install           evc_jax[tpu] into ~/evc_venv
#   host.sh start CACHE ARGS  scripts/train.py ARGS in the background, log and exit code in ~/evc_train
#   host.sh status            evc-host STATE NAME; the state is running, idle, lost or the exit code
#   host.sh log | follow      the log's end, or the log as it grows
#   host.sh stop | kill       has the training save and stop | ends it at once
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=$HOME/evc_venv run=$HOME/evc_train

install() {
  # The hosts' own Python is older than evc_jax needs; uv brings one.
  PATH=$HOME/.local/bin:$PATH
  command -v uv >/dev/null || python3 -m pip install --user --quiet uv
  [ -x "$venv/bin/python" ] || uv venv --quiet --python 3.11 "$venv"
  uv pip install --quiet --python "$venv/bin/python" --constraint "$root/constraints.txt" --editable "${root}[tpu]"
}

start() {
  mkdir -p "$run"
  rm -f "$run/exit" "$run/ready"
  setsid nohup "$0" train "$@" >>"$run/log" 2>&1 </dev/null &
  echo $! >"$run/pid"
  # Before its trap is set, a signal would end the shell that is to tell the exit code.
  for _ in $(seq 100); do [ -e "$run/ready" ] || sleep 0.1; done
}

train() {
  local code=0
  export JAX_COMPILATION_CACHE_DIR=$1
  shift
  case " $* " in *" --distributed="*) ;; *) set -- --distributed=auto "$@" ;; esac
  cd "$root"
  # A signal to the whole group is for the training; this shell waits for its exit code.
  trap : TERM
  touch "$run/ready"
  "$venv/bin/python" scripts/train.py "$@" || code=$?
  echo "$code" >"$run/exit"
}

status() {
  local state=idle
  if [ -f "$run/exit" ]; then
    state=$(cat "$run/exit")
  elif [ -f "$run/pid" ]; then
    if is_alive; then state=running; else state=lost; fi
  fi
  echo "evc-host $state $(hostname)"
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
  status) status ;;
  log) tail -n 40 "$run/log" ;;
  follow) tail -n 100 -F "$run/log" ;;
  stop) signal TERM ;;
  kill) kill_training ;;
  *) sed -n '2,/^set/{s/^# \{0,1\}//p;}' "$0" >&2 && exit 2 ;;
esac
