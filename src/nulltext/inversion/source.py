"""What conditions a source: its prompt, or where a model is told of image embeddings, the image itself."""

from collections.abc import Sequence

from nulltext.diffusion.conditioning import Conditioning
from nulltext.images import to_pixels
from nulltext.models.base import Model, check_prompts, embed_prompts
from nulltext.models.capabilities import ImageReader, image_reader_of
from nulltext.types import ImageBytes, Pooled


def condition(
    model: Model, prompt: str, image: ImageBytes | None, size: tuple[int, int], prompts: Sequence[str] = ()
) -> Conditioning:
    """1 + B rows, what conditions the source, then each of B prompts.

    Of a model that is told of image embeddings the source's is CLIP's of the image: with the z_T that is inverted under
    it, it says all of the image (DALL-E 2, arXiv 2204.06125, section 3). A prompt that is the source's own means that.

    Args:
        model: The model.
        prompt: The source prompt.
        image: The source image, fitted; None where an image was generated from the prompt.
        size: (height, width) of the image in pixels.
        prompts: B target prompts.

    Raises:
        EmptyPromptError: A prompt has no word in it.
        PromptError: A prompt is too long, or has an unknown word.
    """
    wanted = [prompt, *prompts]
    reader = image_reader_of(model)
    if reader is None:
        return embed_prompts(model, wanted, size)
    check_prompts(model, wanted)
    source = reader.told(source_embedding(reader, prompt, image))
    return Conditioning.cat([source, *(source if each == prompt else model.embed([each], size) for each in prompts)])


def source_embedding(reader: ImageReader, prompt: str, image: ImageBytes | None) -> Pooled:
    """[1, D] the image embedding of a source, see `condition`."""
    return reader.imagine(prompt) if image is None else reader.see(to_pixels(image))
