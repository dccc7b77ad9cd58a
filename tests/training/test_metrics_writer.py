"""Where a run's numbers go."""

import subprocess
import sys


def test_tensorboard_does_not_bring_pytorch():
    code = (
        "import sys; from evc_jax.training.metrics_writer import _summary_writer as make; make();"
        "assert 'tensorboardX' in sys.modules and 'torch' not in sys.modules;"
        "import torch; make(); assert sys.modules['torch'] is torch"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "No module named 'torch'" in done.stderr, done.stderr
