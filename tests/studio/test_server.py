"""What the studio's server answers, and what it leaves behind."""

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
        command = [sys.executable, "-m", "evc_jax.cli.commands", "studio", "--no-browser", "--port", str(port)]
        done = subprocess.run(command, env={**os.environ, "TMPDIR": str(temporary)}, capture_output=True, text=True)
    assert done.returncode == 2 and "cannot be listened at" in done.stderr
    assert not list(temporary.glob("evc-studio-*"))


def test_mistakes_of_the_command_line(capsys):
    assert main(["studio", "--evaluation", "nowhere"]) == 2
    assert "There is no index.html in nowhere" in capsys.readouterr().err


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
