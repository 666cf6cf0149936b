"""Invert an image into the embedded model and edit it by changing its prompt.

    python examples/invert_and_edit.py --output edited.png

The image is rendered here, from a seed that the model was not trained on; put your own in its place with
`nulltext.open_image("image.png", model)`.
"""

import argparse
from pathlib import Path

import nulltext
from nulltext.scenes.renderer import render
from nulltext.scenes.world import Scene, Thing


def main() -> None:
    """Renders a red ball, and makes it blue."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, default=Path("edited.png"))
    parser.add_argument("--steps", type=int, default=50, help="steps of the sampler")
    arguments = parser.parse_args()

    scene = Scene(things=(Thing(shape="ball", color="red"),), ground="grass", time="sunny")
    image = nulltext.to_image(render([scene]).pixels)

    model = nulltext.load()
    source = nulltext.open_image(image, model)
    inversion = nulltext.NullText(steps=arguments.steps)(model, source, "a photo of a red ball on grass on a sunny day")
    edit = nulltext.PromptToPrompt()(model, inversion, "a photo of a blue ball on grass on a sunny day")
    edit.image.save(arguments.output)

    scores = inversion.scores
    print(arguments.output)
    print(f"reconstructed at {scores.psnr:.2f} dB; the autoencoder alone gives {scores.vae_psnr:.2f} dB")


if __name__ == "__main__":
    main()
