"""Dockerfiles, compose.yaml and what tries them; the images themselves are built where Docker runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = {name: ROOT / "docker" / name for name in ("Dockerfile", "Dockerfile.cuda")}


@pytest.fixture(scope="module")
def check():
    return load_script("docker/check.py")


@pytest.fixture
def compose():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.mark.parametrize("name", DOCKERFILES)
def test_images_are_made_alike(check, name):
    parsed = check.instructions(DOCKERFILES[name])
    names = [each for each, _ in parsed]
    assert names[0] == "FROM" and check.last(parsed, "USER") == "1000"
    assert names.index("USER") > max(i for i, each in enumerate(names) if each in ("RUN", "COPY"))
    assert check.environment_of(parsed)["HOME"] == "/tmp"
    assert isinstance(json.loads(check.last(parsed, "ENTRYPOINT")), list)  # of a shell, Python would get no SIGTERM
    installs = [argument for each, argument in parsed if each == "RUN" and "pip install" in argument]
    assert "--constraint constraints.txt" in installs[0] and "serve" in installs[0] and "--no-deps ." in installs[1]
    assert check.last(parsed, "EXPOSE") == "8000"


def test_everything_that_is_copied_is_let_through(check, tmp_path):
    context = check.context_files()
    assert "evc_jax/serving/app.py" in context and "evc_jax/assets/demo.wav" in context
    assert not any("__pycache__" in path or path.startswith(("tests", ".git", "docs")) for path in context)
    for name, dockerfile in DOCKERFILES.items():
        for i, (each, argument) in enumerate(check.instructions(dockerfile)):
            if each == "COPY":
                check.copy(argument, context, tmp_path / f"{name}{i}")
    with pytest.raises(SystemExit, match="COPY tests: .dockerignore lets no such file through"):
        check.copy("tests tests", context, tmp_path)


def test_the_rules_of_dockerignore(check, tmp_path):
    (tmp_path / ".dockerignore").write_text("*\n!kept\n!also.txt\n**/hidden\nkept/*.log\n")
    for path in ("kept/a.py", "kept/deep/b.log", "kept/c.log", "kept/deep/hidden/d", "also.txt", "other/e", "hidden"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert check.context_files(tmp_path) == ["also.txt", "kept/a.py", "kept/deep/b.log"]


def test_compose(check, compose):
    services = compose["services"]
    assert [name for name, service in services.items() if "profiles" not in service] == ["serve"]
    assert services["serve-cuda"]["profiles"] == ["cuda"]
    for service in services.values():
        assert service["read_only"] is True and service["tmpfs"] == ["/tmp"] and service["cap_drop"] == ["ALL"]
        assert service["ports"] == ["127.0.0.1:8000:8000"]
        assert service["healthcheck"]["test"][:3] == ["CMD", "python", "-c"]
        compile(service["healthcheck"]["test"][3], "healthcheck", "exec")
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert all(isinstance(value, str) for value in service["environment"].values())
    for name, service in services.items():
        parsed = check.instructions(ROOT / service["build"]["dockerfile"])
        environment = check.environment_of(parsed) | service["environment"]
        assert environment["EVC_SERVE_HOST"] == "0.0.0.0", name


@pytest.mark.slow
@pytest.mark.release
def test_the_image_serves():
    """Downloads and installs everything, as the image does."""
    done = subprocess.run([sys.executable, ROOT / "docker" / "check.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "converted a recording" in done.stdout and "stopped with exit code 0" in done.stdout
