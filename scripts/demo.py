"""Converts the embedded recording to every emotion and four sampled voices, and writes a page with the results.

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

STRENGTHS = (0.5, 1.0, 1.5)
# Shown at all strengths; the others at 1.
CLEAR_EMOTIONS = ("happy", "sad", "angry")
NEW_VOICES = (("female", 1), ("female", 2), ("male", 1), ("male", 2))
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
<p>The recording is synthetic speech (espeak-ng), converted by evc_jax; rendered from the {rendering}. The pictures show
the mel-spectrogram and, on top of it, the fundamental frequency F0, the speech melody.</p>
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

    for name in converter.emotions:
        for strength in STRENGTHS if name in CLEAR_EMOTIONS else (1.0,):
            title = name if strength == 1 else f"{name} {strength:g}"
            convert(title, f"--emotion {name} --strength {strength:g}", ConversionOptions(name, strength))
    for sex, seed in NEW_VOICES if converter.bundle.has("voicegan") else ():
        voice = ConversionOptions(voice=f"sampled:{sex}", seed=seed)
        convert(f"{sex} voice {seed}", f"--voice sampled:{sex} --seed {seed}", voice)
    page = output / "index.html"
    rendering = converter.bundle.default_rendering
    page.write_text(PAGE.format(rendering=rendering, rows="\n".join(rows)), encoding="utf-8")
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
