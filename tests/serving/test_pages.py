"""Pages, headers, HEAD, other origins and proxies; the documentation asks no other host."""

import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect

pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from evc_jax.errors import ConfigError
from evc_jax.serving.app import make_app
from evc_jax.serving.settings import ServerSettings

GETS = ("/", "/docs", "/docs/start.js", "/docs/swagger-ui.css", "/health", "/health/live", "/info", "/openapi.json")


def test_every_get_is_answered_as_head_too(client):
    for path in GETS:
        whole, head = client.send({"method": "GET", "url": path}, {"method": "HEAD", "url": path})
        assert (whole.status_code, head.status_code) == (200, 200), path
        assert head.content == b"" and head.headers["content-length"] == str(len(whole.content))
        assert whole.headers["x-content-type-options"] == "nosniff"
    (refused,) = client.send({"method": "HEAD", "url": "/convert"})
    assert refused.status_code == 405 and refused.headers["x-content-type-options"] == "nosniff"


def test_pages_load_nothing_from_elsewhere(client):
    for path in ("/", "/docs"):
        page = client.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "http" not in policy
        links = re.findall(r'(?:src|href)="([^"]*)"', page.text)
        assert links and all(link.startswith("/") and not link.startswith("//") for link in links)
        assert all(client.get(link).status_code == 200 for link in links)
    assert client.get("/redoc").status_code == 404
    assert client.get("/docs/main.py").status_code == client.get("/docs/..%2fmain.py").status_code == 404


def test_licences(client, monkeypatch):
    monkeypatch.setitem(client.service.bundle.description, "licence", "CC BY-NC-SA 4.0 <b>")
    info, page = client.get("/info").json(), client.get("/").text
    assert (info["code_licence"], info["licence"]) == ("Apache-2.0", "CC BY-NC-SA 4.0 <b>")
    assert "not for commercial use" in info["licence_means"]
    assert "not for commercial use" in page and "<b>" not in page


def test_closed_sets_are_enums_and_ids_are_names(client):
    document = client.get("/openapi.json").json()
    ids = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert sorted(ids) == ["convert", "health", "info", "live", "metrics", "transfer"]
    operation = document["paths"]["/convert"]["post"]
    form, body = (content["schema"]["properties"] for content in operation["requestBody"]["content"].values())
    for fields in (form, body):
        assert fields["emotion"]["anyOf"][0]["enum"] == ["neutral", "happy", "sad"]
        assert fields["format"]["enum"] == ["wav", "flac", "mp3", "ogg", "opus"]
        assert fields["vocoder"]["enum"] == ["griffin-lim", "waveglow"]
        assert fields["rendering"]["enum"] == ["source", "decoder"]
    assert body["voice"]["anyOf"][0]["anyOf"][0]["enum"] == ["original", "sampled:male", "sampled:female"]
    assert set(body["emotion"]["anyOf"][2]["properties"]) == {"neutral", "happy", "sad"}
    for status in ("429", "503"):
        assert operation["responses"][status]["headers"]["Retry-After"]["schema"]["type"] == "integer"


@pytest.fixture
def with_settings(client, service, monkeypatch):
    """A client of another application on the same service."""

    def make(**settings):
        monkeypatch.setattr(service, "settings", replace(service.settings, **settings))
        return type(client)(service, make_app(service))

    return make


def test_origins(client, with_settings):
    ask = {"method": "GET", "url": "/info", "headers": {"origin": "https://a.org"}}
    assert "access-control-allow-origin" not in client.send(ask)[0].headers
    other = with_settings(cors_origins=("https://a.org",))
    assert other.send(ask)[0].headers["access-control-allow-origin"] == "https://a.org"
    assert "access-control-allow-origin" not in other.send(ask | {"headers": {"origin": "https://b.org"}})[0].headers
    headers = {"origin": "https://a.org", "access-control-request-method": "POST"}
    (preflight,) = other.send({"method": "OPTIONS", "url": "/convert", "headers": headers})
    assert preflight.status_code == 200 and "POST" in preflight.headers["access-control-allow-methods"]
    assert with_settings(cors_origins=("*",)).send(ask)[0].headers["access-control-allow-origin"] == "*"
    with pytest.raises(ConfigError, match="The origin is 'a.org'; give one as"):
        ServerSettings(cors_origins=("a.org",))


def test_a_root_path(with_settings):
    """Whether the proxy cuts it off or not."""
    other = with_settings(root_path="/speech")
    for prefix in ("", "/speech"):
        assert other.get(f"{prefix}/health").json() == {"status": "ready"}
        assert 'src="/speech/docs/start.js"' in other.get(f"{prefix}/docs").text
        assert '"/speech/openapi.json"' in other.get(f"{prefix}/docs/start.js").text
        assert other.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/speech"}]
    for wrong in ("speech", "/speech/", "/a b", "/<b>", "//a"):
        with pytest.raises(ConfigError, match="The root path is"):
            ServerSettings(root_path=wrong)


def test_the_documentation_in_a_browser(client, chromium):
    """It shows every operation, and all that it asks for is this server's; the browser complains of nothing."""
    page, asked, complaints = chromium.new_page(), [], []

    def answer(route):
        asked.append(route.request.url)
        path = route.request.url.removeprefix("http://evc.test")
        found = client.get(path)
        route.fulfill(status=found.status_code, headers=dict(found.headers), body=found.content)

    page.route("**/*", answer)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("http://evc.test/docs")
    expect(page.locator(".opblock")).to_have_count(6)
    page.locator("#operations-default-convert .opblock-summary-control").click()
    page.locator("#operations-default-convert").get_by_text("recording", exact=False).first.wait_for(timeout=30_000)
    assert len(asked) >= 5 and all(url.startswith("http://evc.test/") for url in asked)
    assert not complaints
    page.close()
