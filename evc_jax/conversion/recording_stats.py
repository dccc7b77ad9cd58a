"""The samples of a long recording on disk, and the first pass over them: what all its segments share."""

from __future__ import annotations

import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from evc_jax.audio import loudness
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import AudioReader
from evc_jax.audio.mel import frame_powers, frame_signal, highpass
from evc_jax.audio.pauses import Segment, cut_at_pauses
from evc_jax.errors import AudioError
from evc_jax.features import extract as extraction
from evc_jax.features.extract import Features

EXCERPT_PIECE_S = 5.0
EXCERPT_PIECES = 24  # an excerpt of a long recording has at least half as many
STREAMED_PIECES = 8  # likewise, where somebody waits for the first segment


@dataclass(frozen=True, eq=False)
class RecordingStats:
    """What the segments of a recording share.

    Attributes:
      active: frames within `loudness.ACTIVE_RANGE_DB` of the loudest one.
      segments: they tile the recording.
      excerpt: features of evenly spread pieces, whose level and embedding are those of all segments.
    """

    active: Bool[np.ndarray, " T"]
    segments: list[Segment]
    excerpt: Features


def keep_samples(reader: AudioReader, rate_hz: int, folder: Path | None) -> io.IOBase:
    """The mono samples of a recording, on disk unless the recording is in memory."""
    try:
        is_file = isinstance(reader.source, str | os.PathLike)
        spool = tempfile.TemporaryFile(dir=folder) if is_file else io.BytesIO()  # noqa: SIM115
        for block in reader.read_mono(rate_hz):
            spool.write(block.tobytes())
        spool.flush()
    except OSError as error:
        place = folder or "the temporary folder"
        raise AudioError(f"samples cannot be kept in {place} ({error}); make room there or set TMPDIR.") from error
    return spool


def read_samples(spool: io.IOBase, first: int, end: int) -> Float[np.ndarray, " s"]:
    """Samples [first, end), as far as there are any."""
    spool.seek(4 * first)
    return np.frombuffer(spool.read(4 * (end - first)), np.float32)


def analyse(spool: io.IOBase, config: AudioConfig, segment_s: tuple[float, float] | None = None) -> RecordingStats:
    """What all segments of a recording share.

    Args:
      spool: its samples at the config's rate, float32 mono.
      config: what the features are.
      segment_s: shortest and longest segment, if not `audio.pauses.SEGMENT_S`; the excerpt is then short, too.

    Raises:
      AudioError: the recording is silent.
    """
    hop, samples = config.hop_samples, spool.seek(0, io.SEEK_END) // 4
    piece_frames = round(EXCERPT_PIECE_S * config.sample_rate_hz / hop)
    parts = []
    for first in range(0, samples, piece_frames * hop):
        filtered = highpass(read_samples(spool, first, first + piece_frames * hop), config)
        frames = frame_signal(filtered, config.window_samples, hop)
        parts.append((frame_powers(frames) / config.window_samples).astype(np.float32))
    powers = np.concatenate([*(part[:-1] for part in parts), parts[-1][-1:]])
    active = powers > loudness.active_threshold(powers)
    segments = cut_at_pauses(powers, active, samples, config, segment_s)
    # Evenly spread pieces make the excerpt: of each stretch the one with most speech.
    speech = [int(active[first : first + piece_frames].sum()) for first in range(0, samples // hop + 1, piece_frames)]
    stretch, pieces = 1, STREAMED_PIECES if segment_s else EXCERPT_PIECES
    while len(parts) // stretch >= pieces:
        stretch *= 2
    stretches = (range(first, min(first + stretch, len(parts))) for first in range(0, len(parts), stretch))
    chosen = [max(among, key=speech.__getitem__) for among in stretches]
    starts = [piece * piece_frames * hop for piece in chosen if speech[piece]]
    excerpt = np.concatenate([read_samples(spool, start, start + piece_frames * hop) for start in starts])
    features = extraction.extract(excerpt, config.sample_rate_hz, config)
    return RecordingStats(active, segments, features)
