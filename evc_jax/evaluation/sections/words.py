"""Are the words kept, and how does it sound?"""

from __future__ import annotations

from evc_jax.evaluation import judges
from evc_jax.evaluation.context import Context
from evc_jax.evaluation.report import Players, Section, Table
from evc_jax.evaluation.scoring import summarise
from evc_jax.evaluation.systems import COPIES, system_rows

COLUMNS = (
    ("phoneme_errors", "phoneme errors", ".2f"),
    ("dnsmos", "DNSMOS", ".2f"),
    ("dnsmos_change", "DNSMOS against the source", "+.2f"),
)


def words_section(context: Context) -> Section:
    """Phoneme errors and DNSMOS of all systems, beside copies of the recordings."""
    section = Section("words", "Words and quality")
    text = (
        "Phoneme errors are edits from what a phoneme recogniser finds in the source to what it finds in the output, "
        "over the former; real emotional speech is another take of the same sentence. DNSMOS predicts listeners' "
        "ratings of the sound from 1 to 5."
    )
    section.text = [text]
    lacking = {judge.module for judge in judges.missing()}
    shown = [c for c in COLUMNS if not ("hama" in lacking if c[0] == "phoneme_errors" else "speechmos" in lacking)]
    rows = system_rows(context)
    lines = []
    for name, each in rows.items():
        summary = summarise(each)
        lines.append((name, [summary[key] for key, _, _ in shown]))
    header = ("", *(heading for _, heading, _ in shown))
    section.tables = [Table("Words and quality", header, [spec for _, _, spec in shown], lines)] if shown else []
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in COPIES:
        for row in rows.get(name, []):
            if context.was_kept(row["sound"]):
                groups.setdefault(row["speaker"], []).append((name, row["sound"]))
    section.players = [Players(f"{speaker}, nothing asked", files) for speaker, files in groups.items()]
    return section
