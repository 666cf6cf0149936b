"""PIE-Bench, by its published protocol: Prompt-to-Prompt from DDIM, direct and null-text inversion."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from nulltext.bench import pie
from nulltext.bench.candidates import Candidate, Measure, Outcome, always
from nulltext.bench.cases import Case, Entry
from nulltext.bench.kept import MEASURED
from nulltext.bench.report import Column, Report
from nulltext.bench.run import run
from nulltext.bench.studies import SECONDS, Setting
from nulltext.editing.methods.prompt_to_prompt import PromptToPrompt
from nulltext.errors import SettingError
from nulltext.inversion.methods.ddim import DDIM
from nulltext.metrics import Missing
from nulltext.metrics import pie as published
from nulltext.metrics.clip import PicturesAndTexts
from nulltext.metrics.masks import Counted
from nulltext.metrics.perceptual import Lpips
from nulltext.metrics.structure import KeysOfPictures
from nulltext.models.base import Model
from nulltext.types import OnePixels

WHOLE = Missing("the mask is the whole picture: there is nothing outside of it.")
COLUMNS = (
    Column(name="structure_distance", label="structure distance, x 1000", better="lower"),
    Column(name="psnr", label="PSNR outside, dB"),
    Column(name="lpips", label="LPIPS outside, x 1000", better="lower"),
    Column(name="mse", label="MSE outside, x 10000", better="lower"),
    Column(name="ssim", label="SSIM outside, x 100"),
    Column(name="clip_whole", label="CLIP whole"),
    Column(name="clip_edited", label="CLIP edited part"),
    SECONDS,
)


def measure_pie(model: Model, setting: Setting, *, dino: KeysOfPictures | Missing, lenient: bool = False) -> Report:
    """Edits PIE-Bench, or a set in its format, by its protocol.

    Args:
        model: The model; the published tables are of Stable Diffusion 1.4 in single precision.
        setting: How to run it; its `data` is the folder of the set, its guidance that of the protocol if None. The
            published tables ask CLIP ViT-L/14.
        dino: What measures structure; see `nulltext.models.dino.Dino`.
        lenient: As in `nulltext.bench.pie.load_pie`.

    Raises:
        SettingError: `data` is not given.
        CaseError: The set cannot be used, or no entry of it.
    """
    if setting.data is None:
        raise SettingError("got no data; expected the folder of PIE-Bench. Fetch it from its authors and name it.")
    pictures = pie.read_pie(setting.data, lenient=lenient)
    w = pie.GUIDANCE if setting.guidance is None else setting.guidance
    candidates = (
        Candidate(
            name="DDIM inversion + P2P",
            inverter=always(DDIM(steps=setting.steps)),
            editor=partial(_guided, guidance=w),
        ),
        Candidate(
            name="direct inversion + P2P",
            inverter=always(replace(pie.published_direct(), steps=setting.steps, guidance=w)),
            editor=pie.published_editor,
        ),
        Candidate(
            name="null-text + P2P",
            inverter=always(
                replace(pie.published_inverter(), steps=setting.steps, inner_steps=setting.inner_steps, guidance=w)
            ),
            editor=pie.published_editor,
        ),
    )
    measures: dict[str, Measure] = {
        "structure_distance": partial(_structure, dino=dino),
        "psnr": partial(_outside, name="psnr", figure=published.psnr),
        "lpips": partial(_outside, name="lpips", figure=Lpips(published.LPIPS_NETWORK)),
        "mse": partial(_outside, name="mse", figure=published.mse),
        "ssim": partial(_outside, name="ssim", figure=published.ssim),
        "clip_whole": partial(_clip, clip=setting.clip, edited=False),
        "clip_edited": partial(_clip, clip=setting.clip, edited=True),
    }
    rows = run(
        model,
        spread(pictures.entries, setting.limit),
        candidates,
        measures,
        setting.folder,
        workers=setting.workers,
        on_progress=setting.on_progress,
    )
    done = {row["case"] for row in rows if row["status"] == MEASURED}
    return Report(
        title="PIE-Bench",
        command=setting.command("pie", model),
        options=setting.options(model, w=f"{w:g}", lenient=lenient),
        columns=COLUMNS,
        rows=rows,
        remarks=(
            f"{len(done.intersection(pictures.whole))} masks of {len(done)} are whole pictures: not counted outside.",
            *pictures.remarks,
        ),
    )


def spread(cases: Sequence[Entry], limit: int | None) -> list[Entry]:
    """At most so many entries: the first of every kind, then the second of every kind, and so on."""
    seen: Counter[str] = Counter()
    turns: list[tuple[int, int]] = []
    for index, case in enumerate(cases):
        turns.append((seen[case.kind] if limit is not None else 0, index))
        seen[case.kind] += 1
    return [cases[index] for _, index in sorted(turns)[:limit]]


def _guided(case: Case, *, guidance: float) -> PromptToPrompt:
    return replace(pie.published_editor(case), guidance=guidance)


def _structure(outcome: Outcome, *, dino: KeysOfPictures | Missing) -> float | Missing:
    return _scaled("structure_distance", published.structure_distance(outcome.photo.pixels, outcome.drawn, dino=dino))


def _outside(
    outcome: Outcome, *, name: str, figure: Callable[[OnePixels, OnePixels, Counted], float | Missing]
) -> float | Missing:
    if outcome.changed is None or pie.is_whole(outcome.case):
        return WHOLE
    return _scaled(name, figure(outcome.photo.pixels, outcome.drawn, ~outcome.changed))


def _clip(outcome: Outcome, *, clip: PicturesAndTexts, edited: bool) -> float | Missing:
    mask = outcome.changed if edited else None
    return _scaled("clip_similarity", published.clip_similarity(outcome.drawn, outcome.case.target, mask, clip=clip))


def _scaled(name: str, figure: float | Missing) -> float | Missing:
    return figure if isinstance(figure, Missing) else published.SCALES[name] * figure
