"""The prompt of Stable Diffusion: embedded once per model and prompt, then kept on disk. Knows
nothing of U-Nets.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dift_geo.backends.weights import (
    Source,
    cache_folder,
    file_sha256,
    find_weights,
    read_tensors,
    write_whole,
)
from dift_geo.errors import InputError, MissingFileError, MissingPackageError

__all__ = ["files_fingerprint", "prompt_embedding"]


def files_fingerprint(files: Sequence[Path]) -> str:
    return hashlib.sha256("".join(file_sha256(file) for file in files).encode()).hexdigest()[:16]


# the prompt


def prompt_embedding(
    source: Source, prompt: str, variants: Sequence[str], xl: Any
) -> tuple[Tensor, Tensor]:
    """(1, 77, D) float32 and, for XL, the pooled (1, D2), else (1, 0). From the cache when this
    model met this prompt.
    """
    from safetensors.torch import save

    parts = ["text_encoder", "text_encoder_2"] if xl else ["text_encoder"]
    if source.repo is None:
        origin = "".join(
            files_fingerprint(find_weights(source.folder / part, variants)) for part in parts
        )
    else:
        origin = f"{source.repo}@{source.revision}"
    key = hashlib.sha256(json.dumps([origin, prompt]).encode()).hexdigest()
    file = cache_folder() / "prompts" / f"{key}.safetensors"
    if file.is_file():
        try:
            cached = {key: tensor.clone() for key, tensor in read_tensors(file)}
            return cached["hidden"], cached["pooled"]
        except (ValueError, KeyError):
            file.unlink(missing_ok=True)  # damaged: a cache is made again, not complained about
    hidden, pooled = _embed(source, prompt, parts, variants)
    write_whole(file, save({"hidden": hidden, "pooled": pooled}))
    return hidden, pooled


def _embed(
    source: Source, prompt: str, parts: Sequence[str], variants: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Run the text encoders once. SD reads the last layer; XL the last but one of both, and the
    second's pooled output.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingPackageError(
            "Stable Diffusion needs transformers for the prompt; pip install 'dift-geo[sd]'"
        ) from error

    hidden, pooled = [], torch.zeros(1, 0)
    for part in parts:
        folder = source.folder / part
        tokens = source.folder / part.replace("text_encoder", "tokenizer")
        for needed in (folder / "config.json", tokens):
            if not needed.exists():
                raise MissingFileError(
                    f"no {needed.relative_to(source.folder)} in {source.label}; download the whole model"
                )
        files = find_weights(folder, variants)
        kind = (
            transformers.CLIPTextModelWithProjection
            if part.endswith("_2")
            else transformers.CLIPTextModel
        )
        tokenizer = transformers.CLIPTokenizer.from_pretrained(tokens, local_files_only=True)
        ids = tokenizer(
            prompt,
            padding="max_length",
            truncation=True,
            max_length=tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids
        encoder = _text_encoder(kind, folder, files)
        with torch.inference_mode():
            output = encoder(ids, output_hidden_states=True)
        hidden.append(output.last_hidden_state if len(parts) == 1 else output.hidden_states[-2])
        if part.endswith("_2"):
            pooled = output.text_embeds
    return torch.cat(hidden, -1).float().contiguous(), pooled.float().contiguous()


def _text_encoder(kind: Any, folder: Path, files: Sequence[Path]) -> Any:
    variant = "fp16" if ".fp16." in files[0].name else None
    with warnings.catch_warnings():
        # transformers announces its own deprecations here; none concerns the user
        warnings.simplefilter("ignore")
        try:
            encoder = kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=files[0].suffix == ".safetensors",
                variant=variant,
                dtype=torch.float32,
            )
        except (OSError, ValueError, RuntimeError) as error:
            for file in files:
                # a damaged file has a clearer message than the library's
                for _ in read_tensors(file):
                    pass
            raise InputError(
                f"{folder} cannot be read as {kind.__name__}: {' '.join(str(error).split())[:200]}"
            ) from error
    return encoder.eval()
