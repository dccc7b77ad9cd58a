"""Extraction of all features of recordings on one core, beside the original pipeline.

    python -m benchmarks.features --reference SpeechSplit --data LibriSpeech/test-other

The original is SpeechSplit's `make_spect_f0.py` (mel; F0 by RAPT) and Resemblyzer's voice encoder on PyTorch; it needs
`pip install pysptk resemblyzer 'setuptools<81'` on top. Both have one core and one thread, as each worker of
`evc prepare` has. RAPT is given the speaker's sex, ours is not. Reading files is not part of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Contender, Work, compare, parser, result, run
from benchmarks.recordings import clips
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel
from evc_jax.data.prepare.local_runner import WORKER_ENVIRONMENT
from evc_jax.errors import ConfigError
from evc_jax.features import extract as extraction
from evc_jax.features import pitch, speaker

# SpeechSplit's ranges of F0, and the middle F0 between them.
MALE_RANGE_HZ, FEMALE_RANGE_HZ = (50, 250), (100, 600)
FEMALE_FROM_HZ = 165.0
ALL, MEL, F0, EMBEDDING = "mel, F0 and embedding", "mel", "F0", "embedding"

Analysis = Callable[[np.ndarray], Any]
GroupAnalysis = Callable[[Sequence[np.ndarray]], Any]


def ours(config: AudioConfig) -> dict[str, GroupAnalysis]:
    """What each subject is here, of several recordings as in a worker of `evc prepare`."""

    def everything(recordings: Sequence[np.ndarray]) -> Any:
        analyses = [extraction.analyse(samples, config.sample_rate_hz, config) for samples in recordings]
        return analyses, embed([analysis.voice for analysis in analyses])

    def embed(recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        return speaker.embed_group([speaker.partial_mels(samples) for samples in recordings])

    return {
        ALL: everything,
        MEL: each(lambda samples: log_mel(samples, config)),
        F0: each(lambda samples: pitch.estimate_f0(samples, config)),
        EMBEDDING: embed,
    }


def each(analyse: Analysis) -> GroupAnalysis:
    """One recording after the other."""
    return lambda recordings: [analyse(samples) for samples in recordings]


def theirs(reference: Path, ranges_hz: dict[int, tuple[int, int]]) -> dict[str, GroupAnalysis]:
    """The same by the original, without writing files; `ranges_hz` of F0 by the length of the recording.

    Raises:
      ConfigError: a package of the original is missing.
    """
    from benchmarks import originals

    utils = originals.speechsplit_utils(reference)
    try:
        import resemblyzer
        import torch
        from librosa.filters import mel as mel_filters
        from pysptk import sptk
        from scipy import signal
    except ImportError as error:
        raise ConfigError(f"The original needs a package ({error}); pip install pysptk resemblyzer.") from error
    torch.set_num_threads(1)
    encoder = resemblyzer.VoiceEncoder("cpu", verbose=False)
    basis = mel_filters(sr=16000, n_fft=1024, fmin=90, fmax=7600, n_mels=80).T
    b, a = utils.butter_highpass(30, 16000, order=5)
    generator = np.random.RandomState(1)

    def condition(samples: np.ndarray) -> np.ndarray:
        samples = signal.filtfilt(b, a, samples.astype(np.float64))
        return samples * 0.96 + (generator.rand(len(samples)) - 0.5) * 1e-6

    def mel(conditioned: np.ndarray) -> np.ndarray:
        spectrum = utils.pySTFT(conditioned).T @ basis
        return ((20 * np.log10(np.maximum(1e-5, spectrum)) - 16 + 100) / 100).astype(np.float32)

    def f0(conditioned: np.ndarray) -> np.ndarray:
        low, high = ranges_hz[len(conditioned)]
        log_f0 = sptk.rapt(conditioned.astype(np.float32) * 32768, 16000, 256, min=low, max=high, otype=2)
        voiced = log_f0 != -1e10
        return utils.speaker_normalization(log_f0, voiced, log_f0[voiced].mean(), log_f0[voiced].std())

    def embed(samples: np.ndarray) -> np.ndarray:
        return encoder.embed_utterance(resemblyzer.preprocess_wav(samples, 16000))

    def everything(samples: np.ndarray) -> tuple[np.ndarray, ...]:
        conditioned = condition(samples)
        return mel(conditioned), f0(conditioned), embed(samples)

    return {
        ALL: each(everything),
        MEL: each(lambda samples: mel(condition(samples))),
        F0: each(lambda samples: f0(condition(samples))),
        EMBEDDING: each(embed),
    }


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    config = AudioConfig()
    recordings = clips(arguments.data, config.sample_rate_hz, 1 if arguments.quick else arguments.clips)
    analyses = {"evc_jax": ours(config)}
    if arguments.reference:
        ranges_hz = {len(samples): _range_hz(samples, config) for samples in recordings}
        analyses["RAPT, Resemblyzer"] = theirs(arguments.reference, ranges_hz)
    seconds = sum(map(len, recordings)) / config.sample_rate_hz
    results = []
    for subject in (ALL, MEL, F0, EMBEDDING):
        contenders = [
            Contender(name, lambda work=of[subject]: lambda: work(recordings), original=name != "evc_jax")
            for name, of in analyses.items()
        ]
        work = Work(f"{subject} of {len(recordings)} recordings, one core", seconds, "s of sound")
        results.append(result(work, compare(contenders, arguments.seconds / 4)))
    return results


def _range_hz(samples: np.ndarray, config: AudioConfig) -> tuple[int, int]:
    voiced = [hz for hz in pitch.estimate_f0(samples, config) if hz]
    return FEMALE_RANGE_HZ if voiced and np.median(voiced) >= FEMALE_FROM_HZ else MALE_RANGE_HZ


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, metavar="DIR", help="folder of recordings; default: the demonstration")
    made.add_argument("--clips", type=int, default=12, help="how many of its recordings; default: 12")
    return made


if __name__ == "__main__":
    if not WORKER_ENVIRONMENT.items() <= os.environ.items():  # libraries count their threads once, at the beginning
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **WORKER_ENVIRONMENT})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sys.exit(run(measure, options()))
