"""Edit an image through a server that runs `nulltext web`.

    nulltext web &
    python examples/web_client.py image.png "a photo of a red ball on grass" "a photo of a blue ball on grass"

What the server can do stands at http://127.0.0.1:7860/v1/docs.
"""

import argparse
import json
import sys
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
    parser.add_argument("--token", help="the server's token, in their place")
    parser.add_argument("--steps", type=int, default=50, help="steps of the sampler")
    parser.add_argument("--output", type=Path, default=Path("edited.png"))
    arguments = parser.parse_args()
    if arguments.output.exists():
        parser.error(f"{arguments.output} is already there; give --output another name.")

    auth = None if arguments.auth is None else tuple(arguments.auth.split(":", 1))
    headers = {} if arguments.token is None else {"authorization": f"Bearer {arguments.token}"}
    try:
        file = {"image": (arguments.image.name, arguments.image.read_bytes())}
        # The client keeps the cookie that says who we are.
        with httpx.Client(base_url=f"{arguments.server}/v1/", auth=auth, headers=headers, timeout=60) as client:
            image = checked(client.post("images", files=file)).json()["node"]["id"]
            asked = {"image": image, "prompt": arguments.prompt, "steps": arguments.steps}
            inversion = made(client, checked(client.post("inversions", json=asked)).json()["job"])
            node = checked(client.get(f"history/{inversion}")).json()
            print(f"reconstructed with {node['facts']['psnr']:.1f} dB")
            body = {"parent": inversion, "prompt": arguments.target}
            edit = made(client, checked(client.post("edits", json=body)).json()["job"])
            with arguments.output.open("xb") as output:  # never over an image that is there
                output.write(checked(client.get(f"files/{edit}.png")).content)
    except (OSError, httpx.HTTPError) as error:
        sys.exit(f"{arguments.server}: {error}")
    print(arguments.output)


def checked(response: httpx.Response) -> httpx.Response:
    """A good answer; ends with the server's sentence if it is none."""
    if response.is_error:
        detail = response.json()["detail"] if "json" in response.headers.get("content-type", "") else response.text
        sys.exit(str(detail))
    return response


def made(client: httpx.Client, job: str) -> str:
    """What a job has made, once it is done; says meanwhile how far it is."""
    status: dict[str, Any] = {}
    with client.stream("GET", f"jobs/{job}/events", timeout=None) as events:
        for line in events.iter_lines():
            if line.startswith("data: {"):
                status = json.loads(line.removeprefix("data: "))
                if status["phase"] is not None:
                    print(f"\r{status['phase']} {status['step']}/{status['total']} ", end="", file=sys.stderr)
    print(file=sys.stderr)
    if status.get("state") != "done":
        sys.exit(status.get("message") or status.get("state") or "The server does not answer.")
    return status["result"]["nodes"][0]


if __name__ == "__main__":
    main()
