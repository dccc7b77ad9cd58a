"""Long recordings: cut in pauses, converted like short ones, joined to the sample and without clicks."""

import io
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import tiny_converter, tone, write_bundle

from evc_jax.audio import io as audio_io
from evc_jax.audio import pauses
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import AudioReader
from evc_jax.audio.mel import frame_count
from evc_jax.conversion import long_recordings, recording_stats
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.long_recordings import convert_file, convert_recording, stream_convert
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.recording_stats import analyse
from evc_jax.conversion.result import Conversion
from evc_jax.conversion.source import WholeRecording
from evc_jax.errors import AudioError, BundleError
from evc_jax.features.f0_codes import log_f0_statistics

CONFIG = AudioConfig()
RATE_HZ = 16000


class Repeater(Converter):
    """Gives the source back at the requested rate, each time with another phase; keeps what it was given."""

    def __init__(self, f0_hz=None):
        self.bundle = types.SimpleNamespace(audio=CONFIG)
        self.f0_hz, self.received = f0_hz, []

    def extract(self, audio, rate_hz):
        raise AssertionError("a recording of several segments is extracted segment by segment")

    def whole_recording(self, excerpt, options, duration_s):
        return WholeRecording(excerpt, CONFIG)

    def convert_features(self, features, options, whole=None, start_s=0.0):
        self.received.append((features, whole))
        samples = round(len(features.audio) / options.rate)
        if self.f0_hz is None:
            sound = np.interp(np.arange(samples) * options.rate, np.arange(len(features.audio)), features.audio)
            sound = (sound / features.level_gain).astype(np.float32)
        else:
            phase = 2.5 * len(self.received)
            sound = np.sin(2 * np.pi * self.f0_hz * np.arange(samples) / RATE_HZ + phase).astype(np.float32)
        mel = np.full((frame_count(samples, CONFIG), 80), len(self.received), np.float32)
        return Conversion(sound, RATE_HZ, mel, features.embedding, features, CONFIG)


@pytest.fixture(autouse=True)
def plain_options(monkeypatch):
    """`Repeater` has no bundle that options could be checked against."""
    check = ConversionOptions.check
    monkeypatch.setattr(
        ConversionOptions, "check", lambda self, bundle: hasattr(bundle, "emotions") and check(self, bundle)
    )


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A tenth of the real durations."""
    monkeypatch.setattr(long_recordings, "WHOLE_S", 12.0)
    monkeypatch.setattr(recording_stats, "EXCERPT_PIECE_S", 0.5)
    monkeypatch.setattr(pauses, "SEGMENT_S", (2.0, 6.0))


def sentences(seconds, pause_s=0.6):
    """Harmonic tones of 1 to 3 s with pauses between them."""
    random, parts, length = np.random.default_rng(0), [], round(seconds * RATE_HZ)
    while sum(map(len, parts)) < length:
        parts += [tone(random.uniform(1, 3), seed=len(parts)), np.zeros(round(pause_s * RATE_HZ), np.float32)]
    return np.concatenate(parts)[:length]


def steps(sound):
    return np.abs(np.diff(sound, 2))


@pytest.mark.parametrize("vocoder", ["griffin-lim", "waveglow"])
def test_a_short_recording_is_one_segment_and_what_convert_returns(tmp_path, vocoder):
    converter, source = tiny_converter(), tone(3.1)
    soundfile.write(tmp_path / "in.wav", source, RATE_HZ, subtype="FLOAT")
    options = ConversionOptions(emotion="happy", strength=1.5, voice="sampled:male", seed=3, rate=1.2, vocoder=vocoder)
    expected = converter.convert_features(converter.extract(source, RATE_HZ), options).audio
    (found,) = stream_convert(converter, tmp_path / "in.wav", options)
    np.testing.assert_array_equal(found, expected)
    names = ("emotion", "strength", "voice", "seed", "rate", "vocoder")
    direct = converter.convert(source, RATE_HZ, **{name: getattr(options, name) for name in names})
    np.testing.assert_array_equal(direct.audio, expected)


@pytest.mark.parametrize("rate", [1, 1.2, 0.7])
@pytest.mark.parametrize("samples", [15 * RATE_HZ, 15 * RATE_HZ + 1235])
def test_the_length_is_right_to_the_sample(rate, samples):
    source = sentences(16)[:samples]
    conversion = convert_recording(Repeater(), AudioReader(source, RATE_HZ), ConversionOptions(rate=rate))
    assert len(conversion.audio) == round(samples / rate) and conversion.audio.dtype == np.float32
    assert len(conversion.mel) == frame_count(len(conversion.audio), CONFIG)
    assert len(conversion.source.mel) == len(conversion.source.f0_hz) == frame_count(samples, CONFIG)
    if rate == 1:
        np.testing.assert_allclose(conversion.audio, source, atol=1e-5)
        np.testing.assert_allclose(conversion.source.audio / conversion.source.level_gain, source, atol=1e-5)
    else:
        expected = np.interp(np.arange(len(conversion.audio)) * rate, np.arange(samples), source)
        assert np.sqrt(np.mean(np.square(conversion.audio - expected))) < 0.1 * np.std(source)


@pytest.mark.parametrize("f0_hz", [70.0, 222.2, 1000.0])
def test_a_tone_through_forced_cuts_has_no_click_and_no_gap(f0_hz):
    times = np.arange(15 * RATE_HZ) / RATE_HZ
    source = (0.3 * np.sin(2 * np.pi * f0_hz * times)).astype(np.float32)
    converter = Repeater(f0_hz)
    sound = np.concatenate(list(stream_convert(converter, AudioReader(source, RATE_HZ))))
    assert len(converter.received) >= 3 and len(sound) == len(source)
    pure = np.sin(2 * np.pi * f0_hz * times[:RATE_HZ])
    assert steps(sound).max() < 1.05 * steps(pure).max()
    loudness = np.sqrt(np.convolve(np.square(sound), np.ones(320) / 320, "valid"))
    loudness_of_pure = np.sqrt(np.convolve(np.square(pure), np.ones(320) / 320, "valid"))
    assert loudness.min() > 0.97 * loudness_of_pure.min() and loudness.max() < 1.03 * loudness_of_pure.max()


def test_pauses_stay_silent_and_hold_every_joint():
    """Pauses of 0.7 s are too short to be found in either half of one: the context completes them."""
    source = sentences(14, pause_s=0.7)
    options = ConversionOptions(vocoder="waveglow")
    sound = np.concatenate(list(stream_convert(tiny_converter(), AudioReader(source, RATE_HZ), options)))
    assert len(sound) == len(source) and sound.any()
    zeros = np.convolve(source == 0, np.ones(round(0.7 * RATE_HZ)), "same") >= round(0.7 * RATE_HZ) - 1
    assert zeros.sum() > 10 and not sound[zeros].any()


def test_cuts_lie_inside_pauses():
    source = sentences(20, pause_s=0.4)
    stats = analyse(io.BytesIO(source.tobytes()), CONFIG)
    assert len(stats.segments) > 3 and stats.segments[0].first == 0 and stats.segments[-1].end == len(source)
    for before, segment in zip(stats.segments, stats.segments[1:], strict=False):
        assert before.end == segment.first and segment.first % 256 == 0 and not segment.forced
        assert not source[segment.first - 1600 : segment.first + 1600].any()
        assert 2 * RATE_HZ <= before.end - before.first <= 6 * RATE_HZ


def test_segments_share_level_statistics_and_voice():
    """A recording whose second half is quieter and higher: no half is normalised by itself."""
    quiet = 0.2 * np.concatenate([np.append(tone(2, f0_hz=260.0), np.zeros(8000, "f4"))] * 4)
    source = np.concatenate([sentences(10), quiet.astype(np.float32)])
    converter = Repeater()
    sound = np.concatenate(list(stream_convert(converter, AudioReader(source, RATE_HZ))))
    stats = analyse(io.BytesIO(source.tobytes()), CONFIG)
    assert len(converter.received) > 3
    statistics = log_f0_statistics(stats.excerpt.f0_hz)
    for features, known in converter.received:
        assert features.level_gain == stats.excerpt.level_gain and known.statistics == statistics
        np.testing.assert_array_equal(features.embedding, stats.excerpt.embedding)
    np.testing.assert_allclose(sound, source, atol=1e-5)
    assert np.exp(statistics.mean) == pytest.approx(190, rel=0.1) and statistics.std > 0.2
    whole = long_recordings.extraction.extract(source, RATE_HZ, CONFIG)
    assert whole.embedding @ stats.excerpt.embedding > 0.98
    assert 0.8 < stats.excerpt.level_gain / whole.level_gain < 1.25


def test_noise_in_a_long_pause_is_not_voiced():
    hum = 0.0003 * np.sin(2 * np.pi * 150 * np.arange(10 * RATE_HZ) / RATE_HZ)
    converter = Repeater()
    source = np.concatenate([tone(3), hum.astype(np.float32), tone(3)])
    convert_recording(converter, AudioReader(source, RATE_HZ))
    assert any(not features.f0_hz.any() for features, _ in converter.received)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_becomes_a_file(tmp_path, suffix, capsys):
    source, output = tmp_path / "in.ogg", tmp_path / "new" / f"out.{suffix}"
    soundfile.write(source, np.stack([np.resize(tone(4, 22050), 13 * 22050)] * 2, axis=1), 22050)
    duration_s = convert_file(Repeater(), source, output)
    assert "converting" in capsys.readouterr().err
    samples, rate_hz = soundfile.read(output)
    assert rate_hz == RATE_HZ and len(samples) / RATE_HZ == duration_s == pytest.approx(13, abs=1e-3)
    np.testing.assert_allclose(samples, audio_io.load(source, RATE_HZ), atol=2e-3)
    assert list(output.parent.iterdir()) == [output]


def test_peaks_are_scaled_down(tmp_path):
    options, source = ConversionOptions(vocoder="waveglow", sigma=2.0), AudioReader(tone(3, level=5.0), RATE_HZ)
    (loud,) = stream_convert(tiny_converter(), source, options)
    assert np.abs(loud).max() > 1
    convert_file(tiny_converter(), source, tmp_path / "out.wav", options, progress=False)
    samples, _ = soundfile.read(tmp_path / "out.wav")
    np.testing.assert_allclose(samples, loud / np.abs(loud).max(), atol=1e-4)


def test_nothing_half_written_is_left(tmp_path):
    broken = np.resize(tone(5), 13 * RATE_HZ)
    broken[-20000] = np.nan
    soundfile.write(tmp_path / "broken.wav", broken, RATE_HZ, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.wav", np.zeros(13 * RATE_HZ), RATE_HZ)
    soundfile.write(tmp_path / "good.wav", tone(1), RATE_HZ)
    (tmp_path / "out").mkdir()
    for source, output, reason in [
        ("broken.wav", "out/a.wav", "broken.wav: the recording holds NaN"),
        ("silent.wav", "out/a.wav", "silent.wav: the recording is silent"),
        ("absent.wav", "out/a.wav", "absent.wav does not exist"),
        ("good.wav", "out/a.m4a", "name it .wav, .flac, .mp3, .ogg or .opus"),
        ("good.wav", "good.wav/a.wav", "a.wav cannot be written"),
    ]:
        with pytest.raises(AudioError, match=reason):
            convert_file(tiny_converter(), tmp_path / source, tmp_path / output, progress=False)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("right", [0.3, -1.0])
def test_the_mix_of_a_long_stereo_recording_of_integers(right):
    """The mean of both channels, or one of them where they cancel; without the offset of both."""
    source = sentences(14)
    pcm = np.round(np.stack([0.5 * source, 0.5 * right * source], axis=1) * 32000 + 6000).astype(np.int16)
    found = np.concatenate(list(AudioReader(pcm, RATE_HZ).read_mono(RATE_HZ)))
    expected = audio_io.to_mono(pcm, RATE_HZ, RATE_HZ)
    assert found.dtype == np.float32 and abs(found.mean()) < 1e-3
    np.testing.assert_allclose(found, expected, atol=2e-4)
    gain = 0.5 * (0.65 if right > 0 else 1) * 32000 / 32768
    np.testing.assert_allclose(found, gain * (source - source.mean()), atol=2e-3)


def test_a_temporary_folder_that_cannot_be_written_is_named(tmp_path):
    soundfile.write(tmp_path / "in.wav", sentences(14), RATE_HZ)
    segments = long_recordings.convert_segments(Repeater(), tmp_path / "in.wav", folder=tmp_path / "absent")
    with pytest.raises(AudioError, match="samples cannot be kept in .*absent"):
        next(segments)


def test_an_option_that_the_bundle_does_not_allow_is_refused_at_once(tmp_path):
    poor = Converter.load(write_bundle(tmp_path / "b", names=("speechsplit",)))
    with pytest.raises(BundleError, match="has no waveglow network"):
        stream_convert(poor, tmp_path / "absent.wav", ConversionOptions(vocoder="waveglow"))


_MEASURE = """
import functools, json, sys
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.long_recordings import convert_file
from evc_jax.conversion.source import WholeRecording
from evc_jax.conversion.options import ConversionOptions
from evc_jax.vocoders import griffin_lim

griffin_lim.griffin_lim = functools.partial(griffin_lim.griffin_lim, iterations=2)  # more take longer, not more memory

def peak_mb():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

bundle, output, *sources = sys.argv[1:]
converter = Converter.load(bundle)
found = []
for source in sources:
    duration_s = convert_file(converter, source, output, ConversionOptions(emotion="sad"), progress=False)
    found.append({"duration_s": duration_s, "peak_mb": peak_mb()})
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux's /proc")
def test_eight_minutes_need_no_more_memory_than_three(tiny_bundle, tmp_path):
    sources = []
    for minutes in (3, 8):
        sources.append(str(tmp_path / f"{minutes}.wav"))
        soundfile.write(sources[-1], np.resize(sentences(60), minutes * 60 * RATE_HZ), RATE_HZ)
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    program = [sys.executable, "-c", _MEASURE, str(tiny_bundle), str(tmp_path / "out.wav"), *sources]
    finished = subprocess.run(program, capture_output=True, text=True, check=True, env=environment)
    short, long = json.loads(finished.stdout)
    assert (short["duration_s"], long["duration_s"]) == (180, 480)
    assert long["peak_mb"] - short["peak_mb"] < 110 and long["peak_mb"] < 1200
    assert soundfile.info(tmp_path / "out.wav").frames == 480 * RATE_HZ
