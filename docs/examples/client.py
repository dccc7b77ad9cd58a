"""Sends a recording to `evc serve` and writes the answer while it comes. Needs httpx.

python docs/examples/client.py hello.wav angry.wav --emotion angry --strength 0.7
"""

import argparse
import sys
import time

import httpx

TRIES = 5


def convert(url: str, recording: str, output: str, **fields: str) -> None:
    """Writes the converted recording to `output`; a server that is busy or warms up is asked again."""
    for _ in range(TRIES):
        with open(recording, "rb") as file:
            request = {"data": {"stream": "true", **fields}, "files": {"recording": file}}
            with httpx.stream("POST", f"{url}/convert", **request, timeout=300) as answer:
                if answer.status_code == 200:
                    with open(output, "wb") as written:
                        for part in answer.iter_bytes():
                            written.write(part)
                    return
                answer.read()
        if answer.status_code not in (429, 503):
            raise SystemExit(f"{answer.json()['detail']} (request {answer.headers['X-Request-ID']})")
        time.sleep(int(answer.headers["Retry-After"]))
    raise SystemExit(f"The server was busy {TRIES} times; try again later.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording")
    parser.add_argument("output")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    arguments, options = parser.parse_known_args()
    names = [option.removeprefix("--").replace("-", "_") for option in options[::2]]
    sys.exit(convert(arguments.url, arguments.recording, arguments.output, **dict(zip(names, options[1::2]))))
