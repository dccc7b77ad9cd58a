"""JSON bodies: the same fields as forms and the command line have, and the same answers."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from support.tiny_bundles import tiny_converter, tone
from support.uploads import as_bytes, base64_text, conversion, converted_file, difference_db, recording

pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from evc_jax import __version__
from evc_jax.cli.commands import main
from evc_jax.conversion.options import OPTIONS
from evc_jax.conversion.settings import read_settings
from evc_jax.errors import AudioError
from evc_jax.pretrained.bundle import from_description
from evc_jax.serving.bodies import MAX_JSON_VALUES
from evc_jax.serving.service import Service
from evc_jax.serving.settings import ServerSettings

ROUNDING_DB = -80
JSON_TYPE = {"content-type": "application/json"}
SOUND = recording()
ROWS = [{"start_s": 0.1, "end_s": 0.3, "emotion": "sad"}, {"start_s": 0.3, "end_s": 0.5, "emotion": {"happy": 0.7}}]
CSV = "start_s,end_s,emotion,strength\n0.1,0.3,sad,\n0.3,0.5,happy,0.7\n"


def body(**fields):
    return {"recording": base64_text(SOUND)} | fields


@pytest.mark.parametrize(
    ("fields", "form", "options"),
    [
        (
            {"emotion": {"happy": 0.6, "sad": 0.4}, "strength": [[0, 0.0], [0.5, 1.5]], "seed": 3.0, "rate": 1},
            {"emotion": "happy=0.6,sad=0.4", "strength": "0:0,0.5:1.5", "seed": 3, "rate": 1.0},
            {"emotion": {"happy": 0.6, "sad": 0.4}, "strength": "0:0,0.5:1.5", "seed": 3},
        ),
        (
            {"emotion_track": ROWS, "emotion_fade": 0.1, "strength": "0:0,0.5:1"},
            {"emotion_track": CSV, "emotion_fade": 0.1, "strength": "0:0,0.5:1"},
            {"emotion_track": ROWS, "emotion_fade": 0.1, "strength": "0:0,0.5:1"},
        ),
        (
            {"voice": ["sampled:male", "sampled:female"], "timbre": 0.5, "vocoder": "griffin-lim"},
            {"voice": ["sampled:male", "sampled:female"], "timbre": 0.5, "vocoder": "griffin-lim"},
            {"voice": ["sampled:male", "sampled:female"], "timbre": 0.5},
        ),
    ],
)
def test_answers_are_those_of_forms_and_of_the_converter(client, tmp_path, fields, form, options):
    answer, same = client.post("/convert", body(**fields)), client.convert(SOUND, **form)
    assert (answer.status_code, same.status_code) == (200, 200), (answer.text, same.text)
    assert answer.content == same.content
    assert difference_db(answer.content, converted_file(tiny_converter(), tmp_path, SOUND, **options)) < ROUNDING_DB


@pytest.mark.parametrize(
    "track", [CSV, "0.1\t0.3\tsad\n0.3\t0.5\thappy=0.7\n", json.dumps(ROWS)], ids=["csv", "labels", "json"]
)
def test_tracks_are_those_of_the_command_line(client, tiny_bundle, tmp_path, track):
    (tmp_path / "in.wav").write_bytes(SOUND)
    (tmp_path / "track.txt").write_text(track)
    files = ["in.wav", "--emotion-track", "track.txt", "--bundle", tiny_bundle, "-o", "out.wav"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(["convert", *map(str, files)]) == 0
    uploaded = conversion(SOUND)
    uploaded["files"].append(("emotion_track", ("track.txt", track.encode())))
    answers = [*client.send(uploaded), client.post("/convert", body(emotion_track=track))]
    assert answers[0].content == answers[1].content
    assert difference_db(answers[0].content, (tmp_path / "out.wav").read_bytes()) < ROUNDING_DB


def test_uploaded_voices_and_transfers(client):
    voices, target = [recording(1.0, f0_hz=210.0), recording(1.2, f0_hz=230.0)], recording(0.8, f0_hz=220.0)
    for given in (voices, voices[:1]):
        texts = [base64_text(voice) for voice in given]
        answer = client.post("/convert", body(voice_file=texts if len(texts) > 1 else texts[0], format="flac"))
        assert answer.headers["content-type"] == "audio/flac"
        assert answer.content == client.convert(SOUND, voices=given, format="flac").content
    fields = {"aspects": "F", "seed": 1}
    files = {"source": SOUND, "target": target}
    (form,) = client.send({"method": "POST", "url": "/transfer", "files": files, "data": fields})
    answer = client.post("/transfer", fields | {name: base64_text(data) for name, data in files.items()})
    assert answer.status_code == 200 and answer.content == form.content


def test_a_body_may_be_a_settings_file_with_a_recording(client):
    settings = {"evc_jax": "0.2.0", "bundle": "/no/such/bundle", "emotion": {"happy": 1.0}, "rate": 1.25}
    answer = client.post("/convert", body(**settings))
    assert answer.status_code == 200, answer.text
    assert answer.content == client.convert(SOUND, emotion="happy", rate=1.25).content


def test_voices_of_the_bundle_are_taken_by_name(client, monkeypatch):
    service, voice = client.service, np.full(256, 1 / 16, np.float32)
    bundle = from_description({**service.bundle.description, "voices": {"me": {"embedding": voice.tolist()}}}, "")
    assert Service(bundle, ServerSettings(workers=1)).voices == ["original", "sampled:male", "sampled:female", "me"]
    monkeypatch.setattr(service, "voices", ["original", "me"])
    monkeypatch.setitem(service.bundle.description, "voices", bundle.description["voices"])
    assert client.get("/info").json()["voices"] == ["original", "me"]
    answers = [client.post("/convert", body(voice="me")), client.convert(SOUND, voice="me")]
    assert [answer.status_code for answer in answers] == [200, 200] and answers[0].content == answers[1].content
    assert answers[0].content != client.convert(SOUND).content
    np.testing.assert_array_equal(service.converter.voices.resolve("me"), voice)
    assert "choose one of original, me." in client.post("/convert", body(voice="you")).json()["detail"]


def test_base64_may_have_line_breaks(client):
    text = base64_text(SOUND)
    broken = "".join(text[i : i + 76] + "\r\n" for i in range(0, len(text), 76))
    answers = [client.post("/convert", {"recording": each, "rendering": "source"}) for each in (text, broken)]
    assert answers[0].status_code == 200 and answers[0].content == answers[1].content


def test_the_emotion_of_a_reference_is_found_out_once(client, monkeypatch):
    converter, resolved = client.service.converter, []

    def resolve(options):
        if options.emotion_from is None:
            return options
        resolved.append(options.emotion_from)
        if len(options.emotion_from) < 12000:
            raise AudioError("the recording has no speech; give another.")
        return replace(options, emotion="sad", emotion_from=None)

    monkeypatch.setattr(converter, "resolve", resolve)
    reference = as_bytes(tone(1.0, 8000), 8000)
    uploaded = conversion(SOUND)
    uploaded["files"].append(("emotion_from", ("reference.wav", reference)))
    answers = [*client.send(uploaded), client.post("/convert", body(emotion_from=base64_text(reference)))]
    expected = client.convert(SOUND, emotion="sad").content
    assert [answer.content for answer in answers] == [expected] * 2
    assert [samples.shape for samples in resolved] == [(16000,)] * 2
    for data, words in ((recording(0.5), "emotion_from: the recording has no speech"), (b"x", "emotion_from: ")):
        answer = client.post("/convert", body(emotion_from=base64_text(data)))
        assert answer.status_code == 422 and answer.json()["detail"].startswith(words)


def test_no_text_is_taken_for_the_name_of_a_file(client, tmp_path):
    files = {"wav": SOUND, "csv": CSV.encode(), "json": json.dumps(ROWS).encode()}
    for suffix, data in files.items():
        (tmp_path / f"file.{suffix}").write_bytes(data)
    np.save(tmp_path / "file.npy", np.ones(256, np.float32))
    names = [option.name for option in OPTIONS if option.kind is str] + ["voice", "voice_file", "strength", "format"]
    for path in map(str, (*tmp_path.iterdir(), tmp_path)):
        for name in names:
            for answer in (client.post("/convert", body(**{name: path})), client.convert(SOUND, **{name: path})):
                assert answer.status_code == 422, (name, answer.status_code)
            answer = client.post("/convert", body(**{name: [path]}))
            assert answer.status_code == 422, (name, answer.status_code)
        assert client.post("/convert", {"recording": path}).status_code == 422


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"recording": None}, "The field recording is null; give a recording"),
        ({"recording": 5}, "The field recording is 5; give a recording"),
        ({"recording": "hello.wav"}, "The field recording is 'hello.wav'; give a recording"),
        ({"recording": "Pfad/é"}, "The field recording is 'Pfad/é'"),
        ({"recording": ""}, "recording: "),
        ({"recording": "AAAA"}, "recording: "),
        ({"recording": [base64_text(b"x")]}, "The field recording is a list"),
        ({"emotion": None}, "The field emotion is null; give a name, happy=0.6,surprised=0.4, or an object"),
        ({"emotion": 1}, "The field emotion is 1"),
        ({"emotion": {}}, "The emotion '{}' cannot be read"),
        ({"emotion": {"happy": "1"}}, "The field emotion is an object; give"),
        ({"emotion": {"happy": True}}, "The field emotion is an object; give"),
        ({"emotion": {"happy": 10**400}}, "The weight of happy is '1000"),
        ({"emotion": {"happy": 0.5, "\ud800": 0.5}}, "There is no emotion"),
        ({"emotion": {"\ud800": -1}}, "The weight of ? is -1"),
        ({"emotion": {"x" * 9999: -1}}, "xxx..."),
        ({"strength": None}, "The field strength is null; give a number from 0 to 3, or a curve"),
        ({"strength": True}, "The field strength is true"),
        ({"strength": "1.5"}, "The field strength is '1.5'"),
        ({"strength": 4}, "The strength is 4; give a number from 0 to 3."),
        ({"strength": 10**400}, "The strength is 1000"),
        ({"strength": [[0, 1], [1, 4]]}, "The strength is 4; give a number from 0 to 3."),
        ({"strength": [[0, "1"]]}, "The field strength is a list; give"),
        ({"strength": [[0, 10**400]]}, "The curve '[[0, 1000"),
        ({"strength": []}, "A curve has no points"),
        ({"strength": {"0": 1}}, "The field strength is an object"),
        ({"rate": "1.2"}, "The field rate is '1.2'; give a number from 0.5 to 2."),
        ({"seed": 1.5}, "The field seed is 1.5; give an integer from 0 to 4294967295."),
        ({"seed": False}, "The field seed is false; give an integer"),
        ({"vocoder": 1}, "The field vocoder is 1; give a text."),
        ({"vocoder": "harp"}, "There is no vocoder 'harp'; choose one of griffin-lim, waveglow."),
        ({"voice": "robot"}, "There is no voice 'robot'; choose one of"),
        ({"voice": []}, "The field voice is a list of 0; give 1 to 10."),
        ({"voice_file": [base64_text(SOUND)] * 11}, "The field voice_file is a list of 11; give 1 to 10."),
        ({"voice_file": [[]]}, "The field voice_file is a list; give a recording"),
        ({"emotion_track": 3}, "The field emotion_track is 3; give the content"),
        ({"emotion_track": [3]}, "Row 1 of the emotion track is no mapping"),
        ({"emotion_track": [{"start_s": 0}]}, "Row 1 of the emotion track has no end_s"),
        ({"emotion_track": [ROWS[0] | {"colour": 1}]}, "Row 1 of the emotion track has 'colour'"),
        ({"emotion_track": [ROWS[0] | {"start_s": 10**400}]}, "The start_s of row 1 is '1000"),
        ({"emotion_track": [ROWS[0] | {"emotion": "bored"}]}, "There is no emotion 'bored'; choose one of neutral"),
        ({"emotion_track": [ROWS[0] | {"emotion": [1]}]}, "The emotion '[1]' cannot be read"),
        ({"emotion_track": [ROWS[0] | {"emotion": {"sad": [1]}}]}, "The weight of sad is '[1]'"),
        ({"emotion_track": [ROWS[0] | {"end_s": 9}]}, "goes on to 9 s, and the recording lasts 0.60 s"),
        ({"emotion_track": "x" * (2**20 + 1)}, "has 1048577 bytes; give up to 1048576."),
        ({"stregth": 1}, "There is no field 'stregth'; choose from"),
        ({"flatten": 1, "flatten_pitch": 0}, "flatten_pitch is given twice"),
    ],
)
def test_impossible_fields(client, fields, words):
    answer = client.post("/convert", body(**fields))
    detail = answer.json()["detail"]
    assert answer.status_code == 422 and words in detail and len(detail) < 1100, answer.text


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 400, "The JSON body cannot be read (Expecting value"),
        (b"{", 400, "cannot be read"),
        (b'{"rate": NaN}', 400, "NaN is no number in JSON"),
        (b'{"rate": ' + b"9" * 9999 + b"}", 400, "cannot be read"),
        (b'{"rate": 1, "rate": 2}', 400, "has the same name twice"),
        (b"\xff{}", 400, "cannot be read"),
        (b"[" * 50_000, 400, "cannot be read"),
        (b'{"a":' * 50_000, 400, "cannot be read"),
        (b"[" + b"[]," * MAX_JSON_VALUES + b"0]", 400, "more than 100000 commas and brackets"),
        (b"[]", 422, "The JSON body is a list; send an object"),
        (b"null", 422, "The JSON body is null; send an object"),
        (b"{}", 422, "The field recording is missing"),
    ],
)
def test_damaged_bodies(client, content, status, words):
    (answer,) = client.send({"method": "POST", "url": "/convert", "content": content, "headers": JSON_TYPE})
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text


def test_a_body_may_be_a_third_larger_than_its_recordings(client):
    limits = client.get("/info").json()["limits"]
    assert (limits["upload_bytes"], limits["json_bytes"]) == (2**20, 2**22 // 3)
    fits, exceeds = ({"recording": "A" * (2**22 // 3 - less)} for less in (32, 0))
    assert client.post("/convert", fits).status_code == 422
    answer = client.post("/convert", exceeds)
    assert answer.status_code == 413 and "larger than 1.333 MB" in answer.json()["detail"]


def test_memory_is_a_small_multiple_of_the_body(client):
    bodies = [b'{"recording": "' + b"A" * 1_300_000 + b'"}', b"[" + b"[]," * 400_000 + b"0]"]
    for content in bodies:
        tracemalloc.start()
        client.send({"method": "POST", "url": "/convert", "content": content, "headers": JSON_TYPE})
        assert tracemalloc.get_traced_memory()[1] < 8 * len(content)
        tracemalloc.stop()


def test_the_documentation_shows_every_field(client):
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {"/convert", "/transfer", "/health", "/health/live", "/info", "/metrics"}
    schemas = {
        (route, kind): described["schema"]["properties"]
        for route in ("convert", "transfer")
        for kind, described in document["paths"][f"/{route}"]["post"]["requestBody"]["content"].items()
    }
    forms, bodies = (schemas["convert", kind] for kind in ("multipart/form-data", "application/json"))
    assert {"recording", "voice", "voice_file", "format", "flatten"} < set(forms)
    assert set(bodies) == set(forms) | {"evc_jax", "bundle"}
    assert {forms[name]["contentMediaType"] for name in ("recording", "emotion_from", "emotion_track")} == {
        "application/octet-stream"
    }
    assert bodies["recording"]["contentEncoding"] == bodies["emotion_from"]["contentEncoding"] == "base64"
    info = client.get("/info").json()["options"]
    for option in OPTIONS:
        assert (option.name in schemas["transfer", "application/json"]) == option.synthesis
        assert (info[option.name]["lowest"], info[option.name]["highest"]) == (option.low, option.high)
        for kind in (forms, bodies):
            field = kind[option.name]
            number = field["anyOf"][0] if option.is_curve else field
            assert field["description"] == option.help and field.get("default") == option.default
            assert (number.get("minimum"), number.get("maximum")) == (option.low, option.high)
            assert tuple(field.get("enum", ())) == option.choices


def test_answers_carry_what_was_asked_for(client, tmp_path):
    for container in ("wav", "flac"):
        answer = client.post("/convert", body(emotion={"happy": 1, "sad": 3}, rate=1.25, format=container))
        file = tmp_path / f"answer.{container}"
        file.write_bytes(answer.content)
        settings = read_settings(file)
        assert settings.pop("evc_jax") == __version__
        assert settings == {"emotion": {"happy": 0.25, "sad": 0.75}, "rate": 1.25}
        again = client.post("/convert", body(**settings, format=container))
        assert again.content == answer.content
