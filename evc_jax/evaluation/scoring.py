"""Scores of converted recordings: emotion, voice, words, sound, and distance to the actor's own take.

speech = Speech.open("datasets", "ravdess,emodb", split="validation")
scorer = Scorer(speech, cache="evaluation")
samples = [Sample(convert(source), source, "happy") for source in speech.sources()]
print(summary_table({"mine": scorer.score(samples), "rules": scorer.score(scorer.rule_samples(speech.sources()))}))
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio.io import from_pcm
from evc_jax.evaluation import judges
from evc_jax.evaluation.bootstrap import Estimate, estimate
from evc_jax.evaluation.metrics import Record, cosine
from evc_jax.evaluation.recogniser import Recogniser
from evc_jax.evaluation.rules import Rules, apply_rule, learn_rules, world_copy
from evc_jax.evaluation.speech import HEADLINE, NEUTRAL, Speech
from evc_jax.evaluation.tables import cell, markdown_table
from evc_jax.evaluation.takes import TakeDistance, take_distance
from evc_jax.features import speaker
from evc_jax.features.extract import Analysis, analyse

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Sample:
    """A recording to score.

    Attributes:
      audio: mono samples at the speech's rate, at any level.
      source: the record that it was made of.
      emotion: that was asked for; "neutral" where nothing was.
      utterance_id: of a real recording, which is no take to compare itself with.
    """

    audio: Float[np.ndarray, " S"]
    source: Record
    emotion: str
    utterance_id: str = ""


# What a row has of a number that can be averaged: its key, its heading, and how it is written.
MEASURES: tuple[tuple[str, str, str], ...] = (
    ("recall", "emotion recognised (happy, sad, angry)", ".2f"),
    ("recall_all", "recognised among all emotions", ".2f"),
    ("certainty", "certainty of the emotion", ".2f"),
    ("voice", "voice, cosine with the source", ".2f"),
    ("verifier", "by the second verifier", ".2f"),
    ("phoneme_errors", "phoneme errors", ".2f"),
    ("dnsmos", "DNSMOS", ".2f"),
    ("dnsmos_change", "against the source", "+.2f"),
    ("own_f0_semitones", "F0 from the own take, semitones", ".1f"),
    ("own_energy_db", "energy, dB", ".1f"),
    ("own_length", "length, log ratio", ".2f"),
    ("own_mel_cepstral_db", "mel cepstra, dB", ".1f"),
)


class Scorer:
    """Scores samples of judged speakers; trains its recogniser and learns the rules when it is made."""

    def __init__(
        self,
        speech: Speech,
        cache: str | os.PathLike | None = None,
        progress: Callable[[Iterable], Iterable] = iter,
        with_judges: bool = True,
    ):
        """`cache` and `progress` are those of `Recogniser.train`; without judges DNSMOS, words and verifier are NaN."""
        self.speech, self.config, self.with_judges = speech, speech.config, with_judges
        self.recogniser = Recogniser.train(speech, cache, progress)
        self.rules: Rules = learn_rules(speech.training, speech.config)
        self._of_sources: dict[str, Row] = {}

    def score(self, samples: Sequence[Sample], progress: Callable[[Iterable], Iterable] = iter) -> list[Row]:
        """A row per sample: `MEASURES`, NaN where one does not apply, and what it is a measure of."""
        return [self.measure(sample) for sample in progress(samples)]

    def measure(self, sample: Sample) -> Row:
        """The row of one sample."""
        source, asked = sample.source, sample.emotion
        analysis = analyse(sample.audio, self.config.sample_rate_hz, self.config)
        recognised = self.recogniser.recognise(analysis.audio, analysis.f0_hz, source, asked)
        row: Row = {name: source[name] for name in ("speaker", "dataset", "text_id")}
        row |= {"source": source["utterance_id"], "emotion": asked}
        row |= {"of_four": recognised.of_four, "of_all": recognised.of_all, "certainty": recognised.certainty}
        row["recall"] = float(recognised.of_four == asked) if asked in HEADLINE else float("nan")
        row["recall_all"] = float(recognised.of_all == asked) if asked != NEUTRAL else float("nan")
        row["voice"] = cosine(speaker.embed(analysis.audio), self._of_source(source)["embedding"])
        row |= self._judged(analysis.audio, source)
        return row | self._own_distance(analysis, sample)

    def _judged(self, audio: Float[np.ndarray, " S"], source: Record) -> Row:
        nothing = dict.fromkeys(("verifier", "phoneme_errors", "dnsmos", "dnsmos_change"), float("nan"))
        if not self.with_judges:
            return nothing
        of_source = self._of_source(source)
        verifier, rating = judges.verifier_embedding(audio), judges.dnsmos(audio)
        if verifier is not None and of_source["verifier"] is not None:
            nothing["verifier"] = cosine(verifier, of_source["verifier"])
        return nothing | {
            "phoneme_errors": judges.phoneme_errors(of_source["phonemes"], judges.phonemes(audio)),
            "dnsmos": rating,
            "dnsmos_change": rating - of_source["dnsmos"],
        }

    def _of_source(self, source: Record) -> Row:
        """What the judges find in the source, once."""
        key = source["utterance_id"]
        if key not in self._of_sources:
            # Embedded at the samples' level: an embedding depends on it, and the dataset's is of the original one.
            analysis = analyse(from_pcm(source["audio"]), self.config.sample_rate_hz, self.config)
            found: Row = {"embedding": speaker.embed(analysis.audio)}
            if self.with_judges:
                found["phonemes"], found["dnsmos"] = judges.phonemes(analysis.audio), judges.dnsmos(analysis.audio)
                found["verifier"] = judges.verifier_embedding(analysis.audio)
            self._of_sources[key] = found
        return self._of_sources[key]

    def _own_distance(self, analysis: Analysis, sample: Sample) -> Row:
        """Mean distance to the speaker's own takes of the sentence in the emotion, without the sample itself."""
        takes = [
            take
            for take in self.speech.own_takes(sample.source["speaker"], sample.source["text_id"], sample.emotion)
            if take["utterance_id"] != (sample.utterance_id or sample.source["utterance_id"])
        ]
        names = [field.name for field in dataclasses.fields(TakeDistance)]
        distances = [
            dataclasses.astuple(take_distance(analysis.mel, analysis.f0_hz, take["mel"], take["f0_hz"], self.config))
            for take in takes
        ]
        means = np.mean(distances, axis=0).tolist() if distances else [float("nan")] * len(names)
        return {f"own_{name}": value for name, value in zip(names, means, strict=True)}

    def unchanged_samples(self, sources: Sequence[Record], emotions: Sequence[str] = HEADLINE) -> list[Sample]:
        """The sources as they are, as if they were conversions to each emotion."""
        return [Sample(from_pcm(s["audio"]), s, e) for s, e in self._asked(sources, emotions)]

    def rule_samples(
        self, sources: Sequence[Record], emotions: Sequence[str] = HEADLINE, strength: float = 1.0
    ) -> list[Sample]:
        """The sources converted by the rules, to each emotion that their dataset has a rule for."""
        return [
            Sample(apply_rule(s, self.rules[s["dataset"], e].at(strength), self.config), s, e)
            for s, e in self._asked(sources, emotions)
            if (s["dataset"], e) in self.rules
        ]

    def copy_samples(self, sources: Sequence[Record]) -> list[Sample]:
        """The sources through WORLD's analysis and synthesis."""
        return [Sample(world_copy(s, self.config), s, NEUTRAL) for s in sources]

    def real_samples(self, sources: Sequence[Record], emotions: Sequence[str] = HEADLINE) -> list[Sample]:
        """What the sources' speakers recorded of their sentences in each emotion, beside a neutral source."""
        first = {(s["speaker"], s["text_id"]): s for s in reversed(sources)}
        return [
            Sample(from_pcm(take["audio"]), source, emotion, take["utterance_id"])
            for (speaker_name, text_id), source in first.items()
            for emotion in emotions
            for take in self.speech.own_takes(speaker_name, text_id, emotion)
        ]

    def _asked(self, sources: Sequence[Record], emotions: Sequence[str]) -> list[tuple[Record, str]]:
        known = {dataset: self.speech.emotions(dataset) for dataset in {s["dataset"] for s in sources}}
        return [(source, emotion) for source in sources for emotion in emotions if emotion in known[source["dataset"]]]


def summarise(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Each measure's mean with its interval; recalls are means over the emotions, however often each was recorded."""
    speakers, labels = [row["speaker"] for row in rows], np.array([row["emotion"] for row in rows], dtype=str)
    result = {}
    for name, _, _ in MEASURES:
        values = np.array([row[name] for row in rows], float)
        weights = np.ones(len(rows))
        if name.startswith("recall"):
            for label in np.unique(labels):
                weights[labels == label] = 1 / max(1, np.isfinite(values[labels == label]).sum())
        result[name] = estimate(values, speakers, weights)
    return result


def summary_table(scores: Mapping[str, Sequence[Row]]) -> str:
    """A Markdown table: a line per name, "mean (low to high)" per measure that any has."""
    summaries = {name: summarise(rows) for name, rows in scores.items()}
    shown = [m for m in MEASURES if any(np.isfinite(s[m[0]].mean) for s in summaries.values())]
    lines = []
    for name, summary in summaries.items():
        cells = []
        for key, _, spec in shown:
            found = summary[key]
            known = f"{cell(found.mean, spec)} ({cell(found.low, spec)} to {cell(found.high, spec)})"
            cells.append(known if found.recordings else "-")
        lines.append([name, *cells])
    return markdown_table(["", *(heading for _, heading, _ in shown)], lines)
