"""A recogniser of emotions that is part of the evaluation: trained on real speech when the evaluation runs.

Its functionals are relative to the speaker's own neutral recordings, and no network here is trained against them. There
is one for each dataset, as corpora act emotions differently; the classifier is chosen by leaving training speakers out.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm
from evc_jax.errors import DataError
from evc_jax.evaluation.functionals import functionals
from evc_jax.evaluation.judges import require_recogniser
from evc_jax.evaluation.metrics import Record
from evc_jax.evaluation.speech import HEADLINE, NEUTRAL, Speech
from evc_jax.files import atomic_file

FOLDS = 6
LARGEST_DEVIATION = 8.0  # of neutral takes; what lies beyond is an outlier
VERSION = 1  # of the functionals, for their cache

Vector = Float[np.ndarray, " D"]


@dataclass(frozen=True)
class Recognition:
    """What one recording is recognised as.

    Attributes:
      of_four: one of neutral, happy, sad and angry.
      of_all: one of all the emotions of the dataset.
      certainty: of the emotion that was asked for among the four, or among all where it is none of these, from 0 to 1.
    """

    of_four: str
    of_all: str
    certainty: float


@dataclass(frozen=True, eq=False)
class _Classifier:
    classes: tuple[str, ...]
    model: Any
    name: str
    recall: float  # mean over classes, of training speakers that were left out

    def scores(self, deviation: Vector) -> dict[str, float]:
        """Per class a number from 0 to 1; together 1."""
        decisions = np.atleast_1d(self.model.decision_function(deviation[None])[0])
        weights = np.exp(decisions - decisions.max())
        return dict(zip(self.classes, (weights / weights.sum()).tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Recogniser:
    """Recognisers of the datasets of some speech.

    Attributes:
      four: by dataset, of neutral, happy, sad and angry.
      every: by dataset, of all emotions.
      scale: pooled deviation of a speaker's neutral functionals.
      neutral: by speaker, mean functionals of real neutral recordings.
      config: of the recordings.
    """

    four: Mapping[str, _Classifier]
    every: Mapping[str, _Classifier]
    scale: Vector
    neutral: Mapping[str, Vector]
    config: AudioConfig

    @classmethod
    def train(
        cls, speech: Speech, cache: str | os.PathLike | None = None, progress: Callable[[Iterable], Iterable] = iter
    ) -> Recogniser:
        """Trains on `speech.training`; of the judged speakers only neutral recordings are used, as their baseline.

        Args:
          speech: with recordings of at least two training speakers of each dataset.
          cache: folder for functionals of recordings, which take 30 ms each; None keeps none.
          progress: is given the recordings and yields them.

        Raises:
          ConfigError: scikit-learn is not installed.
          DataError: a dataset has too few speakers with neutral recordings to train on.
        """
        require_recogniser()
        judged = [record for record in speech.judged if record["emotion"] == NEUTRAL]
        records = [*speech.training, *judged]
        values = _cached_functionals(records, speech.config, cache, progress)
        neutral = _neutral_means(records, values)
        deviations = [
            value - neutral[record["speaker"]]
            for record, value in zip(speech.training, values)
            if record["emotion"] == NEUTRAL
        ]
        if not deviations:
            raise DataError("No training speaker has neutral recordings; give datasets with acted emotions.")
        scale = np.sqrt(np.mean(np.square(deviations), axis=0)) + 1e-6
        four, every = {}, {}
        for dataset in dict.fromkeys(record["dataset"] for record in speech.training):
            rows = [
                i
                for i, record in enumerate(speech.training)
                if record["dataset"] == dataset and record["speaker"] in neutral
            ]
            chosen = [speech.training[i] for i in rows]
            relative = [_relative(values[i], neutral[speech.training[i]["speaker"]], scale) for i in rows]
            every[dataset] = _fit(chosen, relative, None, dataset)
            four[dataset] = _fit(chosen, relative, (NEUTRAL, *HEADLINE), dataset)
        return cls(four, every, scale, neutral, speech.config)

    def recognise(
        self, audio: Float[np.ndarray, " S"], f0_hz: Float[np.ndarray, " T"], source: Record, emotion: str
    ) -> Recognition:
        """Recognises a recording of a judged speaker.

        Args:
          audio: at the config's rate and level (see `features.extract`).
          f0_hz: of it, at the config's frames.
          source: a record of the speaker and the dataset.
          emotion: that was asked for.
        """
        _, values = functionals(audio, f0_hz, self.config)
        deviation = _relative(values, self.neutral[source["speaker"]], self.scale)
        four = self.four[source["dataset"]].scores(deviation)
        every = self.every[source["dataset"]].scores(deviation)
        certainty = four.get(emotion, every.get(emotion, float("nan")))
        return Recognition(max(four, key=four.__getitem__), max(every, key=every.__getitem__), certainty)


def _relative(values: Vector, neutral: Vector, scale: Vector) -> Vector:
    return np.clip((values - neutral) / scale, -LARGEST_DEVIATION, LARGEST_DEVIATION)


def _neutral_means(records: Sequence[Record], values: Float[np.ndarray, "N D"]) -> dict[str, Vector]:
    found: dict[str, list[Vector]] = {}
    for record, value in zip(records, values, strict=True):
        if record["emotion"] == NEUTRAL:
            found.setdefault(record["speaker"], []).append(value)
    return {speaker: np.mean(each, axis=0) for speaker, each in found.items()}


def _candidates() -> Mapping[str, Callable[[], Any]]:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    def machine(cost: float) -> Any:
        width = {"gamma": 0.004, "C": cost, "class_weight": "balanced", "decision_function_shape": "ovr"}
        return make_pipeline(StandardScaler(), SVC(**width))

    machines = {f"support vectors, C={c:g}": functools.partial(machine, c) for c in (1.0, 3.0, 10.0)}
    linear = {
        f"discriminants, shrinkage {s:g}": functools.partial(LinearDiscriminantAnalysis, solver="lsqr", shrinkage=s)
        for s in (0.1, 0.3)
    }
    return {**machines, **linear}


def _fit(
    records: Sequence[Record], relative: Sequence[Vector], classes: Sequence[str] | None, dataset: str
) -> _Classifier:
    """The candidate with the best mean recall of speakers that are left out, fitted to all."""
    from sklearn.model_selection import GroupKFold

    rows = [i for i, record in enumerate(records) if classes is None or record["emotion"] in classes]
    x = np.array([relative[i] for i in rows])
    labels = np.array([records[i]["emotion"] for i in rows])
    speakers = np.array([records[i]["speaker"] for i in rows])
    folds = min(FOLDS, len(set(speakers)))
    if folds < 2 or len(set(labels)) < 3:
        raise DataError(
            f"The training split of {dataset} has too few speakers or emotions to train a recogniser on; give a larger "
            "dataset with acted emotions."
        )
    results = {}
    for name, make in _candidates().items():
        predicted = np.empty_like(labels)
        for train, held_out in GroupKFold(folds).split(x, labels, speakers):
            predicted[held_out] = make().fit(x[train], labels[train]).predict(x[held_out])
        results[name] = np.mean([(predicted[labels == label] == label).mean() for label in set(labels)])
    best = max(results, key=results.__getitem__)
    model = _candidates()[best]().fit(x, labels)
    return _Classifier(tuple(model.classes_.tolist()), model, best, float(results[best]))


def _cached_functionals(
    records: Sequence[Record], config: AudioConfig, cache: str | os.PathLike | None, progress: Callable
) -> Float[np.ndarray, "N D"]:
    """The functionals of each record; those that the file in `cache` lacks are added to it."""
    file = None if cache is None else Path(cache) / "functionals.npz"
    known: dict[str, np.ndarray] = {}
    if file is not None and file.exists():
        with np.load(file) as stored:
            known = dict(zip(stored["keys"].tolist(), stored["values"]))
    keys = [_key(record, config) for record in records]
    new = {key: record for key, record in zip(keys, records) if key not in known}
    for key, record in progress(list(new.items())):
        known[key] = functionals(from_pcm(record["audio"]), record["f0_hz"], config)[1]
    if file is not None and new:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as beside, open(beside, "wb") as stream:
            np.savez(stream, keys=np.array(list(known)), values=np.stack(list(known.values())))
    return np.stack([known[key] for key in keys])


def _key(record: Record, config: AudioConfig) -> str:
    digest = hashlib.sha256(repr((VERSION, config)).encode())
    digest.update(record["audio"].tobytes() + record["f0_hz"].tobytes())
    return digest.hexdigest()[:32]
