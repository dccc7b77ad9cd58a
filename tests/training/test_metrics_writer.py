"""Where a run's numbers go."""

import json
import subprocess
import sys

from evc_jax.pretrained.workdir import logged_metrics, validation_metrics
from evc_jax.training.metrics_writer import MetricsWriter


def test_tensorboard_does_not_bring_pytorch():
    code = (
        "import sys; from evc_jax.training.metrics_writer import tensorboard; tensorboard();"
        "assert 'tensorboardX' in sys.modules and 'torch' not in sys.modules;"
        "import torch; tensorboard(); assert sys.modules['torch'] is torch"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "No module named 'torch'" in done.stderr, done.stderr


def test_a_line_that_was_cut_off_is_passed_over(tmp_path):
    lines = [{"split": "validation", "step": step, "loss": 1.0 / step} for step in (1, 2, 3)]
    whole = [json.dumps(line) for line in lines]
    for end in (whole[2][:20], whole[2][:-1], "{", "\0\0\0", "3", "\udcff"):
        log = "\n".join([*whole[:2], end])
        (tmp_path / "metrics.jsonl").write_bytes(log.encode(errors="surrogateescape"))
        assert logged_metrics(tmp_path) == lines[:2]
        assert validation_metrics(tmp_path, 3) == {"loss": 0.5}
        MetricsWriter(tmp_path, total_steps=5, first_step=2).close()
        assert (tmp_path / "metrics.jsonl").read_text().splitlines() == whole[:2]
