"""Runs the notebook docs/tour.ipynb and saves it with its output, but for sound, which would take megabytes.

python scripts/run_tour.py                  needs the extras train and dev
"""

import argparse
import base64
import io
import re
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from PIL import Image

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "tour.ipynb"
PICTURE = re.compile(r'src="data:image/png;base64,([^"]+)"')
WIDTH, COLORS = 640, 48  # of a saved picture
TEMPORARY = re.compile(r"/[\w/]*/tmp\w{8}\b")


def run(notebook: Path, folder: Path) -> Any:
    """The notebook, executed with `folder` as its place; raises nbclient's CellExecutionError where a cell fails."""
    content = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(content, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return content


def without_sound(content: Any) -> Any:
    """The notebook with the pictures of its conversions instead of players, and without times and places."""
    for cell in content.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            page = output.get("data", {}).pop("text/html", "")
            if picture := PICTURE.search(page):
                output["data"]["image/png"] = _small(picture[1])
            if "text" in output:
                output["text"] = TEMPORARY.sub("work", output["text"])
            if "text/plain" in output.get("data", {}):
                output["data"]["text/plain"] = TEMPORARY.sub("work", output["data"]["text/plain"])
    return content


def _small(picture: str) -> str:
    """A PNG picture as base64, with fewer pixels and colors."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.quantize(COLORS).save(content, format="PNG", optimize=True)
    return base64.b64encode(content.getvalue()).decode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    nbformat.write(without_sound(run(NOTEBOOK, NOTEBOOK.parent)), NOTEBOOK)
    return 0


if __name__ == "__main__":
    sys.exit(main())
