"""Bundles from web servers, the hub, buckets and archives: fetched once, checked, and used where nothing is reached.

Every server is one of this process.
"""

import hashlib
import io
import shutil
import socket
import sys
import tarfile
import warnings
from pathlib import Path

import pytest
from support.fake_bucket import fake_bucket
from support.tiny_bundles import tone, write_bundle
from support.web_places import COMMIT, web_place

from evc_jax.audio.io import save
from evc_jax.cli.commands import main
from evc_jax.errors import BundleError, BundleWarning
from evc_jax.pretrained import archives, download, remote
from evc_jax.pretrained.bundle import load_bundle

OTHER_COMMIT = COMMIT[::-1]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny", ("voicegan",))


@pytest.fixture(scope="module")
def contents(bundle):
    return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def archive(bundle, tmp_path_factory):
    base = tmp_path_factory.mktemp("archives") / "tiny"
    return Path(shutil.make_archive(str(base), "gztar", bundle.parent, bundle.name))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("EVC_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "evc_jax" / "bundles"


@pytest.fixture
def place(monkeypatch):
    with web_place() as running:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # between its attempts
        yield running


@pytest.fixture
def hub(place, contents, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", place.address)
    place.revisions["me/voice"] = {"main": COMMIT}
    place.commits[COMMIT] = {**contents, "README.md": b"a voice", ".gitattributes": b""}
    return place


def _fetched(place, contents, **options):
    """The folder of what is fetched, which is the bundle."""
    folder = remote.local_folder(place, **options)
    for name, content in contents.items():
        assert (folder / name).read_bytes() == content, name
    load_bundle(place).network("voicegan")
    return folder


def _leftovers(cache):
    """What is in the cache and is neither a complete copy nor the note of the newest."""
    return [path for path in cache.glob("*/*") if path.name != "newest" and not list(path.glob("*/bundle.json"))]


def test_a_folder_is_used_where_it_lies(bundle, cache):
    assert remote.local_folder(bundle) == bundle
    assert load_bundle(str(bundle)).path == bundle
    assert not cache.exists()


def test_an_archive_of_this_machine_is_unpacked_once(archive, contents, cache, tmp_path):
    folder = _fetched(archive, contents)
    assert folder.is_relative_to(cache)
    before = folder.stat().st_mtime_ns
    assert _fetched(archive, contents) == folder and folder.stat().st_mtime_ns == before
    moved = tmp_path / "tiny.zip"
    shutil.make_archive(str(moved.with_suffix("")), "zip", folder)
    assert _fetched(moved, contents) != folder
    digest = hashlib.sha256(moved.read_bytes()).hexdigest()
    _fetched(f"{moved}#sha256={digest.upper()}", contents)
    with pytest.raises(BundleError, match=f"has the SHA-256 {digest}, expected 0000"):
        load_bundle(f"{moved}#sha256={'0' * 64}")


def test_an_archive_of_a_web_server_is_fetched_again_when_it_changes(place, archive, contents, cache):
    place.files["/v/tiny.tar.gz"] = archive.read_bytes()
    url = f"{place.address}/v/tiny.tar.gz"
    first = _fetched(url, contents)
    assert first.name == "tiny"
    place.asked.clear()
    assert remote.local_folder(url) == first and place.asked == ["/v/tiny.tar.gz"]
    place.files["/v/tiny.tar.gz"] = _packed({**contents, "evaluation.json": b"{}"})
    second = _fetched(url, contents)
    assert second != first and (second / "evaluation.json").is_file() and first.is_dir()
    assert not _leftovers(cache)


def _packed(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_a_pinned_archive_is_that_one_or_none(place, archive, contents, cache):
    content = archive.read_bytes()
    place.files["/tiny.tar.gz"] = content
    url = f"{place.address}/tiny.tar.gz"
    with pytest.raises(BundleError, match="has the SHA-256 .* expected aaaa"):
        load_bundle(f"{url}#sha256={'a' * 64}")
    assert not _leftovers(cache)
    pinned = f"{url}#sha256={hashlib.sha256(content).hexdigest()}"
    _fetched(pinned, contents)
    place.gone = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what is pinned and here need not be asked for
        _fetched(pinned, contents)
    with pytest.raises(BundleError, match="cannot be reached"):
        load_bundle(f"{url}#sha256={'b' * 64}")


def test_a_folder_of_a_web_server_is_fetched_by_its_checksums(place, contents, cache):
    place.files |= {f"/voices/tiny bundle/{name}": content for name, content in contents.items()}
    url = f"{place.address}/voices/tiny%20bundle/?key=1"
    first = _fetched(url, contents)
    place.asked.clear()
    assert remote.local_folder(url) == first and place.asked == ["/voices/tiny bundle/checksums.json"]
    del place.files["/voices/tiny bundle/checksums.json"]
    with pytest.raises(BundleError, match=r"There is no bundle at http.*checksums\.json.*404"):
        load_bundle(url)


@pytest.mark.parametrize("change", [lambda content: content + b" ", lambda _: None])
def test_what_is_not_what_its_checksums_say_is_not_kept(change, place, contents, cache):
    name = next(name for name in contents if name.startswith("params/"))
    changed = change(contents[name])
    files = {**contents, name: changed} if changed else {key: value for key, value in contents.items() if key != name}
    place.files["/tiny.tar.gz"] = _packed(files)
    with pytest.raises(BundleError, match=f"{name} of http.* is (not what its checksums say|missing)"):
        load_bundle(f"{place.address}/tiny.tar.gz")
    place.files |= {f"/f/{key}": value for key, value in files.items()}
    with pytest.raises(BundleError, match="is not what its checksums say|404"):
        load_bundle(f"{place.address}/f")
    assert not _leftovers(cache)


@pytest.mark.parametrize(
    "listed", ['{"sha256": {"../evil": "%s"}}' % ("0" * 64), '{"sha256": {}}', "[", '{"sha256": 3}']
)
def test_a_list_of_files_is_not_trusted(listed, place, contents, tmp_path, cache):
    place.files |= {"/f/bundle.json": b"{}", "/f/checksums.json": listed.encode(), "/evil": b"evil"}
    with pytest.raises(BundleError, match="The checksums of http.* cannot be used"):
        load_bundle(f"{place.address}/f")
    assert not list(tmp_path.rglob("evil")) and not _leftovers(cache)


@pytest.mark.parametrize("kind", ["archive", "folder", "hub"])
def test_a_download_that_breaks_off_leaves_nothing(kind, hub, archive, contents, cache):
    hub.files["/tiny.tar.gz"] = archive.read_bytes()
    hub.files |= {f"/f/{name}": content for name, content in contents.items()}
    largest = max(contents, key=lambda name: len(contents[name]))
    hub.cut = {"/tiny.tar.gz", f"/f/{largest}", f"/me/voice/resolve/{COMMIT}/{largest}"}
    url = {"archive": f"{hub.address}/tiny.tar.gz", "folder": f"{hub.address}/f", "hub": "hf://me/voice"}[kind]
    with pytest.raises(BundleError, match="cannot be reached .* and no copy of it is in"):
        load_bundle(url)
    assert not _leftovers(cache) and not list(cache.glob("*/newest"))
    hub.cut.clear()
    _fetched(url, contents)


def test_a_killed_download_is_cleared_away_later(place, archive, contents, cache, monkeypatch):
    place.files["/tiny.tar.gz"] = archive.read_bytes()
    url = f"{place.address}/tiny.tar.gz"
    home = _fetched(url, contents).parents[1]
    (home / ".killed" / "params").mkdir(parents=True)
    monkeypatch.setattr(remote, "_ABANDONED_S", -1)
    shutil.rmtree(remote.local_folder(url).parent)
    _fetched(url, contents)
    assert not (home / ".killed").exists()


def test_without_a_connection_the_newest_copy_is_used_with_a_warning(hub, archive, contents, cache):
    hub.files["/tiny.tar.gz"] = archive.read_bytes()
    places = [f"{hub.address}/tiny.tar.gz", "hf://me/voice"]
    folders = [_fetched(each, contents) for each in places]
    for each, folder in zip(places, folders, strict=True):
        for hub.gone, hub.status in ((True, 0), (False, 503)):
            with pytest.warns(BundleWarning, match=r"cannot be reached \(.+\); the copy of \d{4}-\d\d-\d\d is used"):
                assert remote.local_folder(each) == folder
    shutil.rmtree(cache)
    for each in places:
        with pytest.raises(BundleError, match=r"cannot be reached \(.+\) and no copy of it is in .+; check the conn"):
            load_bundle(each)


def test_what_is_no_longer_there_is_not_taken_from_the_cache(hub, archive, contents):
    hub.files["/tiny.tar.gz"] = archive.read_bytes()
    places = [f"{hub.address}/tiny.tar.gz", "hf://me/voice"]
    for each in places:
        _fetched(each, contents)
    hub.files.clear()
    hub.revisions.clear()
    for each in places:
        with pytest.raises(BundleError, match=f"There is no bundle at {each}, or none that you may read"):
            load_bundle(each)


def test_the_hub_gives_the_newest_commit_or_the_named_one(hub, contents, monkeypatch):
    first = _fetched("hf://me/voice", contents)
    assert first.name == "voice"
    assert (first / "README.md").read_bytes() == b"a voice"
    hub.commits[OTHER_COMMIT] = {**contents, "README.md": b"another"}
    hub.revisions["me/voice"] = {"main": OTHER_COMMIT, "v1": COMMIT}
    second = _fetched("hf://me/voice", contents)
    assert (second / "README.md").read_bytes() == b"another" and first.is_dir()
    assert (_fetched("hf://me/voice@v1", contents) / "README.md").read_bytes() == b"a voice"
    pinned = _fetched(f"hf://me/voice@{COMMIT}", contents)
    hub.gone = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _fetched(f"hf://me/voice@{COMMIT}", contents) == pinned


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf://voice", "give hf://OWNER/NAME"),
        ("hf://me/voice/part", "give hf://OWNER/NAME"),
        ("hf://me/other", "There is no bundle at hf://me/other"),
        ("hf://me/voice@none", "There is no bundle at hf://me/voice@none"),
        (f"hf://me/voice#sha256={'0' * 64}", "pinned as hf://OWNER/NAME@COMMIT"),
        ("hf://me/empty", r"has no bundle\.json; give the place of a bundle"),
    ],
)
def test_what_the_hub_does_not_have_is_one_sentence(name, message, hub, cache):
    hub.revisions["me/empty"] = {"main": OTHER_COMMIT}
    hub.commits[OTHER_COMMIT] = {"README.md": b"nothing"}
    with pytest.raises(BundleError, match=message):
        load_bundle(name)
    assert not _leftovers(cache)


def test_the_hub_needs_its_library(monkeypatch):
    monkeypatch.setattr("evc_jax.extras.missing_modules", lambda extra: ["huggingface_hub"])
    with pytest.raises(ValueError, match=r"hf://me/voice needs huggingface_hub; run `pip install 'evc_jax\[hub\]'`"):
        load_bundle("hf://me/voice")


def test_a_bucket_gives_folders_and_archives(archive, contents, monkeypatch, cache):
    with fake_bucket(monkeypatch) as objects:
        objects |= {f"voices/tiny/{name}": content for name, content in contents.items()}
        objects["voices/tiny.tar.gz"] = archive.read_bytes()
        objects["voices/tiny-not/bundle.json"] = b"{}"
        first = _fetched("gs://bucket/voices/tiny", contents)
        assert {path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file()} == set(contents)
        assert remote.local_folder("gs://bucket/voices/tiny") == first
        _fetched("gs://bucket/voices/tiny.tar.gz", contents)
        objects["voices/tiny/evaluation.json"] = b"{}"
        second = _fetched("gs://bucket/voices/tiny", contents)
        assert second != first and (second / "evaluation.json").is_file()
        with pytest.raises(BundleError, match="There is no bundle at gs://bucket/nothing"):
            load_bundle("gs://bucket/nothing")
    assert not _leftovers(cache)


def test_a_file_system_without_its_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(BundleError, match="s3://bucket/b needs a library that is not installed"):
        load_bundle("s3://bucket/b")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://example.com/b.zip", "would be fetched without encryption"),
        ("http://10.0.0.1/b", "would be fetched without encryption"),
        ("https:///b.zip", "names no server"),
        ("ftp://example.com/b.zip", "is no place of bundles"),
        ("file:///etc/b.zip", "is no place of bundles"),
        ("https://example.com/b.zip#sha256=12", "by 64 hexadecimal digits"),
        (f"https://example.com/b#sha256={'0' * 64}", "which an archive can be"),
    ],
)
def test_places_that_are_not_asked(url, message, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("a connection was made"))
    with pytest.raises(BundleError, match=message):
        load_bundle(url)


def test_a_web_server_leads_only_to_safe_places(place, archive, contents, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # this machine is asked without it
    monkeypatch.delenv("NO_PROXY")
    place.files["/tiny.tar.gz"] = archive.read_bytes()
    place.redirects |= {"/here.zip": "/tiny.tar.gz", "/away.zip": "http://example.com/b.zip", "/f.zip": "file:///a.zip"}
    _fetched(f"{place.address}/here.zip", contents)
    with pytest.raises(BundleError, match=r"http://example\.com/b\.zip would be fetched without encryption"):
        load_bundle(f"{place.address}/away.zip")
    with pytest.raises(BundleError, match=r"There is no bundle at .*f\.zip.*file:///a\.zip' is not allowed"):
        load_bundle(f"{place.address}/f.zip")


def test_a_place_with_too_much_is_given_up(place, contents, cache, monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 10_000)
    place.files |= {f"/f/{name}": content for name, content in contents.items()}
    with pytest.raises(BundleError, match="holds more than the 1e-05 GB"):
        load_bundle(f"{place.address}/f")
    monkeypatch.setattr(download, "MAX_FILES", 3)
    with pytest.raises(BundleError, match="has too many files"):
        load_bundle(f"{place.address}/f")
    assert not _leftovers(cache)


def test_a_cache_that_cannot_be_written_is_one_sentence(place, archive, tmp_path, monkeypatch):
    place.files["/tiny.tar.gz"] = archive.read_bytes()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVC_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(BundleError, match="cannot be kept in .*; make room there, or set EVC_CACHE_DIR"):
        load_bundle(f"{place.address}/tiny.tar.gz")


def test_the_command_line_converts_with_a_fetched_bundle_and_repeats_it(place, tiny_bundle, tmp_path, capsys):
    shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_bundle)
    place.files["/tiny.zip"] = (tmp_path / "tiny.zip").read_bytes()
    url, recording = f"{place.address}/tiny.zip", tmp_path / "in.wav"
    save(recording, tone(0.5), 16000)
    outputs = [tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "c.wav"]
    asked = ["convert", str(recording), "--rendering", "source", "--pitch-shift", "3"]
    assert main([*asked, "--bundle", url, "-o", str(outputs[0])]) == 0
    assert "tiny.zip" not in capsys.readouterr().err  # no terminal, no bar
    # What a recording from elsewhere names is not fetched because of that.
    place.asked.clear()
    replay = ["convert", str(recording), "--settings", str(outputs[0]), "-o", str(outputs[1])]
    assert main(replay) == 2 and not place.asked
    assert f"{url}, which is fetched only where you name it; give --bundle {url}." in capsys.readouterr().err
    assert main([*replay, "--bundle", url]) == 0
    place.gone = True
    assert main([*asked, "--bundle", url, "-o", str(outputs[2])]) == 0
    assert f"evc convert: {url} cannot be reached" in capsys.readouterr().err
    assert outputs[0].read_bytes()[-1000:] == outputs[1].read_bytes()[-1000:] == outputs[2].read_bytes()[-1000:]


def test_a_bar_shows_the_bytes(place, archive, capsys):
    place.files["/tiny.tar.gz"] = archive.read_bytes()
    remote.local_folder(f"{place.address}/tiny.tar.gz", progress=True)
    drawn = capsys.readouterr().err
    assert "tiny.tar.gz" in drawn and "B/s" in drawn
