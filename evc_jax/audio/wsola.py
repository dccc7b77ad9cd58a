"""A recording on another clock, with the pitch and the timbre it has.

Source: waveform similarity overlap-add (Verhelst and Roelands 1993).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evc_jax.audio.mel import hann_window, overlap_add

PIECE_S = 0.02
# A piece may be taken so much earlier or later, where it continues the piece before it best.
SEARCH_S = 0.008


def warp_sound(
    sound: Float[np.ndarray, " S"], centres: Float[np.ndarray, " N"], hop: int, samples: int, rate_hz: int
) -> Float[np.ndarray, " S2"]:
    """Overlapping pieces of a recording, each from about where it is wanted.

    Where the wanted clock is the recording's own, the recording comes out unchanged.

    Args:
      sound: the recording.
      centres: the sample of it that is wanted at every `hop`th sample of the output.
      hop: of the centres.
      samples: length of the output.
      rate_hz: of both.
    """
    step = round(PIECE_S * rate_hz / 2)
    piece, reach = 2 * step, round(SEARCH_S * rate_hz)
    count = -(-samples // step) + 1
    wanted = np.interp(np.arange(count) * step, np.arange(len(centres)) * hop, centres)
    margin = piece + reach + step
    # Reflected, so that a piece at the recording's ends is sound as well.
    padded = np.pad(sound, margin, mode="symmetric" if len(sound) else "constant")
    starts = (np.clip(np.rint(wanted), 0, len(sound) - 1).astype(int) + margin - step).tolist()
    pieces = np.empty((count, piece), np.float32)
    before = None
    for i, start in enumerate(starts):
        if before is not None:
            natural = before + step
            if abs(natural - start) > 1:  # else the recording's own continuation
                start += _best_offset(padded, natural, start, piece, reach)
            else:
                start = natural
        before = min(max(start, 0), len(padded) - piece - step)
        pieces[i] = padded[before : before + piece]
    return overlap_add(pieces * hann_window(piece), step)[step : step + samples]


def _best_offset(sound: np.ndarray, natural: int, start: int, piece: int, reach: int) -> int:
    """Where from -reach to reach beside `start` the sound is most like that at `natural`."""
    first = max(0, start - reach)
    candidates = sound[first : start + reach + piece].astype(np.float64)
    template = sound[natural : natural + piece]
    energies = np.convolve(np.square(candidates), np.ones(len(template)), "valid")
    likeness = np.correlate(candidates, template, "valid") / np.sqrt(np.maximum(energies, 1e-12))
    return int(likeness.argmax()) + first - start
