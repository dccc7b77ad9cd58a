"""What is said of a new dataset is what trainings refuse."""

import re
from pathlib import Path

import pytest

from evc_jax.audio.config import AudioConfig
from evc_jax.data.corpora.recording import Recording
from evc_jax.data.prepare.advice import advice


def speech(split, speakers, emotions, text="", takes=2):
    return [
        Recording(Path("x"), f"{split}/{s}/{e}/{i}", s, sex, e, text_id=text and f"{text}{i}", split=split)
        for s, sex in speakers.items()
        for e in emotions
        for i in range(takes)
    ]


def advised(*utterances, frames=200):
    flat = [each for some in utterances for each in some]
    counts = {each.utterance_id: frames for each in flat}
    return advice("mine", flat, counts, AudioConfig())


BOTH = {"a": "male", "b": "female"}
GOOD = speech("train", BOTH, ("neutral", "sad")), speech("validation", {"c": "male", "d": "female"}, ("neutral", "sad"))


def test_nothing_is_said_of_a_corpus_for_every_training():
    assert advised(*GOOD) == []


@pytest.mark.parametrize(
    "utterances, sentences",
    [
        (GOOD[:1], ["alone it will not do for trainings: Dataset mine has no validation split; it has train."]),
        (
            (speech("train", {"a": "male", "b": "male"}, ("neutral", "sad")), GOOD[1]),
            ["alone it will not do for VoiceGAN: None of the 2 speakers is female; add a dataset with both sexes."],
        ),
        (
            (speech("train", {"a": "unknown", "b": "unknown"}, ("neutral", "sad")), GOOD[1]),
            ["VoiceGAN: None of the 2 speakers is male; .* A manifest names the speakers' sexes."],
        ),
        (
            (speech("train", BOTH, ("sad",)), GOOD[1]),
            ["for CodeGAN and the prosody network: The train split has no two emotions .it has 4 sad.; add"],
        ),
        (
            (speech("train", BOTH, ("happy", "sad")), speech("validation", BOTH, ("happy", "sad"))),
            ["it has no neutral recordings", "the prosody network: No speaker recorded happy, sad and the same"],
        ),
        (
            (speech("train", BOTH, ("neutral", "sad")), speech("validation", BOTH, ("sad",), takes=1)),
            ["the prosody network: No speaker recorded neutral, sad and the same sentence"],
        ),
        (
            (speech("train", {"a": "male"}, ("neutral", "sad")), GOOD[1]),
            ["VoiceGAN", "the timbre converter: The data has fewer than two speakers", "teaches SpeechSplit a single"],
        ),
    ],
)
def test_what_trainings_will_refuse_is_said(utterances, sentences):
    found = advised(*utterances)
    assert len(found) == len(sentences), found
    assert all(re.search(sentence, line) for sentence, line in zip(sentences, found, strict=True)), found


def test_short_utterances_are_counted():
    found = advised(*GOOD, frames=63)
    assert found[0].startswith("alone it will not do for the timbre converter: The data has fewer than two speakers")
    assert found[1].startswith("8 of 8 training utterances are shorter than 1.0 s, the shortest crop of SpeechSplit")
    assert advised(*GOOD, frames=101) == []
