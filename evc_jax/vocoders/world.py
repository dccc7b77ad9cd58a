"""A recording's voice with another F0 and on another clock, by WORLD; its formants stay where they are.

Source: WORLD (Morise et al. 2016), with CheapTrick (Morise 2015) and D4C (Morise 2016).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

PERIOD_S = 0.005  # between the frames
# Aperiodicity changes slowly and takes longest: it is measured at every so many frames, and interpolated.
APERIODICITY_STEP = 4
LOWEST_HZ, HIGHEST_HZ = 50.0, 1500.0  # of the output's F0
# Frames that are synthesized on both sides of a voiced stretch, and in which it is faded.
FADE_FRAMES = 2


def resynthesize(
    sound: Float[np.ndarray, " S"],
    times_s: Float[np.ndarray, " N"],
    from_hz: Float[np.ndarray, " N"],
    to_hz: Float[np.ndarray, " N"],
    voiced: Bool[np.ndarray, " N"],
    rate_hz: int,
) -> tuple[Float[np.ndarray, " S2"], Float[np.ndarray, " S2"]]:
    """The voiced stretches, each synthesized from envelope and aperiodicity at the given moments of a recording.

    Args:
      sound: the recording.
      times_s: the moment of it that each frame of the output is like; frames are `PERIOD_S` apart.
      from_hz: its F0 there, above 0 in every frame.
      to_hz: the wanted F0.
      voiced: which frames are voiced.
      rate_hz: of both sounds.

    Returns:
      (N - 1) * PERIOD_S of sound, and its share in the output: 1 where voiced, 0 where not, in between at the ends.
    """
    import pyworld

    hop = round(PERIOD_S * rate_hz)
    weights, out = _share(voiced), np.zeros((len(voiced) - 1) * hop, np.float32)
    share = np.interp(np.arange(len(out)) / hop, np.arange(len(voiced)), weights).astype(np.float32)
    edges = np.flatnonzero(np.diff(weights > 0, prepend=False, append=False))
    runs = [slice(max(0, first - 1), end + 1) for first, end in edges.reshape(-1, 2)]
    samples = sound.astype(np.float64)
    for run in runs:
        envelope, aperiodicity = _analyse(samples, times_s[run], from_hz[run], rate_hz)
        wanted_hz = np.clip(to_hz[run].astype(np.float64), LOWEST_HZ, HIGHEST_HZ)
        voice = pyworld.synthesize(wanted_hz, envelope, aperiodicity, rate_hz, 1000 * hop / rate_hz)
        place = slice(run.start * hop, min(len(out), run.start * hop + len(voice)))
        out[place] += share[place] * voice[: place.stop - place.start]
    return out, share


def _share(voiced: Bool[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """1 in voiced frames, falling to 0 within `FADE_FRAMES` beside them."""
    window = np.hanning(2 * FADE_FRAMES + 1)[1:-1]
    widened = np.convolve(voiced, np.ones(FADE_FRAMES + 1), "same") > 0
    return np.where(voiced, 1, np.convolve(widened, window / window.sum(), "same"))


def _analyse(
    samples: np.ndarray, times_s: np.ndarray, f0_hz: np.ndarray, rate_hz: int
) -> tuple[Float[np.ndarray, "n bins"], Float[np.ndarray, "n bins"]]:
    """Spectral envelope and aperiodicity at moments of a recording with a known F0."""
    import pyworld

    size = pyworld.get_cheaptrick_fft_size(rate_hz, LOWEST_HZ)
    times_s, f0_hz = times_s.astype(np.float64), f0_hz.astype(np.float64)
    envelope = pyworld.cheaptrick(samples, f0_hz, times_s, rate_hz, fft_size=size)
    frames = np.arange(len(f0_hz))
    known = np.append(frames[:-1:APERIODICITY_STEP], frames[-1])
    # Without a threshold: what is voiced has been decided.
    measured = pyworld.d4c(samples, f0_hz[known], times_s[known], rate_hz, threshold=0.0, fft_size=size)
    position = np.interp(frames, known, np.arange(len(known)))
    lower = np.minimum(position.astype(int), max(0, len(known) - 2))
    fraction = (position - lower)[:, None]
    upper = np.minimum(lower + 1, len(known) - 1)
    return envelope, (1 - fraction) * measured[lower] + fraction * measured[upper]
