"""Edit a picture through a server that runs `nulltext web`.

    nulltext web &
    python examples/web_client.py picture.png "a photo of a red ball on grass" "a photo of a blue ball on grass"

What the server can do stands at http://127.0.0.1:7860/api/docs.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import httpx


def main() -> None:
    """Inverts the picture, edits it, and saves the result."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("caption", help="what the picture shows")
    parser.add_argument("target", help="what it shall show")
    parser.add_argument("--server", default="http://127.0.0.1:7860")
    parser.add_argument("--steps", type=int, default=50, help="steps of the sampler")
    parser.add_argument("--output", type=Path, default=Path("edited.png"))
    arguments = parser.parse_args()

    with httpx.Client(base_url=arguments.server, timeout=60) as client:  # which keeps the cookie that says who we are
        picture = {"picture": (arguments.picture.name, arguments.picture.read_bytes())}
        asked = {"caption": arguments.caption, "steps": str(arguments.steps)}
        inversion = started(client.post("/api/inversions", files=picture, data=asked))
        print(wait(client, inversion)["verdict"])
        edit = started(client.post("/api/edits", json={"job": inversion, "caption": arguments.target}))
        (number,) = wait(client, edit)["pictures"]
        arguments.output.write_bytes(client.get(f"/api/files/{number}").content)
    print(arguments.output)


def started(response: httpx.Response) -> str:
    """The number of the job that was started; ends with the server's sentence if there is none."""
    if response.is_error:
        sys.exit(response.json()["detail"])
    return response.json()["job"]


def wait(client: httpx.Client, job: str) -> dict[str, Any]:
    """The result of a job, once it is done."""
    while (status := client.get(f"/api/jobs/{job}").json())["state"] in ("waiting", "running"):
        time.sleep(0.5)
    if status["state"] != "done":
        sys.exit(status["message"] or status["state"])
    return status["result"]


if __name__ == "__main__":
    main()
