"""The studio as people use it, in headless Chromium."""

import io
import json
import re
import zipfile

import numpy as np
import pytest
import soundfile
import soxr
from playwright.sync_api import expect
from support.containers import as_container

from evc_jax.cli.commands import main
from evc_jax.files import ASSETS

DEMO = ASSETS / "demo.wav"
DEMO_S = soundfile.info(DEMO).duration


def decoded(data):
    samples, rate_hz = soundfile.read(io.BytesIO(data))
    return samples, len(samples) / rate_hz


def test_a_conversion_sounds_and_its_settings_replay_it(page, look, tmp_path):
    look.upload(page)
    page.get_by_label("angry", exact=True).check()
    page.locator("#strength input[type=number]").fill("1.2")
    look.wait_for_new(page, "#result", "#convert")
    (source_s, source), (result_s, result) = look.sounds(page, "#result")
    assert source_s == pytest.approx(DEMO_S, abs=0.01) and decoded(source)[1] == pytest.approx(DEMO_S, abs=0.01)
    samples, duration_s = decoded(result)
    assert result_s == pytest.approx(duration_s, abs=0.01) and 0.7 * DEMO_S < duration_s < 1.4 * DEMO_S
    assert np.sqrt(np.mean(samples**2)) > 0.01
    assert page.locator("#picture img").evaluate("img => img.decode().then(() => img.naturalWidth)") > 500
    with page.expect_download() as download:
        page.get_by_text("Settings", exact=True).click()
    settings = tmp_path / download.value.suggested_filename
    download.value.save_as(settings)
    assert json.loads(settings.read_text())["emotion"] == {"angry": 1.0}
    assert main(["convert", str(DEMO), "--settings", str(settings), "-o", str(tmp_path / "again.wav")]) == 0
    assert (tmp_path / "again.wav").read_bytes() == result
    assert b"synthetic speech, evc_jax" in result


def test_a_microphone_records_what_is_converted(page, look):
    page.locator("#source").get_by_label("Record audio").click()
    page.locator("#source").get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(2500)
    page.locator("#source").get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_selector("#source audio")
    page.get_by_label("sad", exact=True).check()
    look.wait_for_new(page, "#result", "#convert")
    _, (duration_s, result) = look.sounds(page, "#result")
    samples, _ = decoded(result)
    assert 1.0 < duration_s < 6.0 and np.sqrt(np.mean(samples**2)) > 0.003


@pytest.mark.parametrize(("name", "codec"), [("voice.m4a", "aac"), ("voice.webm", "libopus"), ("video.mp4", "aac")])
def test_recordings_of_phones_and_browsers(page, look, tmp_path, name, codec):
    samples, rate_hz = soundfile.read(ASSETS / "voice_male.flac")
    samples = soxr.resample(samples, rate_hz, 48000)
    container = {"voice.m4a": "ipod", "voice.webm": "webm", "video.mp4": "mp4"}[name]
    place = tmp_path / name
    place.write_bytes(as_container(samples, 48000, container, codec, video="video" in name, path=place))
    with page.expect_file_chooser() as chooser:
        page.click("#other-file")
    chooser.value.set_files(place)
    page.wait_for_selector("#source audio")
    look.wait_for_new(page, "#result", "#convert")
    assert look.sounds(page, "#result")[1][0] == pytest.approx(len(samples) / 48000, abs=0.05)


def test_one_key_switches_between_source_and_result(page, look):
    look.upload(page)
    page.locator("#rate input[type=number]").fill("0.8")
    look.wait_for_new(page, "#result", "#convert")
    look.sounds(page, "#result")
    states = "[...document.querySelectorAll('#result audio')].map(a => [a.paused, a.currentTime / a.duration])"
    page.locator("#result").click(position={"x": 2, "y": 2})
    page.keyboard.press("b")
    page.wait_for_function(f"({states})[0][1] > 0.05")
    # What plays goes on while it is asked; the moment of the switch is kept where it happens.
    page.locator("#result audio").nth(1).evaluate(f"audio => {{ audio.onplay = () => window.switched = {states} }}")
    page.keyboard.press("b")
    page.wait_for_function("window.switched")
    (source_paused, source_at), (result_paused, result_at) = page.evaluate("window.switched")
    assert source_paused and not result_paused and result_at == pytest.approx(source_at, abs=0.02)
    assert result_at > 0.04
    page.keyboard.press("Escape")
    page.wait_for_function(f"({states}).every(([paused]) => paused)")


def test_a_new_voice_and_a_mixture_are_kept_as_a_preset(page, look, open_page):
    look.upload(page)
    look.unfold(page, "Mixer")
    for name, share in {"happy": "0.6", "surprised": "0.3"}.items():
        page.locator(f"#mix-{name} input[type=number]").fill(share)
    expect(page.locator("#emotion input:checked")).to_have_count(0)
    page.get_by_label("A new voice", exact=True).check()
    page.get_by_label("male", exact=True).check()
    page.click("#another-voice")
    page.wait_for_function("document.querySelector('#seed input').value === '1'")
    look.wait_for_new(page, "#result", "#convert")
    settings = page.request.get(page.locator("#result a", has_text="Settings").evaluate("a => a.href")).json()
    assert settings["voice"] == "sampled:male" and settings["seed"] == 1
    assert settings["emotion"] == pytest.approx({"happy": 2 / 3, "surprised": 1 / 3})
    look.unfold(page, "Presets")
    page.locator("#preset-name textarea, #preset-name input").fill("bright")
    page.click("#save-preset")
    page.wait_for_function("document.querySelector('#preset input').value === 'bright'")
    page.wait_for_selector("#picture img")  # a page that is left while it waits would complain
    page.reload()
    page.wait_for_selector("#convert")
    look.settle(page)
    look.unfold(page, "Presets")
    page.locator("#preset input").click()
    page.get_by_role("option", name="bright").click()
    page.click("#load-preset")
    page.wait_for_function("document.querySelector('#seed input')?.value === '1'")
    look.unfold(page, "Mixer")
    expect(page.locator("#mix-happy input[type=number]")).to_have_value("0.667")
    expect(page.get_by_label("A new voice", exact=True)).to_be_checked()


def test_a_voice_and_an_emotion_of_other_recordings(page, look):
    look.upload(page)
    page.get_by_label("Of another recording", exact=True).check()
    look.upload(page, ASSETS / "voice_male.flac", "#reference")
    look.unfold(page, "Emotion from a recording")
    look.upload(page, ASSETS / "voice_female.flac", "#acted")
    page.click("#take-emotion")
    expect(page.locator("#found-emotion")).to_contain_text("The mixer has these shares now.")
    look.wait_for_new(page, "#result", "#convert")
    settings = page.request.get(page.locator("#result a", has_text="Settings").evaluate("a => a.href")).json()
    assert settings["voice"].startswith("embedding:") and sum(settings["emotion"].values()) == pytest.approx(1)


def test_errors_are_the_sentences_of_the_command_line(page, look, tmp_path):
    assert look.refusal(page, "#convert") == "There is no recording; record one, upload one, or use the example."
    broken, long = tmp_path / "broken.wav", tmp_path / "long.flac"
    broken.write_bytes(b"no recording" * 100)
    soundfile.write(long, np.zeros(31 * 8000), 8000)
    for file, words in (broken, "broken.wav cannot be read as audio"), (long, "the studio takes up to 30 s"):
        page.set_input_files("#source input[type=file]", file)
        page.wait_for_selector("#source audio")
        sentence = look.refusal(page, "#convert")
        assert words in sentence and "/" not in sentence
        page.locator("#source").get_by_label("Clear").click()
    look.upload(page)
    page.get_by_label("Of another recording", exact=True).check()
    assert "no recording of the other voice" in look.refusal(page, "#convert")
    page.get_by_label("The recording's own", exact=True).check()
    look.unfold(page, "Presets")
    assert "The preset has no name" in look.refusal(page, "#save-preset")
    theirs = tmp_path / "theirs.settings.json"
    theirs.write_text(json.dumps({"voice": "/etc/passwd"}))
    page.set_input_files("#settings-file input[type=file]", theirs)
    assert look.complaint(page) == "The voice 'passwd' is not here; upload its recording."


def test_transfer(page, look):
    look.upload(page)
    look.tab(page, "Transfer")
    assert "no other recording" in look.refusal(page, "#transfer")
    look.upload(page, ASSETS / "voice_male.flac", "#target")
    page.get_by_label("Rhythm", exact=True).uncheck()
    page.get_by_label("Pitch", exact=True).uncheck()
    assert look.refusal(page, "#transfer") == "Nothing is ticked; tick rhythm, pitch or timbre."
    page.get_by_label("Timbre", exact=True).check()
    look.wait_for_new(page, "#transfer-result", "#transfer", 3)
    found = look.sounds(page, "#transfer-result")
    assert found[2][0] == pytest.approx(DEMO_S, abs=0.05)
    page.wait_for_selector("#transfer-picture img")


def test_a_batch_becomes_one_zip_file(page, look, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no recording" * 100)
    page.locator("#pitch-shift input[type=number]").fill("2")
    look.tab(page, "Batch")
    assert "There are no recordings" in look.refusal(page, "#convert-all")
    page.set_input_files("#batch-files input[type=file]", [DEMO, broken, ASSETS / "voice_male.flac"])
    page.get_by_text("broken", exact=False).first.wait_for()
    page.click("#convert-all")
    page.get_by_text("2 of 3 recordings were converted").wait_for()
    expect(page.locator(".evc-error")).to_have_text(re.compile(r"^broken\.wav"))
    with page.expect_download() as download:
        page.get_by_text("Download all").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sorted(archive.namelist()) == ["batch.settings.json", "demo.wav", "voice_male.wav"]
        assert json.loads(archive.read("batch.settings.json"))["pitch_shift"] == 2
        assert decoded(archive.read("demo.wav"))[1] == pytest.approx(DEMO_S, abs=0.01)


def test_two_users_at_once_get_their_own_results(open_page, look):
    pages = [open_page(), open_page()]
    for page, rate in zip(pages, ("0.5", "2"), strict=True):
        look.upload(page)
        page.locator("#rate input[type=number]").fill(rate)
    for page in pages:
        page.click("#convert")
    for page, factor in zip(pages, (2, 0.5), strict=True):
        page.wait_for_selector("#picture img")
        assert look.sounds(page, "#result")[1][0] == pytest.approx(factor * DEMO_S, abs=0.05)


def test_a_keyboard_is_enough(page, look):
    def tab_to(matches):
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate(f"(e => {matches})(document.activeElement)"):
                return
        raise AssertionError(f"no focus on {matches}")

    tab_to("e.innerText === 'Use the example recording'")
    page.keyboard.press("Enter")
    page.wait_for_selector("#source audio")
    tab_to("e.closest('#emotion') && e.value === 'calm'")
    page.keyboard.press("Space")
    expect(page.locator("#emotion input:checked")).to_have_value("calm")
    tab_to("e.id === 'convert'")
    page.keyboard.press("Enter")
    page.wait_for_selector("#result audio")
    page.keyboard.press("b")
    page.wait_for_function("[...document.querySelectorAll('#result audio')].some(audio => !audio.paused)")


def test_a_phone_shows_every_tab_within_its_width(open_page, look):
    page = open_page(390, 844, has_touch=True)
    look.upload(page)
    page.get_by_label("happy", exact=True).check()
    look.wait_for_new(page, "#result", "#convert")
    page.wait_for_selector("#picture img")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0
    for name in ("Transfer", "Batch", "Evaluate"):
        look.tab(page, name)
        page.get_by_role("tab", name=name, exact=True).wait_for()
        assert page.evaluate(overflow) <= 0, name


def test_the_evaluation_of_the_bundle_is_shown(page, look):
    look.tab(page, "Evaluate")
    page.get_by_text("Emotion recognised").first.wait_for()
    page.locator("#evaluation table").nth(5).wait_for()


def test_a_voice_of_the_map_is_used_and_a_grid_is_made(page, look):
    look.upload(page)
    look.tab(page, "Explore")
    page.wait_for_selector('#voice-map [data-key^="own:"]')
    page.locator('#voice-map [data-key="speaker:ravdess-02"]').click(force=True)
    page.wait_for_selector("#map-use:not([disabled])")
    expect(page.locator("#map-chosen")).to_contain_text("Cosine to your recording")
    look.wait_for_new(page, "#map-sound", "#map-listen", 1)
    assert look.sounds(page, "#map-sound")[0][0] == pytest.approx(DEMO_S, abs=0.1)
    page.click("#map-use")
    for box in page.locator("#grid-emotions input").all()[2:]:
        box.uncheck()
    page.click("#grid-make")
    page.locator("#grid a", has_text="Download all").wait_for()
    assert len(look.sounds(page, "#grid")) == 3
    look.tab(page, "Convert")
    expect(page.get_by_label("As chosen elsewhere", exact=True)).to_be_checked()
    look.wait_for_new(page, "#result", "#convert")
    settings = page.request.get(page.locator("#result a", has_text="Settings").evaluate("a => a.href")).json()
    assert settings["voice"].startswith("embedding:")


def test_what_a_training_needs_is_said(page, look):
    look.tab(page, "Train")
    page.get_by_text("evc prepare").first.wait_for()
    page.locator("#training-name textarea, #training-name input").fill("first")
    assert "The datasets are none" in look.refusal(page, "#start-training")


def segments(page):
    return page.locator("#timeline [data-segment]").evaluate_all("all => all.map(each => each.ariaLabel)")


def drag(page, start, end):
    """Drags over the waveform between two shares of its width."""
    box = page.locator("#timeline [data-lane]").bounding_box()
    x, y = [box["x"] + share * box["width"] for share in (start, end)], box["y"] + box["height"] / 2
    page.mouse.move(x[0], y)
    page.mouse.down()
    page.mouse.move(x[1], y, steps=5)
    page.mouse.up()


def test_segments_over_the_waveform_become_the_emotion(page, look, tmp_path):
    look.tab(page, "Timeline")
    assert look.refusal(page, "#convert-timeline").startswith("There is no recording;")
    look.upload(page)
    page.wait_for_selector("#timeline [data-wave] path[d^=M]", state="attached")
    assert "There is no segment" in look.refusal(page, "#convert-timeline")
    page.locator("#timeline [data-lane]").scroll_into_view_if_needed()
    drag(page, 0.1, 0.3)
    page.locator("#timeline").get_by_label("Emotion", exact=True).select_option("angry")
    drag(page, 0.6, 0.8)
    page.locator("#timeline select").select_option("sad")
    assert segments(page) == ["angry 0.46 to 1.38 s, strength 1", "sad 2.75 to 3.67 s, strength 1"]
    drag(page, 0.2, 0.9)  # as far as the other one
    assert segments(page)[0] == "angry 1.83 to 2.75 s, strength 1"
    page.locator("#timeline [data-segment]").first.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Alt+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    page.locator("#timeline input[name=strength]").fill("1.5")
    assert segments(page)[0] == "angry 1.73 to 2.65 s, strength 1.5"
    look.wait_for_new(page, "#timeline-result", "#convert-timeline")
    _, (_, result) = look.sounds(page, "#timeline-result")
    with page.expect_download() as download:
        page.locator("#timeline-result").get_by_text("Settings", exact=True).click()
    settings = tmp_path / download.value.suggested_filename
    download.value.save_as(settings)
    assert len(json.loads(settings.read_text())["emotion_track"]) == 2
    assert main(["convert", str(DEMO), "--settings", str(settings), "-o", str(tmp_path / "again.wav")]) == 0
    assert (tmp_path / "again.wav").read_bytes() == result
    with page.expect_download() as download:
        page.locator("#timeline [data-download]").click()
    track = tmp_path / "track.csv"
    download.value.save_as(track)
    page.locator("#timeline [data-segment]").first.focus()
    page.keyboard.press("Delete")
    page.keyboard.press("Delete")
    assert segments(page) == []
    with page.expect_file_chooser() as chooser:
        page.click("#track-file")
    chooser.value.set_files(track)
    page.wait_for_selector("#timeline [data-segment]")
    assert segments(page) == ["angry 1.73 to 2.65 s, strength 1.5", "sad 2.75 to 3.67 s, strength 1"]


def test_the_timeline_plays_from_any_point(page, look, tmp_path):
    look.tab(page, "Timeline")
    look.upload(page)
    page.wait_for_selector("#timeline [data-wave] path[d^=M]", state="attached")
    page.locator("#timeline [data-lane]").scroll_into_view_if_needed()
    box = page.locator("#timeline [data-lane]").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 50)
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('#timeline audio').currentTime > 2.4")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('#timeline audio').paused")
    assert float(page.locator("#timeline [role=slider]").get_attribute("aria-valuenow")) > 2.4
    page.click("#timeline [data-add]")
    page.locator("#timeline input[name=end_s]").fill("4")
    page.keyboard.press("Tab")
    assert segments(page)[0].endswith("to 4.00 s, strength 1")
    page.locator("#timeline input[name=end_s]").press("Space")  # types
    assert page.locator("#timeline audio").evaluate("audio => audio.paused")
    long = tmp_path / "long.flac"
    soundfile.write(long, np.zeros(31 * 8000), 8000)
    page.locator("#source").get_by_label("Clear").click()
    page.set_input_files("#source input[type=file]", long)
    page.get_by_text("the studio takes up to 30 s").wait_for()
