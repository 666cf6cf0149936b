"""Edit a photograph of your own with Stable Diffusion, on a GPU.

    python examples/own_photo_stable_diffusion.py cat.jpg \
        "a cat sitting next to a mirror" "a tiger sitting next to a mirror" "a silver cat sculpture next to a mirror"

The checkpoint is fetched on the first run. The inversion is kept beside the photograph, so that further edits take
seconds: run it again with other prompts.
"""

import argparse
import re
from pathlib import Path

import nulltext


def main() -> None:
    """Inverts the photograph, unless that has been done, and writes one image for each new prompt."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("prompt", help="what the photograph shows")
    parser.add_argument("edits", nargs="+", help="the prompt with other words, once for each image wanted")
    parser.add_argument("--model", default="stable-diffusion-v1-5/stable-diffusion-v1-5")
    parser.add_argument("--device", help="cuda if there is one, else cpu")
    parser.add_argument("--steps", type=int, default=50, help="steps of the sampler")
    parser.add_argument("--fit", choices=["crop", "pad"], default="crop")
    arguments = parser.parse_args()

    model = nulltext.load(arguments.model, device=arguments.device)
    source = nulltext.open_image(arguments.image, model, fit=arguments.fit)
    kept = arguments.image.with_suffix(".safetensors")
    if kept.exists():
        inversion = nulltext.Inversion.load(kept)
        if (inversion.sha256, inversion.prompt) != (source.sha256, arguments.prompt):
            parser.error(f"{kept} is of another image or prompt ({inversion.prompt!r}); move it away first.")
    else:
        inversion = nulltext.NullText(steps=arguments.steps)(model, source, arguments.prompt)
        inversion.save(kept)

    edit = nulltext.PromptToPrompt()(model, inversion, arguments.edits)
    for prompt, image in zip(edit.prompts, edit.images, strict=True):
        words = re.sub(r"\W+", "-", prompt).strip("-")
        path = arguments.image.with_name(f"{arguments.image.stem}-{words[:60]}.png")
        image.save(path)
        print(path)


if __name__ == "__main__":
    main()
