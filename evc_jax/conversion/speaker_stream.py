"""The speaker embedding of a recording that comes in blocks: `speaker.embed` in bounded memory."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evc_jax.conversion.blocks import Framer
from evc_jax.features import speaker
from evc_jax.features.speaker import MEL_HOP_SAMPLES, MEL_WINDOW_SAMPLES, PARTIAL_FRAMES, VAD_WINDOW_SAMPLES

_BEFORE = (speaker.VAD_SMOOTHING_WINDOWS - 1) // 2 + speaker.VAD_MAX_SILENCE_WINDOWS // 2
_AFTER = speaker.VAD_SMOOTHING_WINDOWS // 2 + speaker.VAD_MAX_SILENCE_WINDOWS // 2


class SpeechTrimmer:
    """`speaker.trim_silences` as a stage (see `blocks.py`)."""

    def __init__(self):
        self._detector = speaker.SpeechDetector()
        self._held = np.zeros(0, np.float32)  # sound of windows that are not decided
        self._speech = np.zeros(0, bool)  # the detector's word on them, after that on `_lead` earlier ones
        self._lead = 0

    def __call__(self, block: Float[np.ndarray, " s"], last: bool) -> Float[np.ndarray, " r"]:
        """Takes a block at 16 kHz; returns the speech that is decided."""
        self._held = np.concatenate([self._held, block])
        heard = len(self._speech) - self._lead
        whole = len(self._held) // VAD_WINDOW_SAMPLES
        unheard = self._held[heard * VAD_WINDOW_SAMPLES : whole * VAD_WINDOW_SAMPLES]
        self._speech = np.concatenate([self._speech, self._detector(unheard)])
        decided = whole if last else max(0, whole - _AFTER)
        kept = speaker.smooth(self._speech)[self._lead : self._lead + decided]
        speech = self._held[: decided * VAD_WINDOW_SAMPLES][np.repeat(kept, VAD_WINDOW_SAMPLES)]
        self._held = self._held[decided * VAD_WINDOW_SAMPLES :]
        lead = min(self._lead + decided, _BEFORE)
        self._speech = self._speech[self._lead + decided - lead :]
        self._lead = lead
        return speech


class PartialEncoder:
    """Sums the embeddings of speech's partial utterances as the speech comes in."""

    def __init__(self):
        self._framer = Framer(MEL_WINDOW_SAMPLES, MEL_HOP_SAMPLES, "constant")
        self._mel = np.zeros((0, speaker.MEL_BANDS), np.float32)
        self._first = 0  # the mel frame that `_mel` begins with
        self._sum = np.zeros(speaker.EMBEDDING_DIM)
        self._encoded = 0
        self.samples = 0

    def add(self, speech: Float[np.ndarray, " s"]) -> None:
        """Takes speech at 16 kHz, as loud as `speaker.preprocess` makes it."""
        self.samples += len(speech)
        self._take(speech, False)
        self._encode((self._first + len(self._mel) - PARTIAL_FRAMES) // speaker.PARTIAL_STEP_FRAMES + 1)

    def embedding(self) -> Float[np.ndarray, " E"]:
        """That of all speech so far, which ends here."""
        starts = speaker.partial_starts(self.samples)
        missing = (starts[-1] + PARTIAL_FRAMES) * MEL_HOP_SAMPLES - self.samples
        self._take(np.zeros(max(missing, 0), np.float32), True)
        self._encode(len(starts))
        return speaker.embed_speaker([self._sum / self._encoded])

    def _take(self, speech: np.ndarray, last: bool) -> None:
        frames = self._framer(speech, last)
        if len(frames):
            self._mel = np.concatenate([self._mel, speaker.power_mel_of_frames(frames)])

    def _encode(self, partials: int) -> None:
        """Adds the partial utterances up to that number, in batches of the size that one recording's have, too."""
        step = speaker.PARTIAL_STEP_FRAMES
        if partials > self._encoded:
            starts = [number * step - self._first for number in range(self._encoded, partials)]
            batch = np.stack([self._mel[start : start + PARTIAL_FRAMES] for start in starts])
            self._sum += speaker.encode(batch).sum(axis=0)
            self._encoded = partials
            passed = partials * step - self._first
            self._mel, self._first = self._mel[passed:], self._first + passed
