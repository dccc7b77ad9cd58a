"""One person's recordings of any kind as a prepared dataset: cut into pieces at pauses, without what is no speech."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evc_jax.audio import io as audio_io
from evc_jax.audio import loudness
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.decoding import naming_errors
from evc_jax.audio.io import AudioReader, from_pcm
from evc_jax.audio.mel import frame_powers, frame_signal, highpass
from evc_jax.audio.pauses import cut_at_pauses
from evc_jax.data.dataset import open_split
from evc_jax.data.prepare.builder import prepare
from evc_jax.data.sampling import spread_evenly
from evc_jax.errors import AudioError, DataError
from evc_jax.features import speaker
from evc_jax.features.extract import Features
from evc_jax.files import find_recordings, passed_over_lines

DATASET = "own"
MIN_SPEECH_S = 60.0
MAX_PIECES = 400  # 40 minutes or more
PIECE_S = (3.0, 10.0)
STRETCH_S = 600.0  # of a recording, held in memory at once
# A piece with less is left out.
MIN_PIECE_SPEECH_S = 1.0
_FIELDS = ("audio", "mel", "f0_hz", "utterance_embedding", "level_gain")


@dataclass(frozen=True, eq=False)
class OwnSpeech:
    """The pieces of one person's recordings.

    Attributes:
      data_dir: where the dataset `DATASET` is prepared.
      training, held_out: features of its pieces; a fifth is held out, always the same ones.
      speech_s: duration of the speech in all pieces.
      recordings: how many recordings it comes from.
    """

    data_dir: Path
    training: list[Features]
    held_out: list[Features]
    speech_s: float
    recordings: int


def read_own_speech(
    inputs: Sequence[str], work: Path, config: AudioConfig, progress: bool, log: Callable[[str], None]
) -> OwnSpeech:
    """Prepares recordings and folders of them, searched at any depth; an unusable one is logged and passed over.

    Args:
      inputs: recordings of one speaker, and folders of them.
      work: a folder for the pieces and the dataset.
      config: of the features.
      progress: whether to draw a bar.
      log: is called with a line for everything that is passed over.

    Raises:
      DataError: there is less than `MIN_SPEECH_S` of speech.
    """
    files = _recordings(inputs, log)
    folder = work / "pieces" / "speaker" / "unknown"
    folder.mkdir(parents=True)
    used, found = 0, dict[Path, float]()
    for file in files:
        try:
            with naming_errors(file):
                pieces = dict(_saved_pieces(file, folder, config))
        except AudioError as error:
            log(str(error))
            continue
        if not pieces:
            log(f"{file} has no speech and is passed over.")
        used += bool(pieces)
        found |= pieces
    kept = spread_evenly(list(found), MAX_PIECES)
    for path in found.keys() - set(kept):
        path.unlink()
    speech_s = sum(found[path] for path in kept)
    if speech_s < MIN_SPEECH_S:
        raise DataError(
            f"There is too little speech, {speech_s:.0f} s (recordings: {len(files)}, with speech: {used}); give at "
            f"least {MIN_SPEECH_S:.0f} s, better ten minutes, of one person."
        )
    data_dir = work / "datasets"
    prepare("folder", work / "pieces", data_dir, dataset_name=DATASET, config=config, progress=progress)
    training, validation, test = (list(_features(data_dir, split)) for split in ("train", "validation", "test"))
    return OwnSpeech(data_dir, training, validation + test, speech_s, used)


def _recordings(inputs: Sequence[str], log: Callable[[str], None]) -> list[Path]:
    files: dict[Path, None] = {}
    for path in map(Path, inputs):
        if not path.is_dir():
            files[path] = None
            continue
        found = find_recordings(path)
        files |= dict.fromkeys(found.files)
        for line in passed_over_lines(found.passed_over, path):
            log(line)
    return list(files)


def _saved_pieces(file: Path, folder: Path, config: AudioConfig) -> Iterator[tuple[Path, float]]:
    """Writes the pieces of a recording; their files, and the duration of the speech in each."""
    for stretch in _stretches(file, config.sample_rate_hz):
        for samples, speech_s in _speech_pieces(stretch, config):
            # By its samples: copies are one piece, and the same recordings have the same pieces held out again.
            path = folder / f"{hashlib.sha256(samples.tobytes()).hexdigest()[:16]}.flac"
            audio_io.save(path, samples, config.sample_rate_hz)
            yield path, speech_s


def _stretches(file: Path, rate_hz: int) -> Iterator[Float[np.ndarray, " S"]]:
    """A recording in parts of `STRETCH_S` or a block more: memory does not grow with its length."""
    blocks: list[np.ndarray] = []
    for block in AudioReader(file).read_mono(rate_hz):
        blocks.append(block)
        if sum(map(len, blocks)) >= STRETCH_S * rate_hz:
            yield np.concatenate(blocks)
            blocks = []
    if blocks:
        yield np.concatenate(blocks)


def _speech_pieces(
    samples: Float[np.ndarray, " S"], config: AudioConfig
) -> Iterator[tuple[Float[np.ndarray, " s"], float]]:
    """The pieces of a stretch in which there is speech, and its duration in each."""
    if len(samples) < MIN_PIECE_SPEECH_S * config.sample_rate_hz:
        return
    filtered = highpass(samples, config)
    powers = frame_powers(frame_signal(filtered, config.window_samples, config.hop_samples)) / config.window_samples
    try:
        active = powers > loudness.active_threshold(powers)
    except AudioError:  # silence
        return
    # 16-bit files are to hold quiet recordings, too.
    samples = samples * np.float32(0.9 / np.abs(samples).max())
    for segment in cut_at_pauses(powers, active, len(samples), config, PIECE_S):
        piece = samples[segment.first : segment.end]
        if len(piece) < MIN_PIECE_SPEECH_S * config.sample_rate_hz:
            continue
        at_16_khz = audio_io.to_mono(piece, config.sample_rate_hz, speaker.SAMPLE_RATE_HZ)
        speech_s = len(speaker.trim_silences(at_16_khz)) / speaker.SAMPLE_RATE_HZ
        if speech_s >= MIN_PIECE_SPEECH_S:
            yield piece, speech_s


def _features(data_dir: Path, split: str) -> Iterator[Features]:
    for record in open_split(str(data_dir), DATASET, split, _FIELDS):
        embedding, gain = record["utterance_embedding"], float(record["level_gain"])
        yield Features(from_pcm(record["audio"]), record["mel"], record["f0_hz"], embedding, gain)
