"""Recordings: every kind that can be read, every kind that cannot, and the log-mel spectrogram."""

import subprocess
import sys

import librosa
import numpy as np
import pytest
import soundfile
from support import golden_features
from support.golden_features import voice

from evc_jax.audio import io as audio_io
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import condition, frame_count, highpass, log_mel, mel_to_magnitude, slaney_filters
from evc_jax.config import from_mapping, to_mapping
from evc_jax.errors import AudioError, ConfigError

CONFIG = AudioConfig()


def test_mel_agrees_with_golden(golden_dir, data_dir):
    for golden in golden_features.read(golden_dir, data_dir):
        mel = log_mel(golden.samples, CONFIG)
        loud = golden.mel > 0.05
        assert mel.shape == golden.mel.shape, golden.name
        np.testing.assert_allclose(mel[loud], golden.mel[loud], atol=1e-3, err_msg=golden.name)


def test_mel_agrees_with_librosa():
    samples = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    magnitude = librosa.feature.melspectrogram(
        y=condition(samples, CONFIG),
        sr=16000,
        n_fft=1024,
        hop_length=256,
        n_mels=80,
        fmin=90,
        fmax=7600,
        power=1,
        pad_mode="reflect",
    ).T
    np.testing.assert_allclose(mel_to_magnitude(log_mel(samples, CONFIG), CONFIG), magnitude, rtol=2e-4)


@pytest.mark.parametrize(
    "hop, window, bands, rate_hz", [(256, 1024, 80, 16000), (200, 800, 40, 16000), (300, 1200, 64, 24000)]
)
@pytest.mark.parametrize("samples", [1, 2, 100, 511, 512, 1600, 4095, 4096, 4097])
def test_length_contract(hop, window, bands, rate_hz, samples):
    config = AudioConfig(sample_rate_hz=rate_hz, hop_samples=hop, window_samples=window, mel_bands=bands)
    mel = log_mel(np.full(samples, 0.1, np.float32), config)
    assert mel.shape == (samples // hop + 1, bands) == (frame_count(samples, config), bands)
    assert mel.dtype == np.float32 and np.isfinite(mel).all()


def test_dither_is_small_and_always_the_same():
    samples = voice(120, 0.3)
    conditioned = condition(samples, CONFIG)
    np.testing.assert_array_equal(condition(samples, CONFIG), conditioned)
    dither = conditioned - highpass(samples, CONFIG) * CONFIG.gain
    assert 0 < np.abs(dither).max() <= CONFIG.dither


@pytest.mark.parametrize(
    "rate_hz, window, bands, min_hz, max_hz",
    [(16000, 1024, 80, 90.0, 7600.0), (16000, 400, 40, 0.0, 8000.0), (22050, 1024, 80, 0.0, 8000.0)],
)
def test_mel_filters_are_those_of_librosa_bit_by_bit(rate_hz, window, bands, min_hz, max_hz):
    expected = librosa.filters.mel(sr=rate_hz, n_fft=window, n_mels=bands, fmin=min_hz, fmax=max_hz)
    found = slaney_filters(rate_hz, window, bands, min_hz, max_hz)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize(
    "suffix, subtype",
    [("wav", "PCM_16"), ("wav", "FLOAT"), ("wav", "PCM_24"), ("flac", "PCM_16"), ("mp3", None), ("ogg", None)],
)
@pytest.mark.parametrize("rate_hz, channels", [(8000, 1), (44100, 2), (48000, 1)])
def test_load_reads_formats_rates_and_channels(tmp_path, suffix, subtype, rate_hz, channels):
    path = tmp_path / f"recording.{suffix}"
    tone = voice(200, 0.5, rate_hz)
    soundfile.write(path, np.stack([tone] * channels, axis=1), rate_hz, subtype=subtype)
    samples = audio_io.load(path, 16000)
    assert samples.dtype == np.float32 and samples.flags.c_contiguous
    assert abs(len(samples) - 8000) <= (16 if suffix in ("wav", "flac") else 2500)
    middle = samples[2000:6000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(4000)))
    assert spectrum.argmax() * 16000 / 4000 == pytest.approx(200, abs=8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_as_mono_scales_integers(dtype):
    info = np.iinfo(dtype)
    tone = np.sin(np.arange(4000) / 10)
    middle = (int(info.max) + int(info.min) + 1) // 2
    integers = np.round(tone * (info.max - middle) + middle).astype(dtype)
    np.testing.assert_allclose(audio_io.to_mono(integers, 16000, 16000), tone, atol=2 / (info.max - middle))


def test_as_mono_averages_channels():
    left, right = voice(100, 0.2), voice(150, 0.2)
    np.testing.assert_allclose(
        audio_io.to_mono(np.stack([left, right], 1), 16000, 16000), (left + right) / 2, atol=1e-7
    )


def test_unusable_files_are_named(tmp_path):
    def written(name, content):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    def recorded(name, samples, subtype="FLOAT"):
        soundfile.write(tmp_path / name, samples, 16000, subtype=subtype)
        return tmp_path / name

    tone = voice(100, 0.5)
    broken = tone.copy()
    broken[100] = np.nan
    infinite = tone.copy()
    infinite[7] = np.inf
    for path, reason in [
        (tmp_path / "absent.wav", "does not exist"),
        (tmp_path, "is a folder"),
        (written("empty.wav", b""), "is an empty file"),
        (written("text.wav", b"This is no recording.\n" * 20), "cannot be read as audio"),
        (written("headless.raw", b"\0" * 4000), "cannot be read as audio"),
        (recorded("nan.wav", broken), "NaN or infinite"),
        (recorded("inf.wav", infinite), "NaN or infinite"),
        (recorded("short.wav", tone[:1599]), "lasts 0.100 s|lasts 0.099"),
        (recorded("none.wav", tone[:0]), "lasts 0.000 s"),
    ]:
        with pytest.raises(AudioError, match=reason) as caught:
            audio_io.load(path, 16000)
        message = str(caught.value)
        assert path.name in message and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize(
    "samples, rate_hz, reason",
    [
        (np.zeros((2, 3, 4)), 16000, r"shape \(2, 3, 4\)"),
        (np.zeros((2, 16000)), 16000, r"shape \(2, 16000\)"),
        (np.zeros(16000), 0, "sample rate is 0"),
        (np.zeros(16000, bool), 16000, "type bool"),
        (np.zeros(100), 16000, "lasts 0.006 s"),
    ],
)
def test_unusable_arrays(samples, rate_hz, reason):
    with pytest.raises(AudioError, match=reason):
        audio_io.to_mono(samples, rate_hz, 16000)


@pytest.mark.parametrize("suffix", ["wav", "flac", "WAV"])
def test_save_scales_peaks_down(tmp_path, suffix):
    path = tmp_path / "new" / f"out.{suffix}"
    tone = voice(100, 0.2)
    audio_io.save(path, tone * 10, 16000)
    samples, rate_hz = soundfile.read(path)
    assert rate_hz == 16000 and soundfile.info(path).subtype == "PCM_16"
    np.testing.assert_allclose(samples, tone / np.abs(tone).max(), atol=1e-4)
    assert list(path.parent.iterdir()) == [path]


def test_save_leaves_nothing_half_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AudioError, match="name it .wav, .flac, .mp3, .ogg or .opus"):
        audio_io.save(tmp_path / "out.m4a", voice(100, 0.2), 16000)
    with pytest.raises(AudioError, match="cannot be written"):
        audio_io.save(tmp_path / "file" / "out.wav", voice(100, 0.2), 16000)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_blocks_become_the_same_file(tmp_path):
    tone = voice(100, 0.5) * 2
    audio_io.save(tmp_path / "whole.wav", tone, 16000)
    blocks = np.split(tone, [100, 5000])
    audio_io.save_blocks(tmp_path / "blocks.wav", iter(blocks), len(tone), float(np.abs(tone).max()), 16000)
    assert (tmp_path / "whole.wav").read_bytes() == (tmp_path / "blocks.wav").read_bytes()


def test_a_wav_file_beyond_four_gigabytes_has_64_bit_sizes(tmp_path, monkeypatch):
    tone = voice(100, 0.2)
    monkeypatch.setattr(audio_io, "MAX_WAV_BYTES", 2 * len(tone) - 1)
    for name, kind in [("long.wav", "RF64"), ("long.flac", "FLAC")]:
        audio_io.save(tmp_path / name, tone, 16000)
        assert soundfile.info(tmp_path / name).format == kind
        np.testing.assert_allclose(audio_io.load(tmp_path / name, 16000), tone, atol=1e-4)
    monkeypatch.undo()
    audio_io.save(tmp_path / "short.wav", tone, 16000)
    assert soundfile.info(tmp_path / "short.wav").format == "WAV"


def test_config_survives_a_mapping():
    for config in (CONFIG, AudioConfig(level_dbfs=None)):
        assert from_mapping(AudioConfig, to_mapping(config)) == config


@pytest.mark.parametrize(
    "values, reason",
    [
        ({"hop_samples": 0}, "audio.hop_samples is 0"),
        ({"hop_samples": 2048}, "hop_samples is 2048; set it to at most window_samples 1024"),
        ({"mel_max_hz": 9000.0}, "mel_max_hz is 9000.0; set it to at most 8000"),
        ({"mel_min_hz": 7700.0}, "mel_min_hz is 7700.0; set it to 0 or more, below mel_max_hz 7600"),
        ({"highpass_hz": 0.0}, "audio.highpass_hz is 0"),
        ({"dither": -1.0}, "audio.dither is -1"),
    ],
)
def test_config_checks(values, reason):
    with pytest.raises(ConfigError, match=reason):
        AudioConfig(**values)


def test_import_is_light():
    program = (
        "import sys, evc_jax.audio.mel; "
        "print([m for m in ('jax', 'librosa', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"
