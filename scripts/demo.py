"""Converts the embedded recording to every emotion and two sampled voices, and writes a page with the results.

python scripts/demo.py [--out demo] [--bundle DIR]
"""

from __future__ import annotations

import argparse
import html
import shutil
import sys
import time
from pathlib import Path

from evc_jax.audio import io as audio_io
from evc_jax.audio import plotting
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import EvcError
from evc_jax.evaluation.metrics import f0_summary
from evc_jax.files import ASSETS
from evc_jax.jax_cache import enable_cache

STRENGTH = 2.0  # the effect of the embedded bundle at 1 is faint
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Emotional voice cloning</title>
<style>
body {{ margin: 1rem auto; max-width: 70rem; font-family: system-ui, sans-serif; }}
td {{ padding: .5rem; }}
img {{ width: 100%; min-width: 20rem; }}
</style>
<h1>Emotional voice cloning</h1>
<p>Synthetic speech (espeak-ng), converted by evc_jax with the vocoder {vocoder}. The pictures show the mel-spectrogram
and, on top of it, the fundamental frequency F0, the speech melody.</p>
<table>
{rows}
</table>
</html>
"""
ROW = """<tr><td><b>{title}</b><br>{melody}<br><code>{command}</code></td>
<td><audio controls src="{name}.wav" aria-label="{title}"></audio></td>
<td><img src="{name}.png" alt="Mel-spectrogram and F0 of {title}" loading="lazy"></td></tr>"""
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

    shutil.copyfile(RECORDING, output / "source.wav")
    rows = [_row(output, "source", features.mel, features.f0_hz, converter)]

    def convert(title: str, flags: str, options: ConversionOptions) -> None:
        result = converter.convert_features(features, options)
        name = title.replace(" ", "-")
        audio_io.save(output / f"{name}.wav", result.audio, result.sample_rate_hz)
        command = f"evc convert source.wav {flags} -o {name}.wav"
        rows.append(_row(output, title, result.mel, result.f0_hz, converter, command))
        print(f"{title} ({time.perf_counter() - started:.0f} s)", flush=True)

    convert("rebuilt", "", ConversionOptions())
    for name in converter.emotions:
        convert(name, f"--emotion {name} --strength {STRENGTH:g}", ConversionOptions(name, STRENGTH))
    for sex in ("female", "male") if converter.bundle.has("voicegan") else ():
        convert(f"{sex} voice", f"--voice sampled:{sex} --seed 1", ConversionOptions(voice=f"sampled:{sex}", seed=1))
    page = output / "index.html"
    page.write_text(PAGE.format(vocoder=converter.bundle.default_vocoder, rows="\n".join(rows)), encoding="utf-8")
    print(f"Open {page} to listen ({time.perf_counter() - started:.0f} s in all).")
    return page


def _row(output: Path, title: str, mel, f0_hz, converter: Converter, command: str = "") -> str:
    """Draws the picture; returns the row of the page."""
    name = title.replace(" ", "-")
    plotting.draw_panels(output / f"{name}.png", [plotting.Panel("", mel, f0_hz)], converter.bundle.audio)
    texts = {"title": title, "melody": _melody(f0_hz), "name": name, "command": command}
    return ROW.format(**{key: html.escape(text) for key, text in texts.items()})


def _melody(f0_hz) -> str:
    summary = f0_summary(f0_hz)
    if summary.voiced_fraction == 0:
        return "no melody"
    return f"F0 {summary.median_hz:.0f} Hz, range {summary.range_semitones:.1f} semitones"


if __name__ == "__main__":
    sys.exit(main())
