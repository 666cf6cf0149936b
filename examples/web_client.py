"""Edit an image through a server that runs `nulltext web`.

    nulltext web &
    python examples/web_client.py image.png "a photo of a red ball on grass" "a photo of a blue ball on grass"

What the server can do stands at http://127.0.0.1:7860/api/docs.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import httpx


def main() -> None:
    """Inverts the image, edits it, and saves the result."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("prompt", help="what the image shows")
    parser.add_argument("target", help="what it shall show")
    parser.add_argument("--server", default="http://127.0.0.1:7860")
    parser.add_argument("--auth", metavar="NAME:PASSWORD", help="if the server asks for them")
    parser.add_argument("--steps", type=int, default=50, help="steps of the sampler")
    parser.add_argument("--output", type=Path, default=Path("edited.png"))
    arguments = parser.parse_args()
    if arguments.output.exists():
        parser.error(f"{arguments.output} is already there; give --output another name.")

    auth = None if arguments.auth is None else tuple(arguments.auth.split(":", 1))
    try:
        image = {"image": (arguments.image.name, arguments.image.read_bytes())}
        # The client keeps the cookie that says who we are.
        with httpx.Client(base_url=arguments.server, auth=auth, timeout=60) as client:
            asked = {"prompt": arguments.prompt, "steps": str(arguments.steps)}
            inversion = checked(client.post("/api/inversions", files=image, data=asked)).json()["job"]
            print(wait(client, inversion)["verdict"])
            body = {"job": inversion, "prompt": arguments.target}
            edit = checked(client.post("/api/edits", json=body)).json()["job"]
            (number,) = wait(client, edit)["images"]
            with arguments.output.open("xb") as file:  # never over an image that is there
                file.write(checked(client.get(f"/api/files/{number}")).content)
    except (OSError, httpx.HTTPError) as error:
        sys.exit(f"{arguments.server}: {error}")
    print(arguments.output)


def checked(response: httpx.Response) -> httpx.Response:
    """A good answer; ends with the server's sentence if it is none."""
    if response.is_error:
        detail = response.json()["detail"] if "json" in response.headers.get("content-type", "") else response.text
        sys.exit(str(detail))
    return response


def wait(client: httpx.Client, job: str) -> dict[str, Any]:
    """The result of a job, once it is done."""
    while (status := checked(client.get(f"/api/jobs/{job}")).json())["state"] in ("waiting", "running"):
        time.sleep(0.5)
    if status["state"] != "done":
        sys.exit(status["message"] or status["state"])
    return status["result"]


if __name__ == "__main__":
    main()
