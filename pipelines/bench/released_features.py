"""DIFT's own `src/models/dino.py` and `clip.py` beside `--backend dino:` and `clip:`, on the same
random weights: how far their maps are apart.

    git clone https://github.com/Tsingularity/dift
    git clone https://github.com/facebookresearch/dino
    pip install open_clip_torch==2.20.0     # of DIFT's time; newer ones put the batch first
    python pipelines/bench/released_features.py dift/ dino/

The released files run unchanged, on the CPU. Weights are drawn under the names of the released
networks and written under those of the published folders of transformers, with the published
configurations but for the width; so what differs is what the two programs do. At another size than
that of training, the released networks fit their positions by a scale that is a tenth of a cell too
large, transformers by the size itself; `alike` is without that difference.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dift_geo.backends.loader import load_backend

WIDTH, HEADS = 64, 4
State = Mapping[str, Tensor]
Released = Callable[[Tensor, int], Tensor]  # (1, 3, H, W) and a block -> (1, C, h, w)
# names of the released networks -> of the published folders
DINO = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "blocks.": "encoder.layer.",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
    "norm.": "layernorm.",
}
CLIP = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1": "embeddings.patch_embedding",
    "ln_pre": "pre_layrnorm",  # so it is called
    "ln_post": "post_layernorm",
    "transformer.resblocks.": "encoder.layers.",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def drawn(model: nn.Module) -> nn.Module:
    """The model with random weights of unit gain."""
    random = np.random.default_rng(0)
    state = model.state_dict()
    for name in sorted(state):
        shape = tuple(state[name].shape)
        values = random.standard_normal(shape)
        if name.endswith(("weight", "proj")) and len(shape) > 1:
            values = values / np.sqrt(np.prod(shape[1:]))
        elif "norm" in name or "ln_" in name:
            values = 0.1 * values + name.endswith("weight")
        state[name] = torch.from_numpy(values.astype(np.float32))
    model.load_state_dict(state)
    return model.eval()


def renamed(state: State, names: Mapping[str, str], qkv: tuple[str, str]) -> dict[str, Tensor]:
    """A state under other names.

    qkv: what the layers of queries, keys and values are in one there, and before each here.
    """
    found = {}
    for name, value in state.items():
        for old, new in names.items():
            # the last normalisation alone is called norm
            if old != "norm." or name.startswith(old):
                name = name.replace(old, new)
        together, apart = qkv
        if together not in name:
            found[name] = value.contiguous()
            continue
        kind = "weight" if name.endswith("weight") else "bias"
        before = name.partition(together)[0]
        for own, part in zip(apart.split(), value.chunk(3)):
            found[f"{before}{own}.{kind}"] = part.contiguous()
    return found


def written(folder: Path, state: State, config: Mapping[str, object]) -> Path:
    """A folder in transformers' layout."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(state), folder / "model.safetensors", {"format": "pt"})
    return folder


def module(file: Path) -> ModuleType:
    """A file of a clone as a module; what it imports for notebooks and pictures is left out."""
    spec = importlib.util.spec_from_file_location(f"released_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    absent = {"tqdm.notebook": SimpleNamespace(tqdm=iter), "utils": SimpleNamespace()}
    absent["utils"].trunc_normal_ = nn.init.trunc_normal_
    with patch.dict(sys.modules, absent):  # type: ignore[arg-type]
        spec.loader.exec_module(loaded)
    return loaded


def dino_folder(folder: Path, state: State) -> str:
    """Our word for a ViT-*/8 of these released weights."""
    parts = "attention.attention.query attention.attention.key attention.attention.value"
    config = {"model_type": "vit", "image_size": 224, "patch_size": 8, "layer_norm_eps": 1e-12}
    config |= {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": 12}
    config |= {"intermediate_size": 4 * WIDTH, "qkv_bias": True, "hidden_act": "gelu"}
    return f"dino:{written(folder, renamed(state, DINO, ('attn.qkv', parts)), config)}"


def clip_folder(folder: Path, state: State) -> str:
    """Our word for a ViT-*/14 of these released weights."""
    parts = "self_attn.q_proj self_attn.k_proj self_attn.v_proj"
    vision = {"image_size": 224, "patch_size": 14, "layer_norm_eps": 1e-5, "hidden_act": "gelu"}
    vision |= {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": 12}
    vision |= {"intermediate_size": 4 * WIDTH, "model_type": "clip_vision_model"}
    config = {"model_type": "clip", "vision_config": vision, "text_config": {}}
    own = {
        f"vision_model.{n}": v for n, v in renamed(state, CLIP, ("attn.in_proj_", parts)).items()
    }
    return f"clip:{written(folder, own, config)}"


def dino(repo: Path, network: Path, folder: Path) -> tuple[Released, str]:
    """DIFT's featurizer with a narrow network of DINO, and our word for the same."""
    own = {"embed_dim": WIDTH, "depth": 12, "num_heads": HEADS, "qkv_bias": True}
    norm = partial(nn.LayerNorm, eps=1e-6)
    code = module(network / "vision_transformer.py")
    model = drawn(code.VisionTransformer(img_size=[224], patch_size=8, norm_layer=norm, **own))
    with (
        patch("torch.hub.load", lambda *_: model),
        patch.object(nn.Module, "cuda", lambda self: self),
    ):
        featurizer = module(repo / "src" / "models" / "dino.py").DINOFeaturizer()
    return featurizer.forward, dino_folder(folder / "dino", model.state_dict())


def clip(repo: Path, folder: Path) -> tuple[Released, str]:
    """DIFT's featurizer with a narrow network of OpenCLIP, and our word for the same."""
    import open_clip
    from open_clip.transformer import VisionTransformer

    model = drawn(VisionTransformer(224, 14, WIDTH, 12, HEADS, 4.0, output_dim=32))
    made = (SimpleNamespace(visual=model), None, None)
    with (
        patch.object(open_clip, "create_model_and_transforms", lambda *_, **__: made),
        patch.object(nn.Module, "cuda", lambda self: self),
    ):
        featurizer = module(repo / "src" / "models" / "clip.py").CLIPFeaturizer()
    state = {name: value for name, value in model.state_dict().items() if name != "proj"}
    return featurizer.forward, clip_folder(folder / "clip", state)


FIT = nn.functional.interpolate


def fitted_to_size(values: Tensor, scale_factor: tuple[float, float], **how: object) -> Tensor:
    """In the place of `interpolate`: the same number of cells, by the size and not by the scale."""
    size = tuple(int(side * scale) for side, scale in zip(values.shape[2:], scale_factor))
    return FIT(values, size=size, **how)


def apart(own: Tensor, theirs: Tensor) -> str:
    """How far two (C, h, w) maps are apart."""
    largest = (own - theirs).abs().max() / theirs.std()
    cosine = nn.functional.cosine_similarity(own, theirs, dim=0).min()
    return f"largest difference {largest:.1e} of the deviation, smallest cosine {cosine:.6f}"


def compared(released: Released, word: str, sizes_wh: list[tuple[int, int]]) -> Iterator[str]:
    """A line for each size and block."""
    backend = load_backend(word, device="cpu")
    for w, h in sizes_wh:
        image = torch.from_numpy(np.random.default_rng(1).uniform(size=(1, 3, h, w))).float()
        image = nn.functional.avg_pool2d(image, 9, 1, 4)
        x0, _ = backend.encode(image)
        for block in (3, 7, 11):
            (own,) = backend.decoder_features(x0, 0, [block])
            words = f"{w} x {h}, block {block}: {apart(own[0], released(x0, block)[0])}"
            with patch.object(nn.functional, "interpolate", fitted_to_size):
                alike = released(x0, block)[0]
            yield f"{words}; alike: {apart(own[0], alike)}"


def main(argv: list[str] | None = None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dift", type=Path, help="a clone of github.com/Tsingularity/dift")
    parser.add_argument("dino", type=Path, help="a clone of github.com/facebookresearch/dino")
    flags = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        for name, (released, word), sizes in (
            ("dino", dino(flags.dift, flags.dino, Path(folder)), [(512, 512), (832, 480)]),
            ("clip", clip(flags.dift, Path(folder)), [(756, 756)]),
        ):
            for line in compared(released, word, [(224, 224), *sizes]):
                print(f"{name}, {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
