#!/usr/bin/env bash
# Trains every network from corpora on disk and gathers them into a bundle.
#
#   scripts/train_bundle.sh CORPORA RUNS BUNDLE [VARIANT [VOCODER]]
#
# CORPORA holds ravdess/ emodb/ librispeech/ ljspeech/ as they are distributed; RUNS takes the datasets and the trainings;
# VARIANT is small (the default; hours on two CPU cores) or full (for an accelerator); VOCODER is WaveGlow's where it is
# another one, e.g. light. What is finished is not done again, so that the same command resumes after an interruption.
set -euo pipefail
if [ $# -lt 3 ]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
corpora=$1 runs=$2 bundle=$3 variant=${4:-small} vocoder=${5:-${4:-small}}
data="$runs/datasets"
here=$(dirname "$0")

train() {
  local system=$1
  shift
  python "$here/train.py" --config="$here/../configs/$system.py:$variant" --workdir="$runs/$system" \
    --config.data.data_dir="$data" "$@"
}

for corpus in ravdess emodb librispeech ljspeech; do
  [ -d "$data/speech/$corpus" ] || evc prepare "$corpus" "$corpora/$corpus" --output "$data"
done
train speechsplit
# Its decoder goes on, nearer to the voices that are asked for; the codes stay those that CodeGAN learns on.
voices="$runs/speechsplit_voices"
train speechsplit --workdir="$voices" --config.init_from="$runs/speechsplit" --config.ema_decay=0.97 \
  --config.options.speaker_consistency_weight=0.02 --config.options.trained_parts=decoder --config.batch_size=8 \
  --config.optimizer.learning_rate=1e-4 --config.optimizer.clip_norm=0.1 --config.optimizer.warmup_steps=5 \
  --config.optimizer.decay_from_step=None --config.steps=360
train f0_converter
train voicegan
variant=$vocoder train waveglow
train prosody
train timbre_converter
# EmoDB alone has boredom, for which CodeGAN's corpora are too small.
train codegan --config.options.speechsplit="$runs/speechsplit" \
  --config.options.emotions=neutral,calm,happy,sad,angry,fearful,disgust,surprised
evc bundle --speechsplit "$voices" --f0-converter "$runs/f0_converter" --voicegan "$runs/voicegan" \
  --waveglow "$runs/waveglow" --codegan "$runs/codegan" --prosody "$runs/prosody" \
  --timbre-converter "$runs/timbre_converter" --data "$data" --datasets ravdess,emodb,librispeech,ljspeech \
  --rendering source --storage float16 --output "$bundle"
