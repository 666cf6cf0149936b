"""Stable Diffusion 3 as it was published, in a single file: the layout of its authors' code."""

import torch
from safetensors.torch import save_file

UNET = "model.diffusion_model."
_OUTSIDE = {
    "pos_embed": "pos_embed.pos_embed",
    "x_embedder.proj": "pos_embed.proj",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "context_embedder": "context_embedder",
    "final_layer.linear": "proj_out",
}
_BLOCK = {
    "x_block.attn.proj": "attn.to_out.0",
    "context_block.attn.proj": "attn.to_add_out",
    "x_block.attn2.proj": "attn2.to_out.0",
    "x_block.adaLN_modulation.1": "norm1.linear",
    "context_block.adaLN_modulation.1": "norm1_context.linear",
    "x_block.mlp.fc1": "ff.net.0.proj",
    "x_block.mlp.fc2": "ff.net.2",
    "context_block.mlp.fc1": "ff_context.net.0.proj",
    "context_block.mlp.fc2": "ff_context.net.2",
    "x_block.attn.ln_q": "attn.norm_q",
    "x_block.attn.ln_k": "attn.norm_k",
    "context_block.attn.ln_q": "attn.norm_added_q",
    "context_block.attn.ln_k": "attn.norm_added_k",
    "x_block.attn2.ln_q": "attn2.norm_q",
    "x_block.attn2.ln_k": "attn2.norm_k",
}
_JOINED = {
    "x_block.attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "context_block.attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
}


def renamed(name, *pairs):
    for old, new in pairs:
        name = name.replace(old, new)
    return name


def vae_name(name, blocks):
    name = renamed(
        name, ("conv_norm_out", "norm_out"), ("mid_block.resnets.0", "mid.block_1"),
        ("mid_block.resnets.1", "mid.block_2"), ("mid_block.attentions.0", "mid.attn_1"), ("group_norm", "norm"),
        ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"), ("conv_shortcut", "nin_shortcut"),
        ("downsamplers.0", "downsample"), ("upsamplers.0", "upsample"), ("resnets", "block"), ("down_blocks", "down"),
    )  # fmt: skip
    for block in range(blocks):
        name = name.replace(f"up_blocks.{block}.", f"up.{blocks - 1 - block}.")
    return "first_stage_model." + name


def autoencoder(network):
    """An autoencoder's weights by their published names."""
    blocks = len(network.config.block_out_channels)
    found = {vae_name(name, blocks): weight for name, weight in network.state_dict().items()}
    for name, weight in found.items():
        if ".attn_1." in name and weight.ndim == 2:
            found[name] = weight[:, :, None, None]
    return found


def _swapped(weight):
    """Scale and shift the other way round, as they are in the last layers of each branch."""
    return torch.cat(list(reversed(weight.chunk(2))))


def transformer(network):
    """A denoiser's weights by their published names."""
    state, last = network.state_dict(), len(network.transformer_blocks) - 1
    names = {**_OUTSIDE}
    for at in range(last + 1):
        names |= {f"joint_blocks.{at}.{ours}": f"transformer_blocks.{at}.{theirs}" for ours, theirs in _BLOCK.items()}
    found = {}
    for ours, theirs in names.items():
        for end in ("", ".weight", ".bias"):
            if theirs + end in state:
                found[ours + end] = state[theirs + end]
    for at in range(last + 1):
        for ours, parts in _JOINED.items():
            for end in (".weight", ".bias"):
                each = [state.get(f"transformer_blocks.{at}.{part}{end}") for part in parts]
                if each[0] is not None:
                    found[f"joint_blocks.{at}.{ours}{end}"] = torch.cat(each)
    for end in ("weight", "bias"):
        name = f"joint_blocks.{last}.context_block.adaLN_modulation.1.{end}"
        found[name] = _swapped(found[name])
        found[f"final_layer.adaLN_modulation.1.{end}"] = _swapped(state[f"norm_out.linear.{end}"])
    return found


def write_third(path, pipeline):
    """A ``StableDiffusion3Pipeline`` as one file."""
    tensors = {f"{UNET}{name}": tensor for name, tensor in transformer(pipeline.transformer).items()}
    tensors |= autoencoder(pipeline.vae)
    for name, network in (("clip_l", pipeline.text_encoder), ("clip_g", pipeline.text_encoder_2)):
        tensors |= {f"text_encoders.{name}.transformer.{key}": at for key, at in network.state_dict().items()}
    if pipeline.text_encoder_3 is not None:
        state = pipeline.text_encoder_3.state_dict()
        state.pop("encoder.embed_tokens.weight", None)
        tensors |= {f"text_encoders.t5xxl.transformer.{key}": tensor for key, tensor in state.items()}
    tensors.pop("text_encoders.clip_l.transformer.text_projection.weight")
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return path
