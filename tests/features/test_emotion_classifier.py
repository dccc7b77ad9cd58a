"""The classifier of emotions: learnt from invented actors, kept in a bundle's description, and what is no speech."""

import base64
import functools
import json

import numpy as np
import pytest
from support.acted_speech import ACTED, acted_speech

from evc_jax.audio.config import AudioConfig
from evc_jax.errors import AudioError
from evc_jax.features.emotion_classifier import (
    LARGEST_STRENGTH,
    NEUTRAL,
    READ,
    EmotionClassifier,
    fit_emotion_classifier,
)
from evc_jax.features.emotion_statistics import STATISTICS, statistics
from evc_jax.features.register import Register

KNOWN = ("bored", *ACTED)
CONFIG = AudioConfig()
REGISTER = Register(np.zeros((257, 2)))


def measured(records):
    """Statistics of records, whose voices are all alike: their stand-ins tell nothing."""
    same = np.full(256, 1 / 16, np.float32)
    return np.stack([statistics(each["mel"], each["f0_hz"], same, REGISTER, CONFIG) for each in records])


def column(records, name):
    return [record[name] for record in records]


@functools.cache
def fitted():
    training = acted_speech().training
    return fit_emotion_classifier(measured(training), column(training, "emotion"), column(training, "speaker"), KNOWN)


def recall(classifier, records, values, neutral=None):
    found = [classifier.estimate(each, neutral).emotion for each in values]
    return np.mean([name == record["emotion"] for name, record in zip(found, records, strict=True)])


def test_the_emotions_of_an_actor_who_was_left_out():
    (classifier, expected), judged = fitted(), acted_speech().judged
    assert classifier.emotions == tuple(ACTED)  # nobody is bored
    assert expected > 0.9 and recall(classifier, judged, measured(judged)) > 0.9
    estimate = classifier.estimate(measured(judged)[0])
    assert sum(estimate.probabilities.values()) == pytest.approx(1)
    assert estimate.confidence == max(estimate.probabilities.values()) and estimate.ranking[0] == estimate.emotion


def test_neutral_recordings_of_the_speaker_tell_habit_from_emotion():
    classifier, judged = fitted()[0], acted_speech().judged
    habit = np.where(np.arange(STATISTICS) < 60, 1.5, 0) * classifier.scale
    values = measured(judged) + habit
    neutral = values[[record["emotion"] == NEUTRAL for record in judged]]
    assert recall(classifier, judged, values) < recall(classifier, judged, values, neutral)


def test_strength_is_one_as_actors_have_it_on_average_and_grows_with_what_differs_from_neutral():
    classifier, training = fitted()[0], acted_speech().training
    values, emotions = measured(training), np.array(column(training, "emotion"))
    neutral, angry = (values[emotions == name].mean(axis=0) for name in (NEUTRAL, "angry"))
    strengths = [classifier.estimate(neutral + share * (angry - neutral)).strength for share in (0.7, 1, 1.2)]
    assert strengths == sorted(strengths) and strengths[1] == pytest.approx(1, abs=0.1)
    assert 0 < strengths[0] < 0.9 and strengths[2] <= LARGEST_STRENGTH
    assert classifier.estimate(neutral).strength == 1


def test_read_speech_counts_as_neutral():
    training, judged = acted_speech().training, acted_speech().judged
    values, emotions = measured(training), column(training, "emotion")
    neutral = values[[name == NEUTRAL for name in emotions]]
    toward = values[[name == "angry" for name in emotions]].mean(axis=0) - neutral.mean(axis=0)
    read = neutral + 0.55 * toward
    classifiers = [
        fit_emotion_classifier(
            np.concatenate([values, more]),
            emotions + [READ] * len(more),
            column(training, "speaker") + ["reader"] * len(more),
            KNOWN,
        )[0]
        for more in (values[:0], read)
    ]
    without, with_read = ([each.estimate(row).probabilities[NEUTRAL] for row in read] for each in classifiers)
    assert np.mean(with_read) > np.mean(without) + 0.1
    assert recall(classifiers[1], judged, measured(judged)) > 0.8


def test_a_classifier_survives_its_bundle():
    classifier, values = fitted()[0], measured(acted_speech().judged)
    text = json.dumps(classifier.to_mapping())
    kept = EmotionClassifier.from_mapping(json.loads(text))
    assert len(text) < 12_000
    for each in values:
        ours, theirs = classifier.estimate(each), kept.estimate(each)
        assert theirs.emotion == ours.emotion and theirs.certain == ours.certain
        assert theirs.strength == pytest.approx(ours.strength, abs=0.01)


def _stored(**other):
    return {**fitted()[0].to_mapping(), **other}


@pytest.mark.parametrize(
    "change",
    [
        {"rows": ""},
        {"rows": "not base64!"},
        {"rows": base64.b64encode(bytes(2 * 7 * STATISTICS)).decode()},  # without a scale
        {"rows": base64.b64encode(np.full(7 * STATISTICS, np.nan, "<f2").tobytes()).decode()},
        {"constant": [1.0]},
        {"distance": "far"},
        {"emotions": ["a", "b", "c", "d"]},
        {"emotions": 3},
        {"certain_from": "often"},
    ],
)
def test_what_is_no_classifier(change):
    with pytest.raises((TypeError, ValueError, KeyError)):
        EmotionClassifier.from_mapping(_stored(**change))


def test_too_little_to_learn_from():
    training = acted_speech().training
    values, emotions = measured(training), column(training, "emotion")
    assert fit_emotion_classifier(values, emotions, ["a"] * len(values), KNOWN) is None
    assert fit_emotion_classifier(values, emotions, column(training, "speaker"), ("happy", "sad")) is None


def test_what_is_not_spoken_has_no_emotion():
    mel, silent, embedding = np.full((100, 80), 0.5, np.float32), np.zeros(100, np.float32), np.zeros(256, np.float32)
    for f0_hz, message in ((silent, r"0.00 s of voiced speech .* needs 0.32 s"), (silent + 200, "a steady tone")):
        with pytest.raises(AudioError, match=message):
            statistics(mel, f0_hz, embedding, REGISTER, CONFIG)
    classifier = fitted()[0]
    with pytest.raises(AudioError, match="unlike speech"):
        classifier.estimate(classifier.centre + 4 * classifier.scale)


def test_speech_like_none_that_was_learnt_from_is_uncertain():
    classifier, judged = fitted()[0], acted_speech().judged
    values = measured(judged)[0]
    away = np.where(np.arange(STATISTICS) < 10, 10, 0) * classifier.scale
    assert classifier.estimate(values).certain and not classifier.estimate(values + away).certain
