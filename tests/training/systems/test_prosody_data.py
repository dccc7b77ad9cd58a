"""Pairs of recordings: which there are, and the change between them."""

import numpy as np
import pytest

from evc_jax.audio.config import AudioConfig
from evc_jax.errors import DataError
from evc_jax.training.systems import prosody_data

CONFIG = AudioConfig()
FRAMES = 120


def record(speaker="a", emotion="neutral", text_id="1", kind=None, f0_hz=150.0, level_gain=1.0, frames=FRAMES):
    """A sentence of bands that rise and fall, spoken in `frames` frames."""
    times = np.linspace(0, 6 * np.pi, frames)[:, None]
    mel = (0.5 + 0.3 * np.sin(times + np.arange(80) / 10)).astype(np.float32)
    known = {"speaker": speaker, "emotion": emotion, "corpus_emotion": kind or emotion, "text_id": text_id}
    return {**known, "mel": mel, "f0_hz": np.full(frames, f0_hz, np.float32), "level_gain": level_gain}


def utterances(*records):
    return prosody_data.read_utterances(records, CONFIG)


def test_a_weaker_intensity_is_less_of_an_emotion_and_weighs_the_same():
    kinds = ("sad-normal", "sad-strong", "sad-strong")
    found = utterances(record(kind="neutral-normal"), *[record(emotion="sad", kind=kind) for kind in kinds])
    assert [utterance.intensity for utterance in found] == [1, 0.5, 1, 1]
    assert list(prosody_data.choose_pairs(found, ("sad",), others=0)) == [(0, i, True) for i in (1, 2, 3)]
    split = prosody_data.pair_split(found, ("sad",), ["x"] * 4, others=0)
    assert split.intensity.tolist() == [0.5, 1, 1]
    assert split.pair_weight == pytest.approx([1.5, 0.75, 0.75])


def test_without_a_common_sentence_a_pair_is_not_aligned():
    found = utterances(record(), record(emotion="sad", text_id="2"), record("b", "sad"))
    assert list(prosody_data.choose_pairs(found, ("sad",), others=0)) == [(0, 1, False)]


@pytest.mark.parametrize("text_id", ["1", "2"])
def test_a_change_of_height_and_loudness(text_id):
    source, target = utterances(record(), record(emotion="angry", text_id=text_id, f0_hz=300.0, level_gain=0.1))
    change, mask = prosody_data.change_between(source, target, aligned=text_id == "1")
    known = mask[:, 0] > 0
    assert known.mean() > 0.9
    np.testing.assert_allclose(change[known, 0], 12, atol=1e-3)
    np.testing.assert_allclose(change[known, 1], 20, atol=0.5)


def test_a_slower_sentence_lasts_longer():
    source, target = utterances(record(), record(emotion="sad", frames=round(1.3 * FRAMES)))
    change, mask = prosody_data.change_between(source, target, aligned=True)
    assert np.exp(np.median(change[mask[:, -1] > 0, -1])) == pytest.approx(1.3, abs=0.03)


def test_every_emotion_of_every_dataset_weighs_the_same():
    records = [record(), *[record(emotion="sad")] * 3, record(emotion="angry")]
    split = prosody_data.pair_split(utterances(*records), ("sad", "angry"), ["x"] * 5, others=0)
    sums = np.bincount(split.emotion, split.pair_weight)
    assert sums[0] == pytest.approx(sums[1]) and split.pair_weight.mean() == pytest.approx(1)
    assert split[np.array([0, 1])]["track"].shape[:2] == (2, 192)


def test_an_emotion_without_pairs_is_named():
    with pytest.raises(DataError, match="bored"):
        prosody_data.pair_split(utterances(record(), record(emotion="sad")), ("sad", "bored"), ["x"] * 2, others=0)
