"""A photograph by its address, from the command line."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image


def test_a_photograph_is_inverted_by_its_address(run_json, run, here, tmp_path):
    Image.new("RGB", (128, 128), (60, 120, 200)).save(tmp_path / "my photo.png")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/my%20photo.png?size=1"
        made = run_json("invert", address, "a photo of a blue ball", "--method", "ddim", "--steps", 1)
        assert (made["file"], made["image"]) == ("my photo.safetensors", address)
        assert (here / "my photo.safetensors").is_file()
        missing = run("invert", address.replace("my", "your"), "a photo of a blue ball")
        server.shutdown()
    assert missing.exit_code == 2
    assert "answered 404" in missing.output
