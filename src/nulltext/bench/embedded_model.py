"""How good the embedded model is, on images it was never trained on."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from statistics import fmean, median
from typing import Any

import torch

from nulltext.bench.cases.scenes import held_out_scenes, photographs
from nulltext.bench.result import Result, Sheet
from nulltext.bench.study import Setting
from nulltext.editing.generate import generate
from nulltext.judges import Judges, words_of
from nulltext.metrics import psnr
from nulltext.models.base import Model
from nulltext.models.clip import Clip
from nulltext.progress import OnProgress, Progress, silent
from nulltext.scenes.captions import caption, near_misses, one_word_edits
from nulltext.scenes.renderer import Rendering, render
from nulltext.scenes.world import HELD_OUT_SEEDS, Scene, sample_scene
from nulltext.types import Pixels

SCENES = 256
RIVALS = 63
GENERATED = 200
READ = ("shape", "color", "pattern")
"""What must survive the autoencoder."""
PARTS = ("autoencoder", "judges", "clip", "generate", "speed")
"""What is measured, in this order."""
_BATCH = 32


def _figure(label: str, form: str) -> Any:  # noqa: ANN401  a field
    """A field, with what a table calls it and how it writes it."""
    return field(metadata={"label": label, "form": form})


@dataclass(frozen=True, kw_only=True)
class ModelFigures(Result):
    """What `nulltext bench model` prints. Accuracies are shares, 0 to 1; the rest is PSNR, and the median of times.

    Attributes:
        images: Scenes measured.
        generated: Images generated.
        guidance: At which guidance scale.
    """

    vae_psnr_scenes: float = _figure("autoencoder, scenes", "{:.2f} dB")
    vae_psnr_objects: float = _figure("autoencoder, inside the things", "{:.2f} dB")
    vae_psnr_photos: float = _figure("autoencoder, photographs", "{:.2f} dB")
    vae_roundtrip_accuracy: float = _figure("shape, colour and pattern read after a round trip", "{:.1%}")
    judges_accuracy: float = _figure("judges on renders, their worst head", "{:.1%}")
    clip_near_miss_accuracy: float = _figure("CLIP picks the prompt among 64 near misses", "{:.1%}")
    generated_shape_accuracy: float = _figure("generated: the right shape", "{:.1%}")
    generated_color_accuracy: float = _figure("generated: the right colour", "{:.1%}")
    generated_ground_accuracy: float = _figure("generated: the right ground", "{:.1%}")
    unet_forward_ms: float = _figure("one UNet evaluation", "{:.1f} ms")
    pictures: int
    generated: int
    guidance: float

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def shown(self) -> Iterator[Sheet]:
        """As a table."""
        title = f"{self.pictures} held-out scenes, {self.generated} generated images at w={self.guidance:g}"
        rows = [
            (own.metadata["label"], own.metadata["form"].format(getattr(self, own.name)))
            for own in fields(self)
            if own.metadata
        ]
        yield Sheet(title=title, headings=("", "measured"), rows=rows)


def study(model: Model, setting: Setting) -> ModelFigures:
    """`nulltext bench model`."""
    return measure_model(
        model,
        limit=setting.limit,
        steps=setting.steps,
        guidance=setting.weight(model),
        on_progress=setting.on_progress,
    )


def measure_model(
    model: Model,
    *,
    clip: Clip | None = None,
    judges: Judges | None = None,
    limit: int | None = None,
    steps: int = 50,
    guidance: float = 7.5,
    on_progress: OnProgress = silent,
) -> ModelFigures:
    """Measures a model of `scenes`.

    Args:
        model: The model.
        clip: Its CLIP; the embedded one if None.
        judges: The judges; the embedded ones if None.
        limit: At most so many images of each kind; 256 scenes, 200 generated images, 4 photographs if None.
        steps: Sampler steps of the generated images.
        guidance: Their guidance scale.
        on_progress: Told which measurement runs.

    Raises:
        SettingError: scikit-image, which holds the photographs, is not installed.
        UnknownWordError: The model has a word list without the words of `scenes`.
    """
    clip, judges = clip or Clip.load(), judges or Judges.load()
    now = partial(_tell, on_progress)
    now("autoencoder")
    count, generated = (most if limit is None else min(limit, most) for most in (SCENES, GENERATED))
    scenes = held_out_scenes(count)
    rendering = _render(scenes)
    returned = _round_trip(model, rendering.pixels)
    photos = [photo.pixels for photo, _ in photographs(model)[:limit]]
    now("judges")
    singles = [sample_scene(HELD_OUT_SEEDS[SCENES + n], things=1) for n in range(count)]
    renders, wanted = _render(singles).pixels, [words_of(scene) for scene in singles]
    read, read_back = judges.read(renders), judges.read(_round_trip(model, renders))
    now("clip")
    each_scene = enumerate(zip(scenes, rendering.pixels, strict=True))
    picked = [near_miss_picked(clip, scene, pixels[None], seed) for seed, (scene, pixels) in each_scene]
    now("generate")
    asked = [sample_scene(HELD_OUT_SEEDS[2 * SCENES + n], things=1) for n in range(generated)]
    shown, asked_words = _generated(model, judges, asked, steps, guidance), [words_of(scene) for scene in asked]
    now("speed")
    masked = zip(rendering.pixels, returned, rendering.masks, strict=True)
    return ModelFigures(
        vae_psnr_scenes=fmean(psnr(a[None], b[None]) for a, b in zip(rendering.pixels, returned, strict=True)),
        vae_psnr_objects=fmean(_masked_psnr(a, b, mask.sum(0)) for a, b, mask in masked),
        vae_psnr_photos=fmean(psnr(pixels, _round_trip(model, pixels)) for pixels in photos),
        vae_roundtrip_accuracy=_share(read_back, wanted, READ),
        judges_accuracy=min(_share(read, wanted, (head,)) for head in wanted[0]),
        clip_near_miss_accuracy=fmean(picked),
        generated_shape_accuracy=_share(shown, asked_words, ("shape",)),
        generated_color_accuracy=_share(shown, asked_words, ("color",)),
        generated_ground_accuracy=_share(shown, asked_words, ("ground",)),
        unet_forward_ms=unet_forward_ms(model),
        pictures=count,
        generated=len(asked),
        guidance=guidance,
    )


def _tell(on_progress: OnProgress, part: str) -> None:
    """Says that a part of `PARTS` begins."""
    on_progress(Progress(phase=part, step=PARTS.index(part), total=len(PARTS)))


def _share(answers: Sequence[dict[str, str]], right: Sequence[dict[str, str]], heads: Sequence[str]) -> float:
    return fmean(all(a[h] == r[h] for h in heads) for a, r in zip(answers, right, strict=True))


def _generated(
    model: Model, judges: Judges, asked: Sequence[Scene], steps: int, guidance: float
) -> list[dict[str, str]]:
    """What the judges read in images generated from the prompts of scenes."""
    shown: list[dict[str, str]] = []
    for start in range(0, len(asked), _BATCH):
        prompts = [caption(scene) for scene in asked[start : start + _BATCH]]
        shown += judges.read(generate(model, prompts, steps=steps, guidance=guidance, seed=start))
    return shown


def near_miss_picked(clip: Clip, scene: Scene, pixels: Pixels, seed: int = 0) -> bool:
    """Whether CLIP picks a scene's prompt among it and 63 prompts with one word changed.

    A scene of one thing has only 38 such prompts; the rest are prompts with two words changed.

    Args:
        clip: The CLIP.
        scene: The scene.
        pixels: [1, 3, H, W] its image, in [-1, 1].
        seed: Of the choice of prompts.
    """
    rng = random.Random(seed)  # noqa: S311  prompts, not secrets
    ones = [edited for _, edited in one_word_edits(scene)]
    rng.shuffle(ones)
    right = caption(scene)
    wrong = {caption(edited) for edited in ones[:RIVALS]} - {right}
    while len(wrong) < RIVALS:
        wrong |= {caption(near_misses(rng.choice(ones), 1, rng)[0])} - {right}
    likeness = clip.images(pixels) @ clip.texts([right, *sorted(wrong)]).T
    return int(likeness.argmax()) == 0


def unet_forward_ms(model: Model, runs: int = 30) -> float:
    """Median time of one evaluation of the denoiser at batch 1, without gradients, milliseconds."""
    height, width = model.default_size
    shape = (1, model.latent_channels, height // model.scale, width // model.scale)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    null = model.null()
    times: list[float] = []
    with torch.no_grad():
        for _ in range(runs + 3):
            start = time.perf_counter()
            model.predict(x, 500.0, null).sum().item()  # the item waits for the device
            times.append(1000 * (time.perf_counter() - start))
    return median(times[3:])


def _render(scenes: Sequence[Scene]) -> Rendering:
    parts = [render(scenes[start : start + _BATCH]) for start in range(0, len(scenes), _BATCH)]
    return Rendering(pixels=torch.cat([p.pixels for p in parts]), masks=torch.cat([p.masks for p in parts]))


def _round_trip(model: Model, pixels: Pixels) -> Pixels:
    parts = (pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH))
    return torch.cat([model.decode(model.encode(part.to(model.device))).cpu() for part in parts])


def _masked_psnr(a: torch.Tensor, b: torch.Tensor, mask: torch.Tensor) -> float:
    """PSNR over the pixels of a mask [H, W] in [0, 1], of images [3, H, W] in [-1, 1], decibels."""
    error = ((a - b).square() * mask).sum() / (3 * mask.sum())
    return float(10 * torch.log10(4 / error))
