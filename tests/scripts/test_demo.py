"""The demo page: complete, self-contained, and made of files that are there."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import soundfile
from support.tiny_bundles import EMOTIONS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def page(tiny_bundle, tmp_path_factory):
    spec = importlib.util.spec_from_file_location("demo", ROOT / "scripts" / "demo.py")
    demo = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "demo", demo)  # where dataclasses look their module up
        spec.loader.exec_module(demo)
        patch.setenv("EVC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return demo.make_demo(tmp_path_factory.mktemp("demo") / "page", str(tiny_bundle))


def test_every_emotion_the_rules_and_voices_have_sound_and_picture(page):
    clear = {f"{name}-{kind}" for name in ("happy", "sad") for kind in ("rules", "0.5", "1.5")}
    voices = {f"{sex}-voice-1" for sex in ("female", "male")} | {f"voice-{sex}-cloned" for sex in ("female", "male")}
    names = {"source", *EMOTIONS, *clear, *voices}
    references = {"voice_female", "voice_male"}
    assert {path.stem for path in page.parent.glob("*.wav")} == names
    assert {path.stem for path in page.parent.glob("*.flac")} == references
    assert {path.stem for path in page.parent.glob("*.png")} == names | references
    for name in names:
        # The rules have a timing of their own.
        assert abs(soundfile.info(page.parent / f"{name}.wav").duration - 4.62) < (1.5 if "rules" in name else 0.05)


def test_rows_stand_under_headings_and_links_are_relative_and_lead_somewhere(page):
    text = page.read_text()
    headings = ["The recording", "Happy", "Sad", "Other emotions", "Cloned voices", "New voices"]
    assert re.findall("<h2>(.*?)</h2>", text) == headings  # a bundle without figures
    links = [link for link in re.findall(r'(?:src|href)="([^"]*)"', text) if not link.startswith("#")]
    assert len(links) == 4 * (1 + 2 * 4 + 1 + 4 + 2)
    for link in links:
        assert (page.parent / link).is_file()
    assert "http" not in text and "<script" not in text


@pytest.mark.parametrize("name", ["demo.wav", "voice_female.flac", "voice_male.flac"])
def test_the_embedded_recordings_are_16_bit_mono_and_short(name):
    info = soundfile.info(ROOT / "evc_jax" / "assets" / name)
    assert (info.channels, info.subtype) == (1, "PCM_16")
    assert 3 < info.duration < 6
