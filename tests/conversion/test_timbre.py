"""The change of timbre: the target comes nearer, recordings of any length pass."""

import jax
import numpy as np
import pytest
from support.vowels import sung_vowel

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import load
from evc_jax.audio.loudness import active_level_dbfs
from evc_jax.audio.mel import frame_count, highpass, log_mel
from evc_jax.conversion.timbre import matching_filter_db, mean_spectrum_db, proposed_change_db, with_voice
from evc_jax.features import speaker
from evc_jax.features.extract import extract
from evc_jax.features.register import MeasuredVoice
from evc_jax.models.network import Network
from evc_jax.models.timbre_converter import TimbreConverter, TimbreConverterConfig
from evc_jax.pretrained.bundle import TrainedNetwork

CONFIG = AudioConfig()


def filtered(sound, filter_db):
    """The sound with a constant filter of a voice."""
    frames = frame_count(len(sound), CONFIG)
    return with_voice(sound, np.repeat(filter_db[None], frames, axis=0), CONFIG)[0]


def level_dbfs(sound):
    return active_level_dbfs(highpass(sound, CONFIG), CONFIG)


@pytest.fixture(scope="module")
def converter():
    """A network that proposes no change but the warp."""
    network = Network(TimbreConverter, TimbreConverterConfig(width=8, blocks=1, cosines=12))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), network.shapes())
    return TrainedNetwork(network, params)


def test_a_filter_brings_a_recording_nearer_to_a_voice_at_its_level(data_dir):
    files = (min((data_dir / "ljspeech" / "wavs").glob("*.flac")), min((data_dir / "ravdess").glob("Actor_01/*.flac")))
    source, other = (extract(load(file, 16000)[: 4 * 16000], 16000, CONFIG) for file in files)
    filter_db = matching_filter_db(source.audio, source.embedding, other.embedding, CONFIG)
    changed = filtered(source.audio, filter_db)
    assert level_dbfs(changed) == pytest.approx(level_dbfs(source.audio), abs=0.1)
    assert speaker.embed(changed) @ other.embedding > source.embedding @ other.embedding + 0.1
    # What is near already is hardly changed.
    same_db = matching_filter_db(source.audio, source.embedding, source.embedding, CONFIG)
    assert np.abs(same_db).mean() < 0.5 * np.abs(filter_db).mean()


def test_a_network_of_zeros_proposes_the_warp_of_the_register(converter):
    source = extract(sung_vowel(150.0), 16000, CONFIG)
    other = np.roll(source.embedding, 1)
    change_db = proposed_change_db(source, other, 0.0, converter)
    np.testing.assert_allclose(change_db, 0, atol=1e-3)
    assert np.abs(proposed_change_db(source, other, 0.3, converter)).max() > 1


@pytest.mark.parametrize("seconds", [0.1, 0.3, 1.61, 5.0])
def test_any_length_passes(seconds, converter):
    source = extract(sung_vowel(150.0, seconds=seconds), 16000, CONFIG)
    other = np.roll(source.embedding, 1)
    change_db = proposed_change_db(source, other, 0.1, converter)
    assert change_db.shape == source.mel.shape and np.isfinite(change_db).all()
    assert np.isfinite(filtered(source.audio, matching_filter_db(source.audio, source.embedding, other, CONFIG))).all()


def test_silence_stays_silence():
    silence, voice = np.zeros(16000, np.float32), np.full(256, 1 / 16, np.float32)
    assert not filtered(silence, matching_filter_db(silence, voice, voice, CONFIG)).any()


def test_a_resonance_at_a_harmonic_is_not_louder():
    """A gain that is given, as to the segments of a long recording, is used as it is."""
    sound = sung_vowel(200.0)
    filter_db = np.where(np.arange(CONFIG.mel_bands) < 8, 15.0, 0.0)
    assert level_dbfs(filtered(sound, filter_db)) == pytest.approx(level_dbfs(sound), abs=0.1)
    frames = np.repeat(filter_db[None], frame_count(len(sound), CONFIG), axis=0)
    measured, gain = with_voice(sound, frames, CONFIG)
    half, same = with_voice(sound, frames, CONFIG, gain / 2)
    assert gain < 0.7 and same == gain / 2
    np.testing.assert_allclose(half, measured / 2, rtol=1e-5, atol=1e-7)


def test_a_known_voice_gives_its_mean_spectrum():
    source, voice = extract(sung_vowel(150.0, "o"), 16000, CONFIG), np.full(256, 1 / 16, np.float32)
    spectrum_db = mean_spectrum_db(extract(sung_vowel(150.0, "e"), 16000, CONFIG).mel, CONFIG)
    known = MeasuredVoice(voice, spectrum_db=spectrum_db)

    def distance_db(wished):
        filter_db = matching_filter_db(source.audio, source.embedding, wished, CONFIG, known)
        sound = filtered(source.audio, filter_db)
        difference_db = mean_spectrum_db(log_mel(sound, CONFIG), CONFIG) - spectrum_db
        return np.abs(difference_db - difference_db.mean()).mean()

    unlike = np.eye(256, dtype=np.float32)[0]
    assert distance_db(voice) < 0.6 * distance_db(unlike)
    plain = matching_filter_db(source.audio, source.embedding, unlike, CONFIG)
    np.testing.assert_array_equal(matching_filter_db(source.audio, source.embedding, unlike, CONFIG, known), plain)
