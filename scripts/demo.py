"""Converts the embedded recording to every emotion and two sampled voices, and writes a page with the results.

python scripts/demo.py [--out demo] [--bundle DIR]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from evc_jax.audio import io as audio_io
from evc_jax.audio import plotting
from evc_jax.conversion.converter import Conversion, Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import EvcError
from evc_jax.evaluation import gallery
from evc_jax.evaluation.metrics import f0_summary
from evc_jax.features.extract import Features
from evc_jax.files import ASSETS
from evc_jax.jax_cache import enable_cache

SENTENCE = "The letter came this morning, and nobody knows who could have sent it."
STRENGTH = 2.0  # the effect of the embedded bundle at 1 is faint
TEXT = (
    "Synthetic speech (espeak-ng), converted by evc_jax with the vocoder {vocoder}. "
    "The pictures show the mel-spectrogram and, on top of it, the fundamental frequency F0, the speech melody."
)
RECORDING = ASSETS / "demo.wav"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder to write; default: demo")
    parser.add_argument("--bundle", help="default: the bundle that comes with the package")
    arguments = parser.parse_args()
    try:
        make_demo(arguments.out, arguments.bundle)
    except (EvcError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    return 0


def make_demo(output: Path, bundle: str | None = None) -> Path:
    """Writes sounds, pictures and `index.html` into `output`; returns the page."""
    started = time.perf_counter()
    enable_cache()
    converter = Converter.load(bundle)
    rate_hz = converter.sample_rate_hz
    features = converter.extract(audio_io.load(RECORDING, rate_hz), rate_hz)
    output.mkdir(parents=True, exist_ok=True)

    def convert(title: str, flags: str, options: ConversionOptions) -> gallery.Item:
        result = converter.convert_features(features, options)
        print(f"{title} ({time.perf_counter() - started:.0f} s)", flush=True)
        return _write(output, title, flags, result)

    emotions = [
        convert(name, f"--emotion {name} --strength {STRENGTH:g}", ConversionOptions(name, STRENGTH))
        for name in converter.emotions
    ]
    voices = [
        convert(f"{sex} voice", f"--voice sampled:{sex} --seed 1", ConversionOptions(voice=f"sampled:{sex}", seed=1))
        for sex in ("female", "male")
        if converter.bundle.has("voicegan")
    ]
    originals = [_write_source(output, features, converter), convert("rebuilt", "", ConversionOptions())]
    sections = [
        gallery.Section("The recording", "As it is, and through the networks with nothing changed.", tuple(originals)),
        gallery.Section("Emotions", f"CodeGAN at strength {STRENGTH:g}; words and voice stay.", tuple(emotions)),
        gallery.Section("Voices", "People who do not exist, sampled from VoiceGAN.", tuple(voices)),
    ]
    text = TEXT.format(vocoder=converter.bundle.default_vocoder)
    page = output / "index.html"
    gallery.write_page(page, "Emotional voice cloning", SENTENCE, text, [s for s in sections if s.items])
    print(f"Open {page} to listen ({time.perf_counter() - started:.0f} s in all).")
    return page


def _write(output: Path, title: str, flags: str, result: Conversion) -> gallery.Item:
    name = title.replace(" ", "-")
    audio_io.save(output / f"{name}.wav", result.audio, result.sample_rate_hz)
    plotting.draw_panels(output / f"{name}.png", [plotting.Panel("", result.mel, result.f0_hz)], result.config)
    command = " ".join(f"evc convert source.wav {flags} -o {name}.wav".split())
    return gallery.Item(title, _melody(result.f0_hz), f"{name}.wav", f"{name}.png", command)


def _write_source(output: Path, features: Features, converter: Converter) -> gallery.Item:
    shutil.copyfile(RECORDING, output / "source.wav")
    panel = plotting.Panel("", features.mel, features.f0_hz)
    plotting.draw_panels(output / "source.png", [panel], converter.bundle.audio)
    return gallery.Item("source", _melody(features.f0_hz), "source.wav", "source.png")


def _melody(f0_hz) -> str:
    summary = f0_summary(f0_hz)
    if summary.voiced_fraction == 0:
        return "no melody"
    return f"F0 {summary.median_hz:.0f} Hz, range {summary.range_semitones:.1f} semitones"


if __name__ == "__main__":
    sys.exit(main())
