"""Voices of the operator's folder: by name only, as they were at the start."""

import numpy as np
import pytest
from support.uploads import base64_text, recording

pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from evc_jax.conversion.voices import write_voices
from evc_jax.errors import ConfigError
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.serving.app import make_app
from evc_jax.serving.service import Service
from evc_jax.serving.settings import ServerSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("voices")
    values = np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32)
    write_voices(folder, ["anna", "Jose\u0301", "original"], values / np.linalg.norm(values, axis=1, keepdims=True))
    return folder


@pytest.fixture(scope="module")
def named(client, folder, tiny_bundle):
    service = Service(load_bundle(tiny_bundle), ServerSettings(workers=1, voices_dir=str(folder)))
    yield type(client)(service, make_app(service))
    service.close()


def test_they_are_used_by_name(named, client, folder):
    names = ["original", "sampled:male", "sampled:female", "Jos\u00e9", "anna"]
    assert sorted(named.get("/info").json()["voices"]) == sorted(names)
    document = named.get("/openapi.json").json()
    body = document["paths"]["/convert"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert sorted(body["properties"]["voice"]["anyOf"][0]["anyOf"][0]["enum"]) == sorted(names)
    sound = recording()
    plain, anna, jose, again = (
        named.convert(sound, **fields).content
        for fields in ({}, {"voice": "anna"}, {"voice": "Jos\u00e9"}, {"voice": "Jose\u0301"})
    )
    assert len({plain, anna, jose}) == 3 and jose == again
    embedding = np.load(folder / "anna.npy")
    from evc_jax.conversion.requested_voice import embedding_text

    assert client.convert(sound, voice=embedding_text(embedding)).content == anna
    mixed = named.post("/convert", {"recording": base64_text(sound), "voice": ["anna", "sampled:male"], "timbre": 0.5})
    assert mixed.status_code == 200


def test_no_name_leads_out_of_the_folder(named, folder):
    (folder / "later.npy").write_bytes((folder / "anna.npy").read_bytes())
    for name in ("later", "anna.npy", "./anna", str(folder / "anna.npy"), f"../{folder.name}/anna", "nobody"):
        answer = named.convert(recording(), voice=name)
        assert answer.status_code == 422 and "There is no voice" in answer.json()["detail"]


def test_folders_that_cannot_be_used(tiny_bundle, tmp_path):
    bundle = load_bundle(tiny_bundle)
    with pytest.raises(ConfigError, match="There is no folder of voices at"):
        Service(bundle, ServerSettings(voices_dir=str(tmp_path / "none")))
    (tmp_path / "bad.npy").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"The voice .*bad.npy cannot be read"):
        Service(bundle, ServerSettings(voices_dir=str(tmp_path)))
