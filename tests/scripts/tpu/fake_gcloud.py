"""Stands in for gcloud: two hosts are two folders, a bucket is a third, and a plan says what each training does.

All state lies in $FAKE: `calls` (one JSON list per call), `state` of the slice, `hosts/N` (the home folders), `bucket`.
Where there is a file `vanish`, the node is taken away between two looks.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

FAKE = Path(os.environ["FAKE"])
STATE, HOSTS = FAKE / "state", FAKE / "hosts"
WAITS = ["CREATING", "WAITING_FOR_RESOURCES", "PROVISIONING"]


def fail(message):
    print(f"ERROR: (gcloud) {message}", file=sys.stderr)
    sys.exit(1)


def option(words, name):
    return next((word.split("=", 1)[1] for word in words if word.startswith(f"--{name}=")), None)


def queued_resource(verb, words):
    state = STATE.read_text() if STATE.exists() else None
    if verb == "create":
        if state:
            fail("ALREADY_EXISTS")
        if "--network=none" in words:
            fail("INVALID_ARGUMENT: there is no such network")
        STATE.write_text(WAITS[0])
    elif state is None:
        fail("NOT_FOUND: Resource was not found")
    elif verb == "delete":
        STATE.unlink()
        shutil.rmtree(HOSTS, ignore_errors=True)
    else:
        print(state)
        if state in WAITS:  # the next look sees more
            STATE.write_text([*WAITS, "ACTIVE"][WAITS.index(state) + 1])
            for host in "01" if STATE.read_text() == "ACTIVE" else "":
                (HOSTS / host).mkdir(parents=True)


def tpu_vm(verb, words):
    if (FAKE / "vanish").exists():
        (FAKE / "vanish").unlink()
        STATE.write_text("SUSPENDED")
    if not STATE.exists() or STATE.read_text() != "ACTIVE":
        fail("the node is not there")
    if verb == "describe":
        return print("READY")
    worker = option(words, "worker")
    codes = []
    for host in ("0", "1") if worker == "all" else (worker,):
        home = HOSTS / host
        if verb == "scp":
            shutil.copy(words[0], home)
        elif verb == "ssh" and (flags := [word for word in words if word.startswith("--ssh-flag=")]):
            print(f"host {host}: {' '.join(flag.removeprefix('--ssh-flag=') for flag in flags)}")
        else:
            environment = {**os.environ, "HOME": str(home), "HOST": host}
            command = ["bash", "-c", option(words, "command")]
            codes.append(subprocess.run(command, cwd=home, env=environment).returncode)
    sys.exit(max(codes, default=0))


def storage(verb, place, target=""):
    path = FAKE / "bucket" / place.removeprefix("gs://")
    if verb == "cp":
        copy = FAKE / "bucket" / target.removeprefix("gs://")
        copy.parent.mkdir(parents=True, exist_ok=True)
        return shutil.copy(place, copy)
    if not path.exists():
        fail(f"{place} matched no objects")
    if verb == "cat":
        return print(path.read_text())
    for child in sorted(path.iterdir()):
        print(f"{place.rstrip('/')}/{child.name}{'/' if child.is_dir() else ''}")


def main():
    with (FAKE / "calls").open("a") as log:
        log.write(json.dumps(sys.argv[1:]) + "\n")
    if "--project=forbidden" in sys.argv:
        fail("PERMISSION_DENIED: the caller may not")
    words = [word for word in sys.argv[1:] if word != "--quiet" and not word.startswith("--project=")]
    if words[0] == "storage":
        storage(*words[1:])
    elif words[:3] == ["compute", "tpus", "queued-resources"]:
        queued_resource(words[3], words[4:])
    elif words[:3] == ["compute", "tpus", "tpu-vm"]:
        tpu_vm(words[3], words[4:])
    else:
        fail(f"unrecognized arguments: {words}")


if __name__ == "__main__":
    main()
