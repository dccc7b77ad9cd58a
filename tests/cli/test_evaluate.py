"""The arguments of `evc evaluate`: what they mean, and one sentence for each mistake."""

import pytest

from evc_jax.cli.commands import main
from evc_jax.cli.evaluate import settings_from
from evc_jax.cli.parser import build_parser
from evc_jax.evaluation.settings import QUICK_SECTIONS, SECTIONS


def settings(*arguments, **options):
    return settings_from(build_parser().parse_args(["evaluate", *arguments]), options)


def test_quick_is_less_unless_more_is_asked_for():
    whole, quick = settings(), settings("--quick")
    assert (whole.sections, whole.strengths, whole.recordings, whole.split) == (SECTIONS, (0.5, 1, 1.5), 4, "test")
    assert (quick.sections, quick.strengths, quick.recordings) == (QUICK_SECTIONS, (1,), 1)
    more = settings("--quick", "--sections", "words, voice", "--strengths", "2,1", "--recordings", "3", seed=4)
    assert (more.sections, more.strengths, more.recordings) == (("words", "voice"), (1, 2), 3)
    assert more.options == {"seed": 4}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sections", "taste"], "There is no section 'taste'; choose from emotion,"),
        (["--strengths", "much"], "The strengths are 'much'; give numbers joined by commas"),
        (["--strengths", "4"], "The strengths are (4.0,); give numbers above 0, up to 3"),
        (["no_bundle"], "There is no bundle directory at no_bundle"),
        (["--data", "nowhere"], "There is no dataset 'ravdess' in nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, words, tiny_bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EVC_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("evc_jax.evaluation.judges.missing", list)
    bundle = [] if arguments[0] == "no_bundle" else [str(tiny_bundle)]
    assert main(["evaluate", *bundle, *arguments, "-o", str(tmp_path / "page")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"evc evaluate: {words}") and error.count("\n") == 1


def test_numbers_start_at_one(capsys):
    with pytest.raises(SystemExit, match="2"):
        settings("--recordings", "0")
    assert "'0' was given, expected a whole number from 1 to 1000" in capsys.readouterr().err
