"""Options of `evc serve` from environment variables: the command line wins, and what is wrong names its variable."""

import pytest

from evc_jax.cli.environment import fill_in, options_of, variable_of
from evc_jax.cli.parser import build_parser
from evc_jax.cli.serve import PREFIX
from evc_jax.errors import ConfigError
from evc_jax.serving.settings import ServerSettings, limits


def parsed(monkeypatch, *options, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    arguments = build_parser().parse_args(["serve", *options])
    fill_in(arguments, PREFIX)
    return arguments


def test_defaults(monkeypatch):
    arguments = parsed(monkeypatch)
    assert (arguments.host, arguments.port, arguments.bundle, arguments.cors_origins) == ("127.0.0.1", 8000, None, None)
    assert (arguments.log_format, arguments.root_path) == ("text", "")
    assert all(getattr(arguments, entry.name) == entry.default for entry in limits(ServerSettings))


def test_the_command_line_wins(monkeypatch):
    variables = {"PORT": "1", "QUEUE": "16", "TIMEOUT": "2.5", "CORS_ORIGIN": "https://a.org, https://b.org"}
    arguments = parsed(monkeypatch, "--port", "2", LOG_LEVEL="debug", BUNDLE="here", MAX_BATCH="", **variables)
    assert (arguments.port, arguments.queue, arguments.timeout_s, arguments.max_batch) == (2, 16, 2.5, 16)
    assert (arguments.log_level, arguments.bundle) == ("debug", "here")
    assert arguments.cors_origins == ["https://a.org", "https://b.org"]
    monkeypatch.setenv("EVC_SERVE_PORT", "no number")
    assert parsed(monkeypatch, "--port", "2", "--cors-origin", "*").cors_origins == ["*"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "tcp://10.0.0.1:8000", "expected a whole number from 0 to 65535"),
        ("QUEUE", "0", "expected a whole number from 1 to 10000"),
        ("TIMEOUT", "nan", "expected a number from"),
        ("LOG_FORMAT", "xml", "expected one of text, json"),
        ("CORS_ORIGIN", "https://a.org,b.org", "The origin is 'b.org'"),
        ("ROOT_PATH", "speech/", "The root path is 'speech/'"),
    ],
)
def test_wrong_values_name_their_variable(monkeypatch, name, value, words):
    with pytest.raises(ConfigError, match=f"The environment variable EVC_SERVE_{name} cannot be used: ") as error:
        parsed(monkeypatch, **{name: value})
    assert words in str(error.value) and str(error.value).endswith("; set another.")


def test_every_option_has_a_variable(monkeypatch):
    serve = next(
        action.choices["serve"] for action in build_parser()._actions if isinstance(action.choices, dict)
    )  # of its subcommands
    names = {variable_of(PREFIX, action) for action in options_of(serve)}
    assert {f"EVC_SERVE_{name}" for name in "HOST PORT BUNDLE VOICES_DIR QUEUE TIMEOUT WORKERS LOG_FORMAT LOG_LEVEL"
            " CORS_ORIGIN ROOT_PATH MAX_UPLOAD_MB MAX_SECONDS BATCH_WAIT_MS MAX_BATCH".split()} == names  # fmt: skip
