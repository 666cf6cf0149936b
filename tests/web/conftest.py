"""The app on the embedded model, a folder for each module: quick enough for the real thing."""

import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.web.visitor import SOON
from tests.web.working import STEPS, done

from nulltext.images import to_image
from nulltext.models.base import Model
from nulltext.models.loading import EMBEDDED
from nulltext.scenes.captions import caption
from nulltext.scenes.renderer import render
from nulltext.scenes.world import HELD_OUT_SEEDS, Scene, sample_scene
from nulltext.web.limits import Limits
from nulltext.web.people import People
from nulltext.web.requests import InversionRequest
from nulltext.web.server import build
from nulltext.web.workshop import Workshop


@pytest.fixture(scope="session")
def scene() -> Scene:
    return sample_scene(HELD_OUT_SEEDS[50_014])


@pytest.fixture(scope="session")
def sample_prompt(scene: Scene) -> str:
    """What the sample shows: a cartoon of a spotted white cube on grass at sunset."""
    return caption(scene)


@pytest.fixture(scope="session")
def sample(scene: Scene) -> bytes:
    """A PNG, 160 wide and 128 high."""
    buffer = io.BytesIO()
    to_image(render([scene], height=128, width=160).pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """An image as a file of a format."""

    def call(image: Image.Image, kind: str, **options: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return call


@pytest.fixture(scope="module")
def limits() -> Limits:
    """Small files, so that one that is too large is quickly made."""
    return Limits(upload_bytes=300_000)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, limits: Limits, embedded: Model) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("web"), limits=limits, device="cpu")
    made._loaded[EMBEDDED] = embedded
    yield made
    made.close()


@pytest.fixture
def person() -> str:
    return People.new()


@pytest.fixture(scope="module")
def app(workshop: Workshop) -> object:
    """Page and API behind the gate."""
    return build(workshop)


@pytest.fixture(scope="module")
def new_client(app: Any) -> Iterator[Callable[[], TestClient]]:
    """Another browser; a failure of the server is an answer of status 500."""
    with TestClient(app, raise_server_exceptions=False):  # begins and ends the app
        yield lambda: TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(new_client: Callable[[], TestClient]) -> TestClient:
    return new_client()


@pytest.fixture
def asked(sample_prompt):
    return InversionRequest(prompt=sample_prompt, steps=STEPS)


@pytest.fixture
def blue(sample_prompt):
    return sample_prompt.replace("white", "blue")


@pytest.fixture
def inverted(workshop, person, sample, asked):
    """From the cache in all tests but the first."""
    return done(workshop.invert(person, sample, "photo.png", asked))


@pytest.fixture
def blocked(workshop: Workshop) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The network waits until it is let go; says that somebody waits for it, and lets go."""
    go, begun = threading.Event(), threading.Event()

    def block(*_: object) -> None:
        begun.set()
        go.wait(SOON)

    handle = workshop.model("scenes").denoiser.register_forward_pre_hook(block)
    yield begun, go
    go.set()
    handle.remove()
