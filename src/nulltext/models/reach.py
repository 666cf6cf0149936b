"""Whether the hub can be reached: asked before its client tries again and again for a minute."""

import socket
import threading
import urllib.request
from typing import Final
from urllib.parse import urlsplit

from huggingface_hub import constants

_ASKED: Final = ("http", "https")
PATIENCE: Final = 5.0
"""Seconds for it to take a connection, where nobody watches a page."""


def answers(seconds: float = PATIENCE) -> bool:
    """Whether the hub, or the proxy before it, takes a connection in so many seconds, the look-up of its name included.

    It does not where the machine is told to be offline (``HF_HUB_OFFLINE``); a proxy that speaks no HTTP is believed.
    """
    if constants.HF_HUB_OFFLINE:
        return False
    hub = urlsplit(constants.ENDPOINT)
    proxy = None if urllib.request.proxy_bypass(hub.hostname or "") else urllib.request.getproxies().get(hub.scheme)
    place = urlsplit(proxy) if proxy else hub
    if place.scheme not in _ASKED:  # such as socks5: its client knows how, and says so if it cannot
        return True
    done, over = threading.Event(), threading.Event()

    def connect() -> None:
        port = place.port or (443 if place.scheme == "https" else 80)
        try:
            socket.create_connection((place.hostname or "", port), timeout=seconds).close()
            done.set()
        except OSError:
            pass
        finally:
            over.set()

    threading.Thread(target=connect, name="nulltext hub", daemon=True).start()
    over.wait(seconds)
    return done.is_set()
