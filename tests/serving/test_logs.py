"""One line a request, with its id, whatever a client sends; errors with their traceback, once."""

import json
import logging
import re
import warnings

import pytest
from support.uploads import recording

pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from evc_jax.errors import AudioWarning
from evc_jax.serving.logs import LOGGER, installed


@pytest.fixture
def lines(capsys):
    """Runs something with the log installed; returns what it wrote, read as JSON where it is that."""

    def logged(action, log_format="json", level="info"):
        with installed(log_format, level):
            result = action()
        printed = capsys.readouterr().err.splitlines()
        return result, [json.loads(line) for line in printed] if log_format == "json" else printed

    return logged


def test_a_conversion_is_one_line(client, lines):
    answer, (line,) = lines(lambda: client.convert(recording(1.0), {"x-request-id": "Job:7/a_b.c"}, rate=2))
    assert answer.status_code == 200 and answer.headers["x-request-id"] == "Job:7/a_b.c"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line.pop("seconds") > 0
    assert line == {
        "level": "info",
        "logger": "evc_jax.serving",
        "message": "request",
        "method": "POST",
        "path": "/convert",
        "status": 200,
        "audio_in_s": 1.0,
        "audio_out_s": 0.5,
        "queue": 1,
        "request_id": "Job:7/a_b.c",
    }


def test_text(client, lines):
    request = {"method": "GET", "url": "/a%0Ab?secret=1", "headers": {"x-request-id": "x"}}
    _, (line,) = lines(lambda: client.send(request), "text")
    assert re.fullmatch(
        r"\S+Z info: request method=GET path=/a%0Ab status=404 seconds=\S+ audio_in_s=0 audio_out_s=0 queue=0 "
        r"request_id=x",
        line,
    )


@pytest.mark.parametrize("given", ["", "two words", 'quoted"', "x" * 129, "caf\xe9", "tab\t"])
def test_ids_that_are_no_plain_text_are_replaced(client, given):
    headers = {"x-request-id": given.encode("latin1")}
    found = client.send({"method": "GET", "url": "/health", "headers": headers})[0].headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", found)


def test_failures_are_logged_once_with_their_traceback(client, lines, monkeypatch):
    monkeypatch.setattr(client.service.converter, "convert_features", lambda *_: 1 / 0)
    answer, (error, line) = lines(lambda: client.convert(recording(), {"x-request-id": "bad-1"}))
    assert answer.status_code == 500 and answer.headers["x-content-type-options"] == "nosniff"
    assert (error["level"], error["request_id"], line["status"]) == ("error", "bad-1", 500)
    assert error["traceback"].startswith("Traceback") and error["traceback"].endswith(
        "ZeroDivisionError: division by zero"
    )
    _, text = lines(lambda: client.convert(recording(), {"x-request-id": "bad-1"}), "text")
    assert text[1] == "Traceback (most recent call last):" and "status=500" in text[-1]


def test_levels(client, lines):
    assert lines(lambda: client.get("/health"), level="warning")[1] == []
    for level, expected in (("debug", "dwe"), ("info", "we"), ("warning", "we"), ("error", "e")):

        def log_all():
            logging.getLogger("a.library").debug("d")  # uvicorn sets the level of its own in other tests
            logging.getLogger("a.library").warning("w")
            LOGGER.error("e")

        assert "".join(line["message"] for line in lines(log_all, level=level)[1]) == expected


def test_warnings_are_lines_that_say_whose_they_are(client, lines, monkeypatch):
    whole = client.service.converter.convert_features

    def warn(*arguments):
        warnings.warn(AudioWarning("the recording\nends early"), stacklevel=2)
        return whole(*arguments)

    monkeypatch.setattr(client.service.converter, "convert_features", warn)
    _, found = lines(lambda: client.convert(recording(), {"x-request-id": "short"}))
    assert [(line["level"], line["request_id"]) for line in found] == [("warning", "short"), ("info", "short")]
    _, (line, _) = lines(lambda: client.convert(recording()), "text")
    assert "warning: the recording\\nends early request_id=" in line


def test_nothing_is_left_behind():
    root = logging.getLogger()
    before = list(root.handlers), root.level, LOGGER.level, warnings.showwarning
    with installed("json", "debug"):
        assert root.handlers != before[0]
    assert (list(root.handlers), root.level, LOGGER.level, warnings.showwarning) == before
