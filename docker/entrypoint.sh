#!/bin/sh
# `train ...` runs scripts/train.py, anything else the evc command; exec, so that signals reach Python.
set -eu
if [ "${1:-}" = train ]; then
  shift
  exec python /opt/evc_jax/scripts/train.py "$@"
fi
exec evc "$@"
