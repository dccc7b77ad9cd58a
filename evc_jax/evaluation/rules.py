"""The rules: an emotion as a page of statistics, applied with WORLD. A learned conversion must beat them.

Of each training speaker the takes in an emotion are compared with the same speaker's neutral ones; the rule is the
median over the speakers of a dataset. Takes of the stronger intensity count where the corpus has intensities.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm
from evc_jax.audio.mel import mel_filters
from evc_jax.evaluation.metrics import Record
from evc_jax.evaluation.speech import NEUTRAL, by_speaker, strong_takes
from evc_jax.evaluation.takes import speech_frames
from evc_jax.evaluation.world import WorldAnalysis
from evc_jax.features.f0_codes import MIN_VOICED_FRAMES
from evc_jax.files import ASSETS, atomic_file

# The rules of RAVDESS and EmoDB: save_rules(learn_rules(speech.training, speech.config)), where `speech` is
# Speech.open("datasets", "ravdess,emodb").
EMBEDDED_RULES = ASSETS / "rules.json"
SPECTRUM_CEPSTRA = 12
LARGEST_CHANGE_DB = 18.0
FADE_FRAMES = 5


@dataclass(frozen=True, eq=False)
class Rule:
    """What an emotion changes.

    Attributes:
      shift: of the mean log-F0.
      width: factor of log-F0's deviation from its mean.
      length: factor of the speech's duration.
      spectrum_db: change of the voiced frames' mean log-mel, smoothed; its mean is the change of level.
    """

    shift: float
    width: float
    length: float
    spectrum_db: Float[np.ndarray, " F"]

    @property
    def semitones(self) -> float:
        """The shift in semitones."""
        return 12 * self.shift / float(np.log(2))

    def at(self, strength: float) -> Rule:
        """The rule at another strength; 0 changes nothing."""
        return Rule(strength * self.shift, self.width**strength, self.length**strength, strength * self.spectrum_db)


Rules = Mapping[tuple[str, str], Rule]  # by dataset and emotion


def learn_rules(training: Sequence[Record], config: AudioConfig) -> Rules:
    """The rules of every dataset and emotion that at least one speaker has recorded beside neutral."""
    rules: dict[tuple[str, str], Rule] = {}
    for dataset in dict.fromkeys(record["dataset"] for record in training):
        found: dict[str, list[Rule]] = {}
        for records in by_speaker([r for r in training if r["dataset"] == dataset]).values():
            neutral = _described([r for r in records if r["emotion"] == NEUTRAL], config)
            for emotion in {r["emotion"] for r in records} - {NEUTRAL}:
                takes = _described(strong_takes([r for r in records if r["emotion"] == emotion]), config)
                if neutral and takes:
                    found.setdefault(emotion, []).append(_compare(neutral, takes))
        for emotion, each in sorted(found.items()):
            shift, width, length = (
                float(np.median([getattr(r, name) for r in each])) for name in ("shift", "width", "length")
            )
            spectrum_db = _smooth(np.median([r.spectrum_db for r in each], axis=0))
            rules[dataset, emotion] = Rule(shift, width, length, spectrum_db)
    return rules


def save_rules(rules: Rules, path: str | os.PathLike = EMBEDDED_RULES) -> None:
    """Writes rules as JSON, by dataset and emotion; numbers are rounded to 0.001, decibels to 0.1."""
    table: dict[str, dict[str, dict]] = {}
    for (dataset, emotion), rule in rules.items():
        stored = {name: round(getattr(rule, name), 3) for name in ("shift", "width", "length")}
        stored["spectrum_db"] = rule.spectrum_db.astype(float).round(1).tolist()
        table.setdefault(dataset, {})[emotion] = stored
    with atomic_file(path) as beside:
        beside.write_text(json.dumps(table) + "\n", encoding="utf-8")


def load_rules(path: str | os.PathLike = EMBEDDED_RULES) -> Rules:
    """The rules that `save_rules` wrote."""
    table = json.loads(Path(path).read_text(encoding="utf-8"))
    return {
        (dataset, emotion): Rule(**{**stored, "spectrum_db": np.array(stored["spectrum_db"])})
        for dataset, emotions in table.items()
        for emotion, stored in emotions.items()
    }


def apply_rule(record: Record, rule: Rule, config: AudioConfig) -> Float[np.ndarray, " S"]:
    """A recording changed by a rule; of the record its `audio` and `f0_hz` count."""
    analysis = WorldAnalysis.of(from_pcm(record["audio"]), record["f0_hz"], config)
    voiced = analysis.f0_hz > 0
    log_f0 = np.log(np.where(voiced, analysis.f0_hz, 1.0))
    mean = log_f0[voiced].mean() if voiced.any() else 0.0
    f0_hz = np.where(voiced, np.exp(mean + rule.shift + rule.width * (log_f0 - mean)), 0)
    gain_db = _bands_to_bins(np.clip(rule.spectrum_db, -LARGEST_CHANGE_DB, LARGEST_CHANGE_DB), config)
    # Unvoiced frames keep their spectrum; the change fades in between.
    weight = np.convolve(voiced, np.full(FADE_FRAMES, 1 / FADE_FRAMES), "same")
    envelope = analysis.envelope * 10 ** (weight[:, None] * gain_db / 10)
    changed = dataclasses.replace(analysis, f0_hz=f0_hz, envelope=envelope)
    return _stretched(changed, rule.length).synthesise()


def world_copy(record: Record, config: AudioConfig) -> Float[np.ndarray, " S"]:
    """Analysis and synthesis of a recording of a dataset, with nothing changed."""
    return WorldAnalysis.of(from_pcm(record["audio"]), record["f0_hz"], config).synthesise()


@dataclass(frozen=True, eq=False)
class _Take:
    """A recording: its sentence, log-F0 of its voiced frames, length in frames, and their mean spectrum in dB."""

    text_id: str
    log_f0: np.ndarray
    frames: int
    spectrum_db: np.ndarray


def _described(records: Sequence[Record], config: AudioConfig) -> list[_Take]:
    takes = []
    for record in records:
        voiced = record["f0_hz"] > 0
        if voiced.sum() >= MIN_VOICED_FRAMES:
            spectrum_db = config.range_db * record["mel"][voiced].mean(axis=0)
            frames = speech_frames(record["mel"], config)
            takes.append(_Take(record["text_id"], np.log(record["f0_hz"][voiced]), frames, spectrum_db))
    return takes


def _compare(neutral: Sequence[_Take], takes: Sequence[_Take]) -> Rule:
    before, after = (np.concatenate([take.log_f0 for take in members]) for members in (neutral, takes))
    # Durations are of the same sentences, where the corpus is parallel.
    ratios = []
    for text in {take.text_id for take in neutral} & {take.text_id for take in takes}:
        pair = (np.mean([t.frames for t in members if t.text_id == text]) for members in (takes, neutral))
        ratios.append(next(pair) / next(pair))
    spectra_db = (np.mean([take.spectrum_db for take in members], axis=0) for members in (takes, neutral))
    return Rule(
        shift=float(after.mean() - before.mean()),
        width=float(after.std() / max(before.std(), 1e-3)),
        length=float(np.exp(np.mean(np.log(ratios)))) if ratios else 1.0,
        spectrum_db=next(spectra_db) - next(spectra_db),
    )


def _smooth(spectrum_db: np.ndarray) -> np.ndarray:
    """The lowest cepstra of a change over mel bands."""
    from scipy import fft

    cepstra = fft.dct(spectrum_db, norm="ortho")
    cepstra[SPECTRUM_CEPSTRA:] = 0
    return fft.idct(cepstra, norm="ortho")


def _bands_to_bins(bands_db: np.ndarray, config: AudioConfig) -> np.ndarray:
    """A change of mel bands at the bins of WORLD's envelope, which are those of the config's window."""
    peaks = mel_filters(config).argmax(axis=1)
    return np.interp(np.arange(config.window_samples // 2 + 1), peaks, bands_db)


def _stretched(analysis: WorldAnalysis, factor: float) -> WorldAnalysis:
    """Every frame `factor` times as long."""
    frames = len(analysis.f0_hz)
    positions = np.linspace(0, frames - 1, max(2, round(frames * factor)))
    lower = np.minimum(positions.astype(int), frames - 2)
    fraction = (positions - lower)[:, None]
    nearest = np.round(positions).astype(int)
    f0_hz, envelope, aperiodicity = analysis.f0_hz, analysis.envelope, analysis.aperiodicity
    both = (f0_hz[lower] > 0) & (f0_hz[lower + 1] > 0)
    between = (1 - fraction[:, 0]) * f0_hz[lower] + fraction[:, 0] * f0_hz[lower + 1]
    return dataclasses.replace(
        analysis,
        f0_hz=np.where(both, between, f0_hz[nearest]),
        envelope=np.exp((1 - fraction) * np.log(envelope[lower]) + fraction * np.log(envelope[lower + 1])),
        aperiodicity=aperiodicity[nearest],
    )
