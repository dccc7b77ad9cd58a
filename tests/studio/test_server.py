"""What the studio's server answers, and what it leaves behind."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from evc_jax.cli.commands import main
from evc_jax.files import ASSETS


@pytest.fixture(scope="module")
def client(studio):
    httpx = pytest.importorskip("httpx")
    with httpx.Client(base_url=studio.url, timeout=60) as client:
        yield client


def test_the_page_names_no_other_machine_and_no_folder(client, studio):
    answer = client.get("/")
    assert answer.status_code == 200 and "evc studio" in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "fonts.googleapis" not in answer.text and "cdnjs" not in answer.text
    for text in (answer.text, client.get("/config").text):
        assert str(studio.temporary) not in text and str(ASSETS) not in text


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        f"/gradio_api/file={ASSETS / 'demo.wav'}",
        "/outputs/..%2F..%2Fetc/passwd",
        "/outputs/unknown/name.wav",
        "/outputs/%2e%2e/uploads",
        "/evaluation/index.html",
        "/docs",
        "/openapi.json",
        "/monitoring",
    ],
)
def test_no_file_of_the_machine_is_reached(client, path):
    assert client.get(path).status_code in (403, 404)


FILES = ("audio", "file", "uploadbutton")


# Values that no browser sends, one after the other for all inputs of an event handler.
FORGED = (None, "x", -1, 1e999, [[{"a": None}]], {"rows": "x", "path": 3}, {"start_s": "x"})


def answer_to(client, event, values, session):
    """The error, if any, with which an event ends whose handler gets these values."""
    request = {"data": values, "fn_index": event["id"], "session_hash": session}
    sent = client.post(
        "/gradio_api/queue/join", content=json.dumps(request), headers={"Content-Type": "application/json"}
    )
    assert sent.status_code == 200
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data:") or "{}")
            if message.get("msg") == "process_completed":
                return message["output"].get("error") or ""
    raise AssertionError("the event did not end")


def handlers(client):
    """The page's events with a handler here, and the kinds and values of its inputs."""
    page = client.get("/config").json()
    components = {component["id"]: component for component in page["components"]}
    for event in page["dependencies"]:
        given = [components[name] for name in event["inputs"]]
        if event["backend_fn"] and given:
            yield event, [each["type"] for each in given], [each["props"].get("value") for each in given]


@pytest.mark.parametrize("path", ["/etc/passwd", str(ASSETS / "demo.wav"), "http://127.0.0.1:1/a.wav", "/nowhere"])
@pytest.mark.parametrize("meta", [{"meta": {"_type": "gradio.FileData"}}, {}])
def test_no_file_is_given_that_was_not_uploaded(client, path, meta):
    """Each file input of each event: Gradio itself would take any file of the machine."""
    tried = 0
    for event, kinds, values in handlers(client):
        for place, kind in enumerate(kinds):
            if kind in FILES:
                for forged in ({"path": path, **meta}, [{"path": path, **meta}]):
                    given = [*values[:place], forged, *values[place + 1 :]]
                    sentence = answer_to(client, event, given, f"files{event['id']}-{place}")
                    assert sentence == "A file was not uploaded to the studio; upload it."
                    tried += 1
    assert tried > 20


def test_a_file_that_is_no_longer_kept(client, studio):
    """As of a page that was left open for hours."""
    uploaded = client.post(
        "/gradio_api/upload", files={"files": ("mine.wav", ASSETS.joinpath("demo.wav").read_bytes())}
    )
    (path,) = uploaded.json()
    os.remove(path)
    event, _, values = next(each for each in handlers(client) if each[1].count("audio") == 2)
    sentence = answer_to(client, event, [{"path": path, "meta": {"_type": "gradio.FileData"}}, *values[1:]], "old")
    assert sentence == "The file mine.wav is no longer kept; give it again."


@pytest.mark.parametrize("value", FORGED, ids=str)
def test_forged_values_are_answered_by_a_sentence(client, value):
    for event, _, values in handlers(client):
        sentence = answer_to(client, event, [value] * len(values), f"forged{event['id']}")
        assert "/" not in sentence and "Error" not in sentence and "\n" not in sentence, sentence
    assert client.get("/").status_code == 200


def test_another_name_of_the_machine_is_refused(client):
    """A page of another site whose name leads to this machine must not reach the studio."""
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_a_large_upload_is_refused(client):
    answer = client.post("/gradio_api/upload", files={"files": ("large.wav", bytes(9 * 2**20))})
    assert answer.status_code == 413


def test_nothing_is_left_after_its_end(tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "evc_jax", "studio", "--no-browser", "--port", str(port)]
        done = subprocess.run(command, env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, text=True)
    assert done.returncode == 2 and "cannot be listened at" in done.stderr
    assert not list(temporary.glob("evc-studio-*"))


def test_mistakes_of_the_command_line(capsys):
    assert main(["studio", "--evaluation", "nowhere"]) == 2
    assert "There is no index.html in nowhere" in capsys.readouterr().err


def test_a_url_makes_no_page_of_an_output():
    from evc_jax.studio.outputs import media_type

    assert media_type("a.html") == media_type("a.svg") == "application/octet-stream"


def test_old_files_are_removed(tmp_path):
    from evc_jax.studio.outputs import Outputs, media_type, remove_old

    outputs = Outputs(tmp_path / "outputs")
    old, new = (outputs.file_of(outputs.add(name, b"12345678")) for name in ("old näme.wav", "new.wav"))
    os.utime(old, (time.time() - 100,) * 2)
    remove_old(tmp_path, keep_s=50)
    assert not old.exists() and new.exists()
    remove_old(tmp_path, keep_s=50, most_bytes=7)
    assert not new.exists()
    assert [media_type(name) for name in ("a.wav", "a.settings.json", "a.png")] == [
        "audio/wav",
        "application/json",
        "image/png",
    ]
