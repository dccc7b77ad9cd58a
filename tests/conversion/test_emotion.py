"""Emotions by the prosody network: what changes, by how much, and in long recordings."""

from dataclasses import replace

import numpy as np
import pytest
from support.tiny_bundles import write_bundle
from support.vowels import sung_vowel

from evc_jax.audio import pauses
from evc_jax.audio.io import AudioReader
from evc_jax.conversion import emotion, long_recordings, recording_stats
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.long_recordings import convert_recording, convert_segments
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.source import Request, WholeRecording
from evc_jax.errors import BundleError, ConfigError

RATE_HZ = 16000


@pytest.fixture(scope="module")
def converter(tmp_path_factory):
    return Converter.load(write_bundle(tmp_path_factory.mktemp("bundles") / "prosody", ("speechsplit", "prosody")))


@pytest.fixture(scope="module")
def vowel():
    return np.pad(sung_vowel(150.0, seconds=1.5), 4000)


def change(converter, features, **options):
    options = ConversionOptions(**options, rendering="source")
    whole = WholeRecording(features, converter.bundle.audio)
    weights = converter.emotion_weights(options, np.zeros(len(features.mel)))
    return converter.source.requested_change(Request(features, options, features.embedding, whole, weights))


def test_melody_spectrum_and_timing_change(converter, vowel):
    result = converter.convert(vowel, RATE_HZ, emotion="happy", rendering="source")
    assert converter.emotions and len(result.audio) != len(vowel)
    assert np.isfinite(result.audio).all() and len(result.mel) == len(result.audio) // 256 + 1
    assert len(result.positions) == len(result.mel) and (np.diff(result.positions) >= 0).all()


def test_kept_timing_and_no_strength(converter, vowel):
    kept = converter.convert(vowel, RATE_HZ, emotion="happy", rendering="source", keep_timing=1)
    assert len(kept.audio) == len(vowel) and np.abs(kept.audio - vowel).max() > 0.01
    none = converter.convert(vowel, RATE_HZ, emotion="happy", rendering="source", strength=0)
    np.testing.assert_allclose(none.audio, vowel, atol=1e-6)


def test_the_change_grows_with_the_strength(converter, vowel):
    features = converter.extract(vowel, RATE_HZ)
    half, whole = (change(converter, features, emotion="sad", strength=s, keep_timing=1)[0] for s in (0.05, 0.1))
    np.testing.assert_allclose(whole.log_f0, 2 * half.log_f0, atol=1e-5)
    np.testing.assert_allclose(whole.filter_db, 2 * half.filter_db, atol=1e-3)
    most = change(converter, features, emotion="sad", strength=3)[0]
    assert np.abs(most.filter_db).max() <= emotion.LARGEST_GAIN_DB + emotion.LARGEST_SHAPE_DB + 1e-3


def test_the_gain_does_not_wander(converter, vowel, monkeypatch):
    features = converter.extract(vowel, RATE_HZ)

    def ramp(track, summary, emotions):
        changes = np.zeros((*track.shape[:2], 3 + 12), np.float32)
        changes[..., 1] = np.linspace(-30, 50, track.shape[1])
        return changes

    monkeypatch.setattr(converter.source._engine, "change_prosody", ramp)
    filter_db = change(converter, features, emotion="sad", keep_timing=1)[0].filter_db
    middle = filter_db[len(filter_db) // 4 : -len(filter_db) // 4, 0]
    assert np.ptp(middle) == pytest.approx(2 * emotion.LARGEST_DRIFT_DB, abs=0.1)
    assert np.abs(middle - np.median(filter_db[filter_db[:, 0] != 0])).max() <= 2 * emotion.LARGEST_DRIFT_DB


def test_a_mixture_is_the_mean_of_its_emotions(converter, vowel):
    features = converter.extract(vowel, RATE_HZ)
    options = {"keep_timing": 1, "strength": 0.1}
    happy, sad, mixed = (
        change(converter, features, emotion=emotion, **options)[0]
        for emotion in ("happy", "sad", {"happy": 3, "sad": 1})
    )
    np.testing.assert_allclose(mixed.log_f0, 0.75 * happy.log_f0 + 0.25 * sad.log_f0, atol=1e-5)
    np.testing.assert_allclose(mixed.filter_db, 0.75 * happy.filter_db + 0.25 * sad.filter_db, atol=1e-3)
    assert np.abs(happy.log_f0 - sad.log_f0).max() > 1e-3
    with pytest.raises(BundleError, match="There is no emotion 'bored'"):
        converter.convert(vowel, RATE_HZ, emotion="happy=1,bored=2", rendering="source")


def test_a_track_changes_its_spans_and_nothing_else(converter, vowel):
    vowels = np.concatenate([vowel, vowel])  # of 1.5 s from 0.25 s and 2.25 s on
    rows = [{"start_s": 2.1, "end_s": 2.9, "emotion": "happy"}]
    result = converter.convert(vowels, RATE_HZ, emotion_track=rows, emotion_fade=0.1, keep_timing=1, rendering="source")
    assert result.emotion_weights.shape == (len(result.source.mel), len(converter.emotions))
    times_s = np.arange(len(result.mel)) * 256 / RATE_HZ
    np.testing.assert_allclose(result.emotion_weights.sum(axis=1)[(times_s > 2.2) & (times_s < 2.8)], 1, atol=1e-6)
    moved_db = 100 * np.abs(result.mel - result.source.mel).mean(axis=1)
    assert moved_db[times_s < 1.9].max() < 0.01 and moved_db[(times_s > 2.4) & (times_s < 2.8)].min() > 0.2
    with pytest.raises(ConfigError, match="goes on to 3 s, and the recording lasts 2.00 s"):
        rows = [{"start_s": 1, "end_s": 3, "emotion": "sad"}]
        converter.convert(vowel, RATE_HZ, emotion_track=rows, rendering="source")


def test_rate_and_timing_multiply(converter, vowel):
    features = converter.extract(vowel, RATE_HZ)
    (_, plain), (_, faster) = (change(converter, features, emotion="sad", rate=rate) for rate in (1, 1.5))
    assert faster == pytest.approx(plain / 1.5, abs=300)


def test_segments_of_a_long_recording_continue_each_other(converter, monkeypatch):
    monkeypatch.setattr(long_recordings, "WHOLE_S", 4.0)
    monkeypatch.setattr(recording_stats, "EXCERPT_PIECE_S", 0.5)
    monkeypatch.setattr(pauses, "SEGMENT_S", (1.0, 3.0))
    sound = np.concatenate([np.pad(sung_vowel(150.0, seconds=1.0), (0, 8000)) for _ in range(5)])
    options = ConversionOptions(emotion="sad", strength=0.3, rendering="source")
    parts = list(convert_segments(converter, AudioReader(sound, RATE_HZ), options))
    assert len(parts) > 1 and all(part.positions is not None for part in parts)
    joined = np.concatenate([part.audio for part in parts])
    assert len(joined) != len(sound)
    assert sum(len(part.mel) for part in parts) == len(joined) // 256 + 1
    # No step at the joins that the sound itself does not have.
    edges = np.cumsum([len(part.audio) for part in parts])[:-1]
    steps = np.abs(np.diff(joined))
    assert all(steps[edge - 2 : edge + 2].max() <= np.percentile(steps, 99.9) for edge in edges)


def test_a_track_goes_on_across_segments(converter, monkeypatch):
    monkeypatch.setattr(long_recordings, "WHOLE_S", 4.0)
    monkeypatch.setattr(recording_stats, "EXCERPT_PIECE_S", 0.5)
    monkeypatch.setattr(pauses, "SEGMENT_S", (1.0, 3.0))
    sound = np.concatenate([np.pad(sung_vowel(150.0, seconds=1.0), (0, 8000)) for _ in range(6)])
    rows = [{"start_s": 0, "end_s": 4, "emotion": "sad"}, {"start_s": 4, "end_s": 6, "emotion": "happy=0.5"}]
    options = ConversionOptions(emotion_track=rows, strength="0:0,4:1", rendering="source")
    parts = list(convert_segments(converter, AudioReader(sound, RATE_HZ), options))
    whole = convert_recording(converter, AudioReader(sound, RATE_HZ), options)
    frames = sum(len(part.source.mel) for part in parts)
    assert len(parts) > 2 and whole.emotion_weights.shape == (frames, len(converter.emotions))
    expected = options.within(9.0).emotion_weights(np.arange(frames) * 256 / RATE_HZ, converter.emotions)
    np.testing.assert_allclose(whole.emotion_weights, expected, atol=1e-3)
    # After the track's end the recording is as it was.
    assert len(whole.positions) == len(whole.mel) and np.diff(whole.positions).min() >= -1e-6
    end, tail = round(1.5 * RATE_HZ), whole.audio[-round(1.5 * RATE_HZ) :]
    np.testing.assert_allclose(tail[2000:], sound[-end:][2000:], atol=1e-4)
    with pytest.raises(ConfigError, match="goes on to 12 s"):
        list(
            convert_segments(
                converter, AudioReader(sound, RATE_HZ), replace(options, emotion_track=[{**rows[0], "end_s": 12}])
            )
        )


def test_the_decoder_still_needs_codegan(converter, vowel):
    with pytest.raises(BundleError, match="codegan"):
        converter.convert(vowel, RATE_HZ, emotion="happy", rendering="decoder")
