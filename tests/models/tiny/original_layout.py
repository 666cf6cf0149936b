"""Stable Diffusion 3 and FLUX as they were published, in a single file: the layout of their authors' code."""

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


_FLUX = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
}
_DOUBLE = {
    "img_mod.lin": "norm1.linear",
    "txt_mod.lin": "norm1_context.linear",
    "img_mlp.0": "ff.net.0.proj",
    "img_mlp.2": "ff.net.2",
    "txt_mlp.0": "ff_context.net.0.proj",
    "txt_mlp.2": "ff_context.net.2",
    "img_attn.proj": "attn.to_out.0",
    "txt_attn.proj": "attn.to_add_out",
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
}
_SINGLE = {
    "modulation.lin": "norm.linear",
    "linear2": "proj_out",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
}
_JOINED_BY_FLUX = {
    "double_blocks": {
        "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
        "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    },
    "single_blocks": {"linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")},
}


def flux_transformer(network):
    """A FLUX denoiser's weights by their published names."""
    state, found = network.state_dict(), {}
    kinds = (
        ("double_blocks", "transformer_blocks", _DOUBLE, network.config.num_layers),
        ("single_blocks", "single_transformer_blocks", _SINGLE, network.config.num_single_layers),
    )
    names = dict(_FLUX)
    for theirs, ours, inside, count in kinds:
        for at in range(count):
            names |= {f"{theirs}.{at}.{old}": f"{ours}.{at}.{new}" for old, new in inside.items()}
            for end in (".weight", ".bias"):
                found |= {
                    f"{theirs}.{at}.{old}{end}": torch.cat([state[f"{ours}.{at}.{part}{end}"] for part in parts])
                    for old, parts in _JOINED_BY_FLUX[theirs].items()
                }
    for old, new in names.items():
        for end in (".weight", ".bias"):
            if new + end in state:
                found[old + (".scale" if old.endswith("_norm") else end)] = state[new + end]
    for end in (".weight", ".bias"):
        found[f"final_layer.adaLN_modulation.1{end}"] = _swapped(state[f"norm_out.linear{end}"])
    return found


def text_encoders(**networks):
    """Text encoders' weights by the names that the interfaces people use have for them: clip_l, clip_g, t5xxl."""
    found = {}
    for name, network in networks.items():
        for key, tensor in network.state_dict().items():
            bare = key if name == "t5xxl" or key.startswith("text_") else f"text_model.{key}"
            found[f"text_encoders.{name}.transformer.{bare}"] = tensor
    found.pop("text_encoders.t5xxl.transformer.encoder.embed_tokens.weight", None)
    return found


def flux(pipeline):
    """A ``FluxPipeline`` as the tensors of one file."""
    tensors = {f"{UNET}{name}": tensor for name, tensor in flux_transformer(pipeline.transformer).items()}
    vae = autoencoder(pipeline.vae).items()
    tensors |= {name.replace("first_stage_model.", "vae."): tensor for name, tensor in vae}
    return tensors | text_encoders(clip_l=pipeline.text_encoder, t5xxl=pipeline.text_encoder_2)


def write(tensors, path):
    """Tensors as a file, and its path."""
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return path


def write_third(path, pipeline):
    """A ``StableDiffusion3Pipeline`` as one file."""
    tensors = {f"{UNET}{name}": tensor for name, tensor in transformer(pipeline.transformer).items()}
    tensors |= autoencoder(pipeline.vae)
    tensors |= text_encoders(clip_l=pipeline.text_encoder, clip_g=pipeline.text_encoder_2)
    if pipeline.text_encoder_3 is not None:
        tensors |= text_encoders(t5xxl=pipeline.text_encoder_3)
    tensors.pop("text_encoders.clip_l.transformer.text_projection.weight")
    return write(tensors, path)
