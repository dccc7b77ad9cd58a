"""Converts the embedded recording to every emotion, two cloned voices and two new ones, and writes a page with them.

python scripts/demo.py [--out demo] [--bundle DIR]
"""

from __future__ import annotations

import argparse
import html
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from evc_jax.audio import io as audio_io
from evc_jax.audio import plotting
from evc_jax.audio.config import AudioConfig
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import EvcError
from evc_jax.evaluation.metrics import cosine, f0_summary
from evc_jax.evaluation.page import STYLE, render_section
from evc_jax.evaluation.published import published_section
from evc_jax.evaluation.rules import apply_rule, load_rules
from evc_jax.features.extract import Features
from evc_jax.files import ASSETS
from evc_jax.jax_cache import enable_cache

STRENGTHS = (0.5, 1.0, 1.5)
# Shown at all strengths and beside the rules; the others at 1.
CLEAR_EMOTIONS = ("happy", "sad", "angry")
RULES_OF = "ravdess"  # English, as the recording
NEW_VOICES = (("female", 1), ("male", 1))
# Spoken by eSpeak NG, see NOTICE: the package holds no person's voice.
RECORDING = ASSETS / "demo.wav"
REFERENCES = (ASSETS / "voice_female.flac", ASSETS / "voice_male.flac")
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Emotional voice cloning</title>
<style>{style}
.sounds td {{ text-align: left; width: 33% }} .sounds img {{ width: 100%; min-width: 20rem }}
code {{ font-size: .8rem }}
</style>
<h1>Emotional voice cloning</h1>
<p>The recordings are synthetic speech (espeak-ng), converted by evc_jax; rendered from the {rendering}. The pictures
show the mel-spectrogram and, on top of it, the fundamental frequency F0, the speech melody.</p>
{body}
</html>
"""
GROUP = """<h2>{title}</h2>
<p>{text}</p>
<div class="wide"><table class="sounds">
{rows}
</table></div>"""
ROW = """<tr><td><b>{title}</b><br>{summary}<br><code>{command}</code></td>
<td><audio controls preload="none" src="{file}" aria-label="{title}"></audio></td>
<td><img src="{picture}" alt="Mel-spectrogram and F0 of {title}" loading="lazy"></td></tr>"""


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
    figures = published_section(converter.bundle.path)
    output.mkdir(parents=True, exist_ok=True)
    demo = Demo(converter, output, "source.wav", _features(converter, RECORDING))
    body = [demo.recording(), *demo.emotions(), *demo.voices()]
    if figures is not None:
        body.append(render_section(figures))
    page = output / "index.html"
    rendering = converter.bundle.default_rendering
    page.write_text(PAGE.format(style=STYLE, rendering=rendering, body="\n".join(body)), encoding="utf-8")
    print(f"Open {page} to listen ({time.perf_counter() - started:.0f} s in all).")
    return page


@dataclass(frozen=True)
class Demo:
    """Conversions of a recording, as groups of rows of the page."""

    converter: Converter
    output: Path
    source: str  # the recording's file in the output
    features: Features
    rows: list[str] = field(default_factory=list)

    def recording(self) -> str:
        """The recording as it is."""
        shutil.copyfile(RECORDING, self.output / self.source)
        self._show("The recording", self.source, self.features.mel, self.features.f0_hz)
        return self._group("The recording", "All sounds below are made of it.")

    def emotions(self) -> list[str]:
        """The clear emotions at all strengths beside the rules, then the others."""
        names = self.converter.emotions
        clear = [name for name in CLEAR_EMOTIONS if name in names]
        groups = []
        for name in clear:
            self._rule(name)
            for strength in STRENGTHS:
                self._emotion(name, strength)
            text = "First the baseline, then this project. Strength 1 is the emotion as it was learned."
            groups.append(self._group(name.capitalize(), text))
        for name in names:
            if name not in clear:
                self._emotion(name, 1.0)
        return [*groups, self._group("Other emotions", "At strength 1.")] if self.rows else groups

    def voices(self) -> list[str]:
        """Cloned voices and new ones."""
        for reference in REFERENCES:
            self._clone(reference)
        text = "The recording in the voice of a reference of a few seconds. Cosines are those of the voice encoder."
        groups = [self._group("Cloned voices", text)]
        if self.converter.bundle.has("voicegan"):
            for sex, seed in NEW_VOICES:
                options = ConversionOptions(voice=f"sampled:{sex}", seed=seed)
                self._convert(f"{sex} voice {seed}", f"--voice sampled:{sex} --seed {seed}", options)
            groups.append(self._group("New voices", "Of no real person: invented by VoiceGAN."))
        return groups

    def _rule(self, emotion: str) -> None:
        config = self.converter.bundle.audio
        rule = load_rules().get((RULES_OF, emotion))
        if rule is None or config != AudioConfig():  # the rules' settings
            return
        record = {"audio": audio_io.to_pcm(self.features.audio), "f0_hz": self.features.f0_hz}
        file = f"{emotion}-rules.wav"
        audio_io.save(self.output / file, apply_rule(record, rule, config) / self.features.level_gain, self._rate_hz)
        made = _features(self.converter, self.output / file)
        remark = f"statistics of {RULES_OF.upper()} ({rule.semitones:+.1f} semitones, ...), applied with WORLD"
        self._show(f"{emotion} by the rules", file, made.mel, made.f0_hz, remark)

    def _emotion(self, emotion: str, strength: float) -> None:
        options = ConversionOptions(emotion, strength)
        title = emotion if strength == 1 else f"{emotion} {strength:g}"
        self._convert(title, f"--emotion {emotion} --strength {strength:g}", options)

    def _clone(self, reference: Path) -> None:
        shutil.copyfile(reference, self.output / reference.name)
        voice = _features(self.converter, reference)
        title = reference.stem.replace("_", " ")
        before = cosine(self.features.embedding, voice.embedding)
        self._show(
            f"{title}: reference", reference.name, voice.mel, voice.f0_hz, f"cosine with the source {before:.2f}"
        )
        options = ConversionOptions(voice=str(reference))
        self._convert(f"{title} cloned", f"--voice {reference.name}", options, voice)

    def _convert(self, title: str, flags: str, options: ConversionOptions, reference: Features | None = None) -> None:
        result = self.converter.convert_features(self.features, options)
        file = f"{title.replace(' ', '-')}.wav"
        audio_io.save(self.output / file, result.audio, result.sample_rate_hz)
        remark = ""
        if reference is not None:
            after = cosine(_features(self.converter, self.output / file).embedding, reference.embedding)
            remark = f"cosine with the reference {after:.2f}"
        command = f"evc convert {self.source} {flags} -o {file}"
        self._show(title, file, result.mel, result.f0_hz, remark, command)

    def _show(self, title: str, file: str, mel, f0_hz, remark: str = "", command: str = "") -> None:
        """Draws the picture and adds a row."""
        picture = Path(file).with_suffix(".png").name
        plotting.draw_panels(self.output / picture, [plotting.Panel("", mel, f0_hz)], self.converter.bundle.audio)
        summary = "; ".join(filter(None, (_melody(f0_hz), remark)))
        texts = {"title": title, "summary": summary, "command": command, "file": file, "picture": picture}
        self.rows.append(ROW.format(**{key: html.escape(text) for key, text in texts.items()}))
        print(title, flush=True)

    def _group(self, title: str, text: str) -> str:
        """The rows since the last group under a heading."""
        rows = "\n".join(self.rows)
        self.rows.clear()
        return GROUP.format(title=html.escape(title), text=html.escape(text), rows=rows)

    @property
    def _rate_hz(self) -> int:
        return self.converter.sample_rate_hz


def _features(converter: Converter, recording: Path) -> Features:
    rate_hz = converter.sample_rate_hz
    return converter.extract(audio_io.load(recording, rate_hz), rate_hz)


def _melody(f0_hz) -> str:
    summary = f0_summary(f0_hz)
    if summary.voiced_fraction == 0:
        return "no melody"
    return f"F0 {summary.median_hz:.0f} Hz, range {summary.range_semitones:.1f} semitones"


if __name__ == "__main__":
    sys.exit(main())
