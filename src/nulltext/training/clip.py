"""Stage 2: CLIP on scenes. Its text tower conditions the UNet, as in Stable Diffusion; both serve the metrics."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Final

import torch
from tokenizers import pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTextModel, CLIPTokenizer

from nulltext.judges import HEADS, words_of
from nulltext.models.clip import normalized
from nulltext.scenes.captions import caption, near_misses, vocabulary
from nulltext.scenes.world import Scene
from nulltext.training.data import SIDE, to_pixels
from nulltext.training.loop import Run, fit
from nulltext.training.precision import autocast, linear_weights

TEXT_LENGTH: Final = 40
"""Tokens of a caption, its two ends included; the longest caption of a scene has 37."""
WIDTH: Final = 128
BATCH: Final = 96
NEAR_MISSES: Final = 2
"""Captions with one word changed that every picture must also reject."""


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
    """The two towers, untrained: text 4 layers, pictures 6 layers over 8x8 patches of 16 pixels, width 128."""
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
                "patch_size": 16,
                "projection_dim": WIDTH,
            },
            projection_dim=WIDTH,
        )
    )


class _Student(nn.Module):
    """CLIP, and linear read-outs of the first thing's words that speed the vision tower's start and are thrown away."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.read = nn.ModuleDict({head: nn.Linear(WIDTH, len(words)) for head, words in HEADS.items()})


def labels(scene: Scene) -> list[int]:
    """The words of a scene and of its first thing, as indices into `HEADS`."""
    words = words_of(scene)
    return [HEADS[head].index(words[head]) for head in HEADS]


def train(
    pictures: Tensor,
    scenes: Sequence[Scene],
    run: Run,
    *,
    keep_text: bool = False,
) -> tuple[CLIPModel, CLIPTokenizer]:
    """Train both towers with the contrastive loss (Radford et al., 2021, figure 3), near misses among the negatives.

    Args:
        pictures: [n, 3, 128, 128] uint8.
        scenes: What they show.
        run: How to train.
        keep_text: Whether the text tower stays as it is, because a UNet knows its states.

    Returns:
        The averaged model and its tokenizer.
    """
    device = run.device
    torch.manual_seed(run.seed)
    tokenizer = build_tokenizer() if run.start is None else CLIPTokenizer.from_pretrained(run.start / "tokenizer")
    read = torch.tensor([labels(scene) for scene in scenes])

    def loss(module: _Student, step: int) -> Tensor:
        rng = run.random(step)
        index = rng.sample(range(len(scenes)), BATCH)
        chosen = [scenes[i] for i in index]
        wrong = [miss for scene in chosen for miss in near_misses(scene, NEAR_MISSES, rng)]
        captions = [caption(scene, None, seed=rng.randrange(1 << 30)) for scene in [*chosen, *wrong]]
        tokens = tokenizer(captions, padding="longest", return_tensors="pt").input_ids.to(device)
        pixels = normalized(to_pixels(pictures[index].to(device)))
        clip = module.clip
        with autocast(device):
            seen = clip.vision_model(pixel_values=pixels).pooler_output
            said = clip.text_model(input_ids=tokens).pooler_output
            image = functional.normalize(clip.visual_projection(seen).float(), dim=-1)
            text = functional.normalize(clip.text_projection(said).float(), dim=-1)
        logits = clip.logit_scale.exp().clamp(max=100) * image @ text.T
        target = torch.arange(BATCH, device=device)
        # The same caption may stand under several pictures; it is no negative then.
        same = torch.tensor([[a == b for b in captions] for a in captions[:BATCH]], device=device)
        same[target, target] = False
        logits = logits.masked_fill(same, -1e4)
        contrast = functional.cross_entropy(logits, target) + functional.cross_entropy(logits[:, :BATCH].T, target)
        reading = sum(
            functional.cross_entropy(layer(seen.float()), read[index, column].to(device))
            for column, layer in enumerate(module.read.values())
        )
        return contrast / 2 + reading / len(HEADS)

    towers = build(tokenizer)
    if run.start is not None:
        towers.load_state_dict(CLIPModel.from_pretrained(run.start / "clip").state_dict())
    towers.text_model.requires_grad_(not keep_text)
    # The fused bf16 attention of the CPU is 1.5 times slower than matrix products at 65 tokens and less (torch 2.13).
    towers.set_attn_implementation("eager")
    student = _Student(towers).to(device)
    average = fit(run, "clip", student, loss, lr=2e-3, matrices=linear_weights(student.clip), weight_decay=0.05)
    return average.clip, tokenizer


def text_tower(clip: CLIPModel) -> CLIPTextModel:
    """The text tower alone, as the pipeline holds it."""
    tower = CLIPTextModel(clip.config.text_config)
    tower.load_state_dict(clip.text_model.state_dict())
    return tower.eval().requires_grad_(requires_grad=False)
