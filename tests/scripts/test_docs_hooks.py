"""What the documentation site makes of the pages of docs/, and the pages that it adds. `make docs` builds it."""

import re
from pathlib import Path

import pytest
import yaml
from support.scripts import load_script

import evc_jax
from evc_jax.cli.parser import build_parser
from evc_jax.conversion.options import OPTIONS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hooks():
    return load_script("scripts/docs_hooks.py")


def settings() -> dict:
    """mkdocs.yml; its tags would be Python objects, of which it has none."""
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def test_every_command_has_its_help_on_the_page(hooks):
    page = hooks.command_line_page()
    commands = next(action.choices for action in build_parser()._actions if isinstance(action.choices, dict))
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == ["evc", *(f"evc {name}" for name in commands)]
    assert "--pitch-range N" in page and "\x1b" not in page
    assert max(map(len, page.splitlines())) <= 140


def test_every_config_has_all_keys_of_all_variants(hooks):
    page = hooks.configs_page()
    for file in (ROOT / "configs").glob("*.py"):
        table = page.split(f"## {file.stem}\n")[1].split("\n## ")[0]
        assert "| key | full |" in table
        assert "| `optimizer.learning_rate` |" in table and "| `model." in table
    assert "| `options.segment_samples` | 12000 | 16000 | 8000 | 2000 |" in page


def test_the_servers_fields_are_those_of_the_options(hooks):
    convert, transfer = hooks.http_page().split("## POST /")[1:]
    for option in OPTIONS:
        assert f"| `{option.name}` |" in convert
    assert "| `recording` | yes |" in convert and "| `aspects` |" in transfer


def test_the_public_names_are_in_the_reference(hooks):
    page = hooks.python_page()
    for name in set(evc_jax.__all__) - {"__version__"}:
        assert f"::: evc_jax.{name}\n" in page


@pytest.mark.parametrize(
    ("markdown", "source", "page", "expected"),
    [
        ("[a](scaling.md#x)", "docs/performance.md", "performance.md", "[a](scaling.md#x)"),
        ("[a](../CONTRIBUTING.md#style)", "docs/architecture.md", "architecture.md", "[a](contributing.md#style)"),
        (
            "[model\ncard](../evc_jax/assets/MODEL_CARD.md)",
            "docs/measured.md",
            "measured.md",
            "[model\ncard](model_card.md)",
        ),
        ("[a](docs/architecture.md)", "CONTRIBUTING.md", "contributing.md", "[a](architecture.md)"),
        ("[README](../README.md)", "docs/performance.md", "performance.md", "[README](index.md)"),
        (
            "[cite](../CITATION.cff), [b](https://x.org/a)",
            "docs/sources.md",
            "sources.md",
            "cite, [b](https://x.org/a)",
        ),
        ("![p](studio.png)", "docs/studio.md", "studio.md", "![p](studio.png)"),
        ("```\n[a](../gone)\n```\n[`x`](../NOTICE)", "docs/a.md", "a.md", "```\n[a](../gone)\n```\n`x`"),
    ],
)
def test_links_lead_to_pages_of_the_site_or_are_text(hooks, markdown, source, page, expected):
    assert hooks.links_on_the_site(markdown, source, page) == expected


def test_a_link_to_nothing_is_refused(hooks):
    with pytest.raises(ValueError, match=r"docs/a\.md links to \.\./gone\.py, which does not exist"):
        hooks.links_on_the_site("[a](../gone.py)", "docs/a.md", "a.md")


def test_links_of_all_pages_lead_somewhere(hooks):
    for path in (ROOT / "docs").glob("*.md"):
        hooks.links_on_the_site(path.read_text(), f"docs/{path.name}", path.name)


def test_what_other_hosts_would_serve_is_found(hooks):
    html = '<script src="https://cdn.x/a.js"></script><a href="https://y.org">y</a><img src=a.png>'
    html += "<link href=//z.org/f.css>"
    assert hooks.foreign_assets(html) == ["https://cdn.x/a.js", "//z.org/f.css"]


def test_fonts_are_those_of_the_system_and_every_page_is_in_the_navigation(hooks):
    config = settings()
    assert config["theme"]["font"] is False
    shown = set(re.findall(r"[\w/]+\.(?:md|ipynb)", str(config["nav"])))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert pages | set(hooks.GENERATED) | set(hooks.SHOWN.values()) <= shown
