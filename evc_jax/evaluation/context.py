"""What the sections of an evaluation share: the speech, the scorer, conversions, and what is measured and kept."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from evc_jax.audio import io as audio_io
from evc_jax.audio.io import from_pcm
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import OPTIONS, ConversionOptions, options_from
from evc_jax.errors import ConfigError
from evc_jax.evaluation import judges
from evc_jax.evaluation.metrics import Record
from evc_jax.evaluation.report import FIGURES
from evc_jax.evaluation.scoring import Row, Sample, Scorer
from evc_jax.evaluation.settings import EvaluationSettings
from evc_jax.evaluation.speech import HEADLINE, NEUTRAL, Speech
from evc_jax.evaluation.store import Store
from evc_jax.features.extract import Features
from evc_jax.files import atomic_file
from evc_jax.pretrained.speakers import SPEAKERS_FILE
from evc_jax.vocoders.griffin_lim import griffin_lim

VERSION = 1  # of what is measured; another one measures anew
SOUND = "sound"
STORE = "measured"
PLAYED = 2  # sources whose recordings are kept for the page, of different speakers
RENDERING = "rendering"


class Context:
    """One evaluation under way."""

    def __init__(self, converter: Converter, settings: EvaluationSettings, progress: bool):
        """Reads the speech; raises DataError where there is none to judge, ConfigError where rates differ."""
        self.converter, self.settings, self._progress = converter, settings, progress
        speech = Speech.open(settings.data_dir, settings.datasets, settings.split)
        if speech.config != converter.bundle.audio:
            raise ConfigError(
                f"The datasets {settings.datasets} have other audio settings than the bundle; prepare them again."
            )
        if settings.quick:
            kept = {NEUTRAL, *HEADLINE}
            speech = Speech(speech.config, [r for r in speech.training if r["emotion"] in kept], speech.judged)
        self.speech, self.config = speech, speech.config
        self.sources = speech.sources(settings.recordings)
        self.strengths = settings.strengths
        self._features: dict[str, Features] = {}
        for folder in (SOUND, STORE):
            (settings.output / folder).mkdir(parents=True, exist_ok=True)
        self.store = Store(settings.output / STORE, self._fingerprint())
        first = {source["speaker"]: source["utterance_id"] for source in reversed(self.sources)}
        self._played = set(list(first.values())[::-1][:PLAYED])

    @functools.cached_property
    def scorer(self) -> Scorer:
        """Trained when a section first needs it."""
        folder = self.settings.output / STORE
        return Scorer(self.speech, folder, functools.partial(self.bar, name="recogniser"))

    @property
    def emotions(self) -> tuple[str, ...]:
        """Those that are converted: the bundle's that the judged speakers have; the headline's come first."""
        found = [e for e in self.speech.emotions() if e in self.converter.emotions]
        return tuple(e for e in found if e in HEADLINE or not self.settings.quick)

    @property
    def renderings(self) -> tuple[str, ...]:
        """The choices of the option `rendering` beside the one that is measured; none where there is no such option."""
        options = {option.name: option for option in OPTIONS}
        if RENDERING not in options:
            return ()
        used = self.settings.options.get(RENDERING) or getattr(self.converter.bundle, "default_rendering", None)
        return tuple(choice for choice in options[RENDERING].choices if choice != used)

    def bar(self, items: Iterable, name: str) -> Iterable:
        """The items, with a progress bar of that name."""
        return tqdm(items, desc=name, leave=False, disable=not self._progress, file=sys.stderr)

    def convert(self, source: Record, **options: Any) -> Float[np.ndarray, " S"]:
        """The converted samples of a source; the evaluation's own options hold as well."""
        requested: ConversionOptions = options_from({**self.settings.options, **options})
        return self.converter.convert_features(self.features(source), requested).audio

    def features(self, source: Record) -> Features:
        """The converter's features of a record."""
        key = source["utterance_id"]
        if key not in self._features:
            self._features[key] = self.converter.extract(from_pcm(source["audio"]), self.config.sample_rate_hz)
        return self._features[key]

    def griffin_lim_copy(self, source: Record) -> Float[np.ndarray, " S"]:
        """The source's own mel-spectrogram through Griffin-Lim."""
        return griffin_lim(source["mel"], self.config, length=len(source["audio"]))

    def scored(
        self, system: str, requests: Sequence[tuple[Record, str]], make: Callable[[Record, str], Sample]
    ) -> list[Row]:
        """Rows of a system, one per source and emotion; those that are known are neither made nor measured again."""
        rows = []
        for source, emotion in self.bar(requests, system):
            key = "|".join((system, source["dataset"], source["utterance_id"], emotion))
            file = self.sound_file(system, source, emotion)

            def measure(source: Record = source, emotion: str = emotion, file: str = file) -> Row:
                sample = make(source, emotion)
                if source["utterance_id"] in self._played:
                    self.save_sound(file, sample.audio)
                return self.scorer.measure(sample)

            rows.append({**self.store.get(key, measure), "sound": file})
        return rows

    def sound_file(self, system: str, source: Record, emotion: str) -> str:
        """Where the recording of a row is kept, below the page's folder."""
        name = f"{system} {source['speaker']} {Path(source['utterance_id']).name} {emotion}"
        return f"{SOUND}/{''.join(c if c.isalnum() or c in '.-' else '_' for c in name)}.flac"

    def save_sound(self, file: str, audio: Float[np.ndarray, " S"]) -> None:
        """Keeps a recording for the page."""
        audio_io.save(self.settings.output / file, audio, self.config.sample_rate_hz)

    def was_kept(self, file: str) -> bool:
        """Whether a recording is there to be played."""
        return (self.settings.output / file).exists()

    def picture(self, name: str) -> Path:
        """Where a picture goes."""
        return self.settings.output / name

    def _fingerprint(self) -> str:
        """Changes with the bundle, the data, the options and the judges."""
        settings = self.settings
        digest = hashlib.sha256(repr((VERSION, sorted(settings.options.items()), settings.quick)).encode())
        digest.update(repr([judge.module for judge in judges.missing()]).encode())
        for record in (*self.speech.training, *self.speech.judged):
            digest.update(record["utterance_id"].encode())
        folder = Path(self.converter.bundle.path)
        # Figures that were published with the bundle, and its training speakers, do not change what is measured.
        without = (FIGURES, SPEAKERS_FILE)
        for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in without):
            digest.update(str(file.relative_to(folder)).encode() + file.read_bytes())
        return digest.hexdigest()[:16]


def write_whole(path: Path, text: str) -> None:
    """Writes a text file, which appears whole."""
    with atomic_file(path) as beside:
        beside.write_text(text, encoding="utf-8")
