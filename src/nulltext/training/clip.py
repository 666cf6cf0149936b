"""Stage 2: CLIP on scenes. Its text tower conditions the UNet, as in Stable Diffusion; both serve the metrics."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from tokenizers import pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTextModel, CLIPTokenizer

from nulltext.models.clip import normalized
from nulltext.scenes.captions import THING_WORDS, caption, near_misses, vocabulary
from nulltext.scenes.placement import middles
from nulltext.scenes.world import GROUNDS, MOST_THINGS, STYLES, TIMES, Relation, Scene, Thing
from nulltext.training.data import SIDE, to_pixels
from nulltext.training.loop import Run, fit
from nulltext.training.precision import autocast, linear_weights

TEXT_LENGTH: Final = 40
"""Tokens of a caption, its two ends included; the longest caption of a scene has 37."""
WIDTH: Final = 128
BATCH: Final = 96
PATCH: Final = 16
NEAR_MISSES: Final = 2
"""Captions with one word changed that every image must also reject."""
KEEP: Final = 10.0
"""Weight of the text states that a UNet knows, where one is trained on: it then only follows the captions' ends."""


def build_tokenizer() -> CLIPTokenizer:
    """CLIP's byte-level BPE over the words of the world; every word is one token.

    The same merges in every process: the trainer of `tokenizers` breaks ties as its hash tables fall out, so that a
    training gone on with in another process would number its tokens anew.
    """
    merges = _merges([*vocabulary(), ","])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(pair) for pair in merges)]
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocab[special] = len(vocab)
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=TEXT_LENGTH)


def _merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Byte-pair merges until every word is one token (Sennrich et al., 2016, algorithm 1); ties by the alphabet."""
    cut = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while pairs := Counter(pair for word in cut for pair in itertools.pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word in cut:
            for at in reversed(range(len(word) - 1)):
                if (word[at], word[at + 1]) == best:
                    word[at : at + 2] = ["".join(best)]
    return merges


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """The two towers, untrained: text 4 layers, images 6 layers over 8x8 patches of 16 pixels, width 128."""
    layers = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 4, "hidden_act": "gelu"}
    return CLIPModel(
        CLIPConfig(
            text_config={
                **layers,
                "num_hidden_layers": 4,
                "vocab_size": len(tokenizer),
                "max_position_embeddings": TEXT_LENGTH,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.pad_token_id,
                "projection_dim": WIDTH,
            },
            vision_config={
                **layers,
                "num_hidden_layers": 6,
                "image_size": SIDE,
                "patch_size": PATCH,
                "projection_dim": WIDTH,
            },
            projection_dim=WIDTH,
        )
    )


READ: Final[dict[str, int]] = {
    "ground": len(GROUNDS),
    "time": len(TIMES),
    "style": len(STYLES),
    "arrangement": MOST_THINGS + 1,
    **{f"{kind} {slot}": len(words) for slot in range(MOST_THINGS) for kind, words in THING_WORDS.items()},
}
"""What an image and a caption say, and of how many words each: of the scene, and of every thing in it."""
READ_PATCH: Final = {kind: len(words) for kind, words in THING_WORDS.items()}
"""What the place where a thing stands says."""
_NOTHING: Final = -100
"""What a thing that is not there says: cross-entropy's own mark of targets that do not count."""


def reading(scene: Scene) -> list[int]:
    """What an image or a caption of a scene says, as indices into the words of `READ`; -100 where there is no thing.

    Things count from the left, or from the back, not in the caption's order: "a ball to the left of a cube" and "a cube
    to the right of a ball" are one image and must be one embedding.
    """
    things = list(scene.things)
    if scene.relation == "right":
        things[:2] = reversed(things[:2])
    arrangement = MOST_THINGS if scene.relation == "behind" else len(things) - 1
    targets = [GROUNDS.index(scene.ground), TIMES.index(scene.time), STYLES.index(scene.style), arrangement]
    for thing in things:
        targets += _words(thing)
    return targets + [_NOTHING] * (len(READ) - len(targets))


def _words(thing: Thing) -> list[int]:
    return [words.index(getattr(thing, kind)) for kind, words in THING_WORDS.items()]


class _Student(nn.Module):
    """CLIP, and linear read-outs that teach its towers what matters and are thrown away.

    The contrast alone learns several things in one image very slowly: told apart from other images by the ground
    and the first thing, they give it nothing more to learn.
    """

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.read = nn.Linear(WIDTH, sum(READ.values()))  # from the embedding, of an image and a caption alike
        self.read_patch = nn.Linear(WIDTH, sum(READ_PATCH.values()))  # from where a thing stands


def _misread(logits: Tensor, targets: Tensor, heads: dict[str, int]) -> Tensor:
    """Mean cross-entropy of the logits of all heads side by side, [n, words in all], against words said, [n, heads].

    Every head counts alike, however seldom there is something to say; one that says nothing counts as 0.
    """
    groups = zip(logits.float().split(list(heads.values()), dim=1), targets.T, strict=True)
    parts = [
        functional.cross_entropy(group, words, ignore_index=_NOTHING, reduction="sum") / (words >= 0).sum().clamp(min=1)
        for group, words in groups
    ]
    return torch.stack(parts).mean()


def train(
    images: Tensor, scenes: Sequence[Scene], run: Run, *, keep_text: bool = False
) -> tuple[CLIPModel, CLIPTokenizer]:
    """Train both towers with the contrastive loss (Radford et al., 2021, figure 3), near misses among the negatives.

    Args:
        images: [n, 3, 128, 128] uint8.
        scenes: What they show; those of several things are drawn more often.
        run: How to train.
        keep_text: Whether the text tower stays as it is, because a UNet knows its states.

    Returns:
        The averaged model and its tokenizer.
    """
    device = run.device
    torch.manual_seed(run.seed)
    tokenizer = build_tokenizer() if run.start is None else CLIPTokenizer.from_pretrained(run.start / "tokenizer")
    towers = build(tokenizer)
    if run.start is not None:
        towers.load_state_dict(CLIPModel.from_pretrained(run.start / "clip").state_dict())
    towers.text_model.requires_grad_(not keep_text)
    known = None if run.start is None or keep_text else text_tower(towers).to(device)
    weights = [len(scene.things) for scene in scenes]

    def loss(module: _Student, step: int) -> Tensor:
        rng = run.random(step)
        index = rng.sample(range(len(scenes)), BATCH, counts=weights)
        mirror = [rng.choice((True, False)) for _ in index]
        shown = [_mirrored(scenes[i]) if flip else scenes[i] for i, flip in zip(index, mirror, strict=True)]
        wrong = [miss for scene in shown for miss in near_misses(scene, NEAR_MISSES, rng)]
        captions = _captions(shown, wrong, rng)
        tokens = tokenizer(captions, padding="longest", return_tensors="pt").input_ids.to(device)
        pixels = to_pixels(images[index])
        pixels[mirror] = pixels[mirror].flip(-1)
        flips = enumerate(zip(index, mirror, strict=True))
        places = torch.tensor([(row, patch) for row, (i, flip) in flips for patch in _patches(scenes[i], mirror=flip)])
        clip = module.clip
        with autocast(device):
            vision = clip.vision_model(pixel_values=normalized(pixels.to(device)))
            states = clip.text_model(input_ids=tokens)
            image = functional.normalize(clip.visual_projection(vision.pooler_output).float(), dim=-1)
            text = functional.normalize(clip.text_projection(states.pooler_output).float(), dim=-1)
            read_image, read_text = (module.read(WIDTH**0.5 * side) for side in (image, text))
            read_patch = module.read_patch(vision.last_hidden_state[*places.T])
        contrast = _contrast(clip.logit_scale.exp().clamp(max=100) * image @ text.T, captions)
        targets = torch.tensor([reading(scene) for scene in [*shown, *wrong]], device=device)
        stands = torch.tensor([_words(thing) for i in index for thing in scenes[i].things], device=device)
        value = contrast / 2 + _misread(read_image, targets[:BATCH], READ) + _misread(read_text, targets, READ)
        value = value + _misread(read_patch, stands, READ_PATCH)
        return (
            value if known is None else value + KEEP * _moved(states.last_hidden_state[:BATCH], tokens[:BATCH], known)
        )

    # The fused bf16 attention of the CPU is 1.5 times slower than matrix products at 65 tokens and less (torch 2.13).
    towers.set_attn_implementation("eager")
    student = _Student(towers).to(device)
    average = fit(run, "clip", student, loss, lr=2e-3, matrices=linear_weights(student.clip), weight_decay=0.05)
    return average.clip, tokenizer


def _captions(shown: Sequence[Scene], wrong: Sequence[Scene], rng: random.Random) -> list[str]:
    """Captions of scenes, then of their near misses, in the same wording: one word apart."""
    wordings = [rng.randrange(1 << 30) for _ in shown]
    wordings += [wording for wording in wordings for _ in range(NEAR_MISSES)]
    return [caption(scene, None, seed=seed) for scene, seed in zip([*shown, *wrong], wordings, strict=True)]


def _contrast(logits: Tensor, captions: Sequence[str]) -> Tensor:
    """The contrastive loss both ways, of how alike `BATCH` images are to all captions, their own first."""
    diagonal = torch.arange(BATCH, device=logits.device)
    # The same caption may stand under several images; it is no negative then.
    same = torch.tensor([[a == b for b in captions] for a in captions[:BATCH]], device=logits.device)
    same[diagonal, diagonal] = False
    logits = logits.masked_fill(same, -1e4)
    return functional.cross_entropy(logits, diagonal) + functional.cross_entropy(logits[:, :BATCH].T, diagonal)


def _mirrored(scene: Scene) -> Scene:
    """What a scene's image shows in a mirror, nuisances aside."""
    swapped: dict[Relation, Relation] = {"left": "right", "right": "left"}
    return scene if scene.relation is None else replace(scene, relation=swapped.get(scene.relation, scene.relation))


def _patches(scene: Scene, *, mirror: bool) -> list[int]:
    """The vision tower's token at the middle of every thing; the tower's own token comes first."""
    grid = SIDE // PATCH
    vision = [((-x if mirror else x) + 1, 1 - y) for x, y in middles(scene)]
    columns_rows = [[min(grid - 1, max(0, int(at / 2 * grid))) for at in place] for place in vision]
    return [1 + row * grid + column for column, row in columns_rows]


def _moved(states: Tensor, tokens: Tensor, known: CLIPTextModel) -> Tensor:
    """How far the text states have gone from those a UNet knows, captions' ends aside: a share of their square."""
    with torch.no_grad():
        before = known(input_ids=tokens).last_hidden_state.float()
    ends = (tokens == known.config.eos_token_id).int().argmax(1)
    kept = torch.ones_like(tokens, dtype=torch.float32)
    kept[torch.arange(len(tokens)), ends] = 0
    return ((states.float() - before).square().sum(2) * kept).sum() / (before.square().sum(2) * kept).sum()


def text_tower(clip: CLIPModel) -> CLIPTextModel:
    """The text tower alone, as the pipeline holds it."""
    tower = CLIPTextModel(clip.config.text_config)
    tower.load_state_dict(clip.text_model.state_dict())
    return tower.eval().requires_grad_(requires_grad=False)
