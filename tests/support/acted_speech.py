"""Five invented actors who sing a vowel in four emotions, which differ in pitch, width of the melody and brightness."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import to_pcm
from evc_jax.evaluation.speech import Speech
from evc_jax.features.extract import analyse
from support.tiny_corpora import RATE_HZ, embed

# Semitones up, width of the melody, and how much of the treble is kept.
ACTED = {"neutral": (0, 1.0, 0.0), "happy": (7, 1.6, 0.5), "sad": (-4, 0.6, -0.5), "angry": (6, 1.0, 0.8)}
ACTORS = 5
SECONDS = 1.0


def act(actor: int, emotion: str, sentence: int, take: int = 0) -> np.ndarray:
    """A recording of so many of a second's tenths; float32 at 16 kHz."""
    semitones, width, treble = ACTED[emotion]
    f0_hz = (110 + 9 * actor) * 2 ** (semitones / 12)
    seconds = SECONDS * (1.3 if emotion == "sad" else 1.0) + 0.1 * sentence
    times_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    glide = f0_hz * 2 ** (width * (2 * np.sin(2 * np.pi * (1.1 + 0.3 * sentence) * times_s) + 0.2 * take) / 12)
    phase = 2 * np.pi * np.cumsum(glide) / RATE_HZ
    voice = sum(np.sin(k * phase) / k for k in range(1, 16))
    voice = signal.lfilter([1, -treble], [1], voice)
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 2.5 * times_s)
    breath = 0.003 * np.random.default_rng(10 * actor + take).standard_normal(len(times_s))
    return (0.1 * voice * syllables + breath).astype(np.float32)


@functools.cache
def acted_speech() -> Speech:
    """The last actor is judged, the others train; two sentences, two takes."""
    config = AudioConfig()
    records = [_record(actor, *which, config) for actor in range(ACTORS) for which in _takes()]
    last = f"acted-{ACTORS - 1}"
    return Speech(config, [r for r in records if r["speaker"] != last], [r for r in records if r["speaker"] == last])


def write_acted(root: Path) -> Path:
    """The same recordings with a manifest for `evc prepare`; returns the manifest."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "speech.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "speaker", "sex", "emotion", "text"))
        for actor in range(ACTORS):
            for emotion, sentence, take in _takes():
                name = f"{actor}-{emotion}-{sentence}-{take}.wav"
                soundfile.write(root / name, act(actor, emotion, sentence, take), RATE_HZ)
                table.writerow((name, actor, "female", emotion, f"sentence {sentence}"))
    return root / "speech.csv"


def _takes() -> list[tuple[str, int, int]]:
    return [(emotion, sentence, take) for emotion in ACTED for sentence in (1, 2) for take in (1, 2)]


def _record(actor: int, emotion: str, sentence: int, take: int, config: AudioConfig) -> dict:
    analysis = analyse(act(actor, emotion, sentence, take), RATE_HZ, config)
    return {
        "audio": to_pcm(analysis.audio),
        "mel": analysis.mel,
        "f0_hz": analysis.f0_hz,
        "speaker": f"acted-{actor}",
        "sex": "female",
        "emotion": emotion,
        "corpus_emotion": emotion,
        "text_id": f"acted-{sentence}",
        "text": "",
        "utterance_id": f"{actor}-{emotion}-{sentence}-{take}",
        "speaker_embedding": embed(analysis.audio),
        "utterance_embedding": embed(analysis.audio),
        "dataset": "acted",
    }
