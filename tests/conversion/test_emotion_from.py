"""The emotion of another recording: found once, taken over as a mixture, and refused where there is no speech."""

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import tiny_converter, tone
from support.vowels import sung_vowel

from evc_jax.conversion.converter import Converter
from evc_jax.conversion.emotion_reference import estimate_emotion
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import AudioError, AudioWarning, BundleError
from evc_jax.features.emotion_classifier import EmotionClassifier, EmotionEstimate
from evc_jax.files import ASSETS

RATE_HZ = 16000
REFERENCE = ASSETS / "voice_female.flac"


@pytest.fixture(scope="module")
def shipped():
    return Converter.load()


@pytest.mark.filterwarnings("ignore::evc_jax.errors.AudioWarning")
def test_the_emotion_is_that_of_the_classifier(shipped):
    requested = ConversionOptions(emotion_from=REFERENCE, strength=0.8)
    resolved = shipped.resolve(requested)
    estimate = estimate_emotion(shipped.voices.features_of(REFERENCE), shipped.bundle)
    assert resolved.emotion == pytest.approx(dict(estimate.probabilities))
    assert resolved.emotion_from is None and resolved.strength == 0.8
    assert shipped.resolve(resolved) is resolved
    samples, rate_hz = soundfile.read(REFERENCE, dtype="float32")
    assert rate_hz == RATE_HZ and shipped.resolve(ConversionOptions(emotion_from=samples)).emotion == resolved.emotion


@pytest.mark.filterwarnings("ignore::evc_jax.errors.AudioWarning")
def test_a_conversion_takes_it_over(shipped):
    vowel = np.pad(sung_vowel(150.0, seconds=1.0), 4000)
    taken = shipped.convert(vowel, RATE_HZ, emotion_from=REFERENCE)
    mixture = shipped.resolve(ConversionOptions(emotion_from=REFERENCE)).emotion
    np.testing.assert_array_equal(taken.audio, shipped.convert(vowel, RATE_HZ, emotion=mixture).audio)
    np.testing.assert_allclose(taken.emotion_weights.sum(axis=1), 1, atol=1e-5)


def test_an_uncertain_emotion_is_said_to_be_one(shipped, monkeypatch):
    estimate = EmotionEstimate({"sad": 0.3, "happy": 0.25, "bored": 0.2, "angry": 0.25}, certain=False, strength=0.5)
    monkeypatch.setattr(EmotionClassifier, "estimate", lambda *_: estimate)
    with pytest.warns(AudioWarning, match="The emotion to take over is uncertain"):
        resolved = shipped.resolve(ConversionOptions(emotion_from=REFERENCE, rendering="decoder"))
    assert "bored" not in resolved.emotion  # which CodeGAN does not know


def test_what_is_no_speech_is_refused_by_name(shipped, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, RATE_HZ)
    for name, sound in (("noise.wav", noise), ("silence.wav", np.zeros(RATE_HZ)), ("tone.wav", tone(0.2))):
        soundfile.write(tmp_path / name, sound, RATE_HZ)
        with pytest.raises(AudioError, match=name) as caught:
            shipped.convert(tone(1.0), RATE_HZ, emotion_from=tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_bundle_without_a_classifier_says_so():
    with pytest.raises(BundleError, match="has no classifier of emotions"):
        tiny_converter().convert(tone(1.0), RATE_HZ, emotion_from=REFERENCE)
