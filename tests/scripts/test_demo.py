"""The demo page: complete, self-contained, and made of files that are there."""

import importlib.util
import re
from pathlib import Path

import pytest
import soundfile
from support.tiny_bundles import EMOTIONS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def page(tiny_bundle, tmp_path_factory):
    spec = importlib.util.spec_from_file_location("demo", ROOT / "scripts" / "demo.py")
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return demo.make_demo(tmp_path_factory.mktemp("demo") / "page", str(tiny_bundle))


def test_every_emotion_and_new_voices_have_sound_and_picture(page):
    strong = {f"{name}-{strength}" for name in ("happy", "sad") for strength in ("0.5", "1.5")}
    voices = {f"{sex}-voice-{seed}" for sex in ("female", "male") for seed in (1, 2)}
    names = {"source", *EMOTIONS, *strong, *voices}
    assert {path.stem for path in page.parent.glob("*.wav")} == names
    assert {path.stem for path in page.parent.glob("*.png")} == names
    for name in names:
        assert abs(soundfile.info(page.parent / f"{name}.wav").duration - 4.62) < 0.05


def test_links_are_relative_and_lead_somewhere(page):
    text = page.read_text()
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len(links) == 2 * (1 + len(EMOTIONS) + 2 * 2 + 4)
    for link in links:
        assert (page.parent / link).is_file()
    assert "http" not in text and "<script" not in text


def test_the_embedded_recording_is_16_bit_mono():
    info = soundfile.info(ROOT / "evc_jax" / "assets" / "demo.wav")
    assert (info.channels, info.subtype) == (1, "PCM_16")
    assert 3 < info.duration < 6
