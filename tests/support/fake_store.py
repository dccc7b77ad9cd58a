"""JAX's key-value store as a dictionary, for processes that are threads."""

import threading


class FakeStore:
    """What `training.processes` and `training.process_watch` use of JAX's `DistributedRuntimeClient`."""

    def __init__(self):
        self._values, self._changed = {}, threading.Condition()

    def key_value_set(self, key, value, allow_overwrite=False):
        with self._changed:
            if key in self._values and not allow_overwrite:
                raise RuntimeError(f"ALREADY_EXISTS: {key}")
            self._values[key] = value
            self._changed.notify_all()

    def blocking_key_value_get(self, key, timeout_in_ms):
        with self._changed:
            if not self._changed.wait_for(lambda: key in self._values, timeout_in_ms / 1000):
                raise RuntimeError(f"DEADLINE_EXCEEDED: {key}")
            return self._values[key]

    def key_value_dir_get(self, folder):
        with self._changed:
            return [(key, value) for key, value in self._values.items() if key.startswith(folder)]
