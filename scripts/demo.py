"""Converts the embedded recording to every emotion, two cloned voices and two new ones, and writes a page with them.

python scripts/demo.py [--out demo] [--bundle DIR]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from evc_jax.audio import io as audio_io
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.plotting import draw_small_panel
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import EvcError
from evc_jax.evaluation.metrics import cosine, f0_summary
from evc_jax.evaluation.page import PICTURES, render_page
from evc_jax.evaluation.published import published_section
from evc_jax.evaluation.report import Card, Section
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
INTRODUCTION = "The recordings are synthetic speech (espeak-ng), converted by evc_jax; rendered from the {rendering}."


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
    sections = [demo.recording(), *demo.emotions(), *demo.voices()]
    if figures is not None:
        sections.append(figures)
    page = output / "index.html"
    introduction = INTRODUCTION.format(rendering=converter.bundle.default_rendering)
    page.write_text(render_page("Emotional voice cloning", [introduction, PICTURES], sections), encoding="utf-8")
    print(f"Open {page} to listen ({time.perf_counter() - started:.0f} s in all).")
    return page


@dataclass(frozen=True)
class Demo:
    """Conversions of a recording, as sections of the page."""

    converter: Converter
    output: Path
    source: str  # the recording's file in the output
    features: Features
    cards: list[Card] = field(default_factory=list)  # of the next section

    def recording(self) -> Section:
        """The recording as it is."""
        shutil.copyfile(RECORDING, self.output / self.source)
        self._show("The recording", self.source, self.features.mel, self.features.f0_hz)
        return self._section("The recording", "All sounds below are made of it.")

    def emotions(self) -> list[Section]:
        """The clear emotions at all strengths beside the rules, then the others."""
        names = self.converter.emotions
        clear = [name for name in CLEAR_EMOTIONS if name in names]
        sections = []
        for name in clear:
            self._rule(name)
            for strength in STRENGTHS:
                self._emotion(name, strength)
            text = "First the baseline, then this project. Strength 1 is the emotion as it was learned."
            sections.append(self._section(name.capitalize(), text))
        for name in names:
            if name not in clear:
                self._emotion(name, 1.0)
        return [*sections, self._section("Other emotions", "At strength 1.")] if self.cards else sections

    def voices(self) -> list[Section]:
        """Cloned voices and new ones."""
        for reference in REFERENCES:
            self._clone(reference)
        text = "The recording in the voice of a reference of a few seconds. Cosines are those of the voice encoder."
        sections = [self._section("Cloned voices", text)]
        if self.converter.bundle.has("voicegan"):
            for sex, seed in NEW_VOICES:
                options = ConversionOptions(voice=f"sampled:{sex}", seed=seed)
                self._convert(f"{sex} voice {seed}", f"--voice sampled:{sex} --seed {seed}", options)
            sections.append(self._section("New voices", "Of no real person: invented by VoiceGAN."))
        return sections

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
        options = ConversionOptions(emotion=emotion, strength=strength)
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
        """Draws the picture and adds a card."""
        picture = Path(file).with_suffix(".png").name
        draw_small_panel(self.output / picture, mel, f0_hz, self.converter.bundle.audio)
        text = "; ".join(filter(None, (str(f0_summary(f0_hz)), remark)))
        self.cards.append(Card(title, text, file, picture, command))
        print(title, flush=True)

    def _section(self, title: str, text: str) -> Section:
        """The cards since the last section under a heading."""
        section = Section(title.lower().replace(" ", "-"), title, [text], cards=list(self.cards))
        self.cards.clear()
        return section

    @property
    def _rate_hz(self) -> int:
        return self.converter.sample_rate_hz


def _features(converter: Converter, recording: Path) -> Features:
    rate_hz = converter.sample_rate_hz
    return converter.extract(audio_io.load(recording, rate_hz), rate_hz)


if __name__ == "__main__":
    sys.exit(main())
