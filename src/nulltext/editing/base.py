"""What an edit is, and what makes one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from PIL import Image

from nulltext.contact_sheet import Cell, contact_sheet
from nulltext.editing.maps import AttentionMaps
from nulltext.errors import EmptyPromptError
from nulltext.images import Frame
from nulltext.inversion.base import Inversion
from nulltext.models.base import Model
from nulltext.progress import Telling, silent
from nulltext.showing import brief, html_slider, html_table, png
from nulltext.types import Mask, Masks, OnePixels, Pixels

Settings = TypeVar("Settings")


def recommended(name: str) -> Mapping[str, str]:
    """Marks the field of a setting whose None stands for what the model recommends, by its name in `Recommended`."""
    return {"recommended": name}


def in_force(settings: Settings, model: Model) -> Settings:
    """An editor, or a part of one, with what was left to the model filled in.

    Args:
        settings: A dataclass, some of whose fields are `recommended`. Of settings by word, those of all others, "", are
            filled in.
        model: The model that it is used with.
    """
    changes: dict[str, Any] = {}
    for each in fields(cast("Any", settings)):
        value, name = getattr(settings, each.name), each.metadata.get("recommended")
        if name is not None and value is None:
            changes[each.name] = getattr(model.recommended, name)
        elif name is not None and isinstance(value, Mapping):
            changes[each.name] = {"": getattr(model.recommended, name), **value}
        elif is_dataclass(value) and (part := in_force(value, model)) is not value:
            changes[each.name] = part
    return replace(cast("Any", settings), **changes) if changes else settings


def filled(setting: Settings | None) -> Settings:
    """A setting of an editor that is `in_force`."""
    assert setting is not None
    return setting


@dataclass(frozen=True, kw_only=True, eq=False)
class Edit:
    """Edited images, and the source as a check of what an edit by that method cannot keep.

    Attributes:
        prompts: The new prompts.
        pixels: [B, 3, H, W] in [-1, 1], one image a prompt, of the fitted size. On the CPU.
        source: [1, 3, H, W] in [-1, 1] the source reconstructed from its inversion, in the same batch; of methods that
            do not sample from an inversion, the image through what they have of an autoencoder. On the CPU.
        frame: Where the fitted images lie in the photograph.
        kinds: How each prompt was matched with its source, "replace" or "refine"; empty for methods that match none.
        masks: [B, 1, H, W] in [0, 1] where each image was allowed to change; None for everywhere.
        masked: For each image whether it has a mask of its own; empty where all have one, or none.
        maps: The attention maps of source and edits, if they were asked for.
        settings: For each prompt those in force, with what was left to model and inversion filled in: the editor,
            or the `Change` of that prompt alone.
    """

    prompts: tuple[str, ...]
    pixels: Pixels
    source: OnePixels
    frame: Frame
    kinds: tuple[str, ...] = ()
    masks: Masks | None = None
    masked: tuple[bool, ...] = ()
    maps: AttentionMaps | None = None
    settings: tuple[Any, ...] = ()

    __repr__ = brief

    def _repr_png_(self) -> bytes:
        """The edited image, or several with their source on one sheet, in a notebook."""
        if len(self.prompts) == 1:
            return png(self.image)
        cells = [Cell(image=self.reconstruction, text="source")]
        cells += [Cell(image=image, text=prompt) for image, prompt in zip(self.images, self.prompts, strict=True)]
        return png(contact_sheet([""] * len(cells), [cells]))

    def _repr_html_(self) -> str:
        """Each image over its source with a slider between them, and where words look if maps were kept."""
        before = self.reconstruction
        parts = [html_slider(before, image, prompt) for image, prompt in zip(self.images, self.prompts, strict=True)]
        if self.maps is not None:
            parts.append(html_table([], image=self.maps.sheet(), alt="where each word looks"))
        return f'<div style="display:flex;flex-wrap:wrap;gap:16px">{"".join(parts)}</div>'

    @property
    def images(self) -> list[Image.Image]:
        """The edited images, each put back into the photograph: of its size, with what was cropped around them."""
        return [self.frame.restore(pixels[None]) for pixels in self.pixels]

    @property
    def image(self) -> Image.Image:
        """The first of `images`."""
        return self.frame.restore(self.pixels[:1])

    @property
    def mask_images(self) -> list[Image.Image]:
        """The masks as grey images of the photograph's size, white where an image may have changed; [] for none."""
        return [] if self.masks is None else [self.frame.restore_mask(mask[None]) for mask in self.masks]

    def mask_of(self, index: int) -> Mask | None:
        """[1, 1, H, W] in [0, 1] where one image was allowed to change; None if nothing kept it from anywhere."""
        if self.masks is None or (self.masked and not self.masked[index]):
            return None
        return self.masks[index : index + 1]

    @property
    def reconstruction(self) -> Image.Image:
        """The source reconstructed, put back into the photograph like an edit."""
        return self.frame.restore(self.source)


def listed_prompts(prompts: str | Sequence[str]) -> tuple[str, ...]:
    """One target prompt or several, as several.

    Raises:
        EmptyPromptError: There is none.
    """
    wanted = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    if not wanted:
        raise EmptyPromptError("got no prompt; expected one or more. Say what the edited image shall show.")
    return wanted


def negative_of(asked: str | None, inversion: Inversion) -> str:
    """What guidance leads away from in an edit: what is asked for, or else what the image was inverted with."""
    return inversion.negative_prompt if asked is None else asked


def in_force_for(settings: Settings, model: Model, inversion: Inversion) -> Settings:
    """An editor that is `in_force`, with the inversion's negative prompt where none is asked for."""
    negative = negative_of(cast("Any", settings).negative_prompt, inversion)
    return replace(cast("Any", in_force(settings, model)), negative_prompt=negative)


@runtime_checkable
class Editor(Protocol):
    """A method of editing: settings in the constructor, data in the call."""

    def __call__(
        self, model: Model, inversion: Inversion, prompts: str | Sequence[str], on_progress: Telling = silent
    ) -> Edit:
        """Edits an inverted photograph.

        Args:
            model: The model it was inverted with.
            inversion: The inversion.
            prompts: One target prompt, or several that share a batch.
            on_progress: Called for every step, phase "sample"; "optimise" of methods that optimise for each prompt.

        Raises:
            MismatchError: Another model, schedule or guidance than the inversion's.
            PromptError: A prompt is empty, too long, or has an unknown word.
        """
        ...


@runtime_checkable
class EditsEach(Editor, Protocol):
    """An editor whose target prompts may each have settings of their own within a batch."""

    @property
    def run(self) -> "EditsEach":
        """What holds for a run alone."""
        ...

    @property
    def change(self) -> Any:  # noqa: ANN401  an editor's own
        """What it says of one prompt."""
        ...

    def each(
        self, model: Model, inversion: Inversion, changes: Sequence[tuple[str, Any]], on_progress: Telling = silent
    ) -> Edit:
        """Edits side by side against one source.

        Args:
            model: The model it was inverted with.
            inversion: The inversion.
            changes: The target prompts, each with its settings.
            on_progress: Called for every step.
        """
        ...
