"""The prompt of Stable Diffusion: embedded once per model and prompt, then kept on disk.

Knows text encoders and tokenizers; nothing of U-Nets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dift_geo.backends.cache import cache_folder, files_fingerprint, write_cached
from dift_geo.backends.checkpoint import Checkpoint
from dift_geo.backends.hub import Source
from dift_geo.backends.pretrained import pretrained
from dift_geo.backends.weights import find_weights, read_tensors
from dift_geo.errors import InputError, MissingFileError, MissingPackageError

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

__all__ = ["prompt_embedding"]


def prompt_embedding(
    checkpoint: Checkpoint, prompt: str, variants: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """(1, 77, D) float32 and, for XL, the pooled (1, D2), else (1, 0).

    From the cache when this model met this prompt.
    """
    from safetensors.torch import save

    source = checkpoint.source
    origin = f"{source.repo}@{source.revision}"
    if source.repo is None:
        origin = files_fingerprint(checkpoint.text_files)
    key = hashlib.sha256(json.dumps([origin, prompt]).encode()).hexdigest()
    file = cache_folder() / "prompts" / f"{key}.safetensors"
    if file.is_file():
        try:
            cached = {key: tensor.clone() for key, tensor in read_tensors(file)}
            return cached["hidden"], cached["pooled"]
        except (ValueError, KeyError):
            file.unlink(missing_ok=True)  # damaged: a cache is made again, not complained about
    hidden, pooled = _embed(source, prompt, checkpoint.text_parts, variants)
    write_cached(file, save({"hidden": hidden, "pooled": pooled}))
    return hidden, pooled


def _embed(
    source: Source, prompt: str, parts: Sequence[str], variants: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Run the text encoders once.

    Stable Diffusion reads the last layer; XL the last but one of both, and the second's pooled
    output.
    """
    hidden, pooled = [], torch.zeros(1, 0)
    for part in parts:
        projected = part.endswith("_2")
        ids = _token_ids(source, part, prompt)
        encoder = _text_encoder(source, part, variants, projected)
        with torch.inference_mode():
            output = encoder(ids, output_hidden_states=True)
        hidden.append(output.last_hidden_state if len(parts) == 1 else output.hidden_states[-2])
        if projected:
            pooled = output.text_embeds
    return torch.cat(hidden, -1).float().contiguous(), pooled.float().contiguous()


def _token_ids(source: Source, part: str, prompt: str) -> Tensor:
    """(1, 77) numbers of the prompt's tokens, for one of the text encoders."""
    try:
        from transformers import CLIPTokenizer
    except ImportError as error:
        raise MissingPackageError(
            "Stable Diffusion needs transformers for the prompt; pip install 'dift-geo[sd]'"
        ) from error

    tokens = source.folder / part.replace("text_encoder", "tokenizer")
    for needed in (source.folder / part / "config.json", tokens):
        if not needed.exists():
            raise MissingFileError(
                f"no {needed.relative_to(source.folder)} in {source.label}; "
                "download the whole model"
            )
    tokenizer = CLIPTokenizer.from_pretrained(tokens, local_files_only=True)
    ids: Tensor = tokenizer(
        prompt,
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids
    return ids


def _text_encoder(
    source: Source, part: str, variants: Sequence[str], projected: bool
) -> CLIPTextModel | CLIPTextModelWithProjection:
    """A text encoder in float32, from the first variant that is there."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    folder = source.folder / part
    files = find_weights(folder, variants)
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    try:
        encoder = pretrained(
            kind,
            folder,
            use_safetensors=files[0].suffix == ".safetensors",
            variant="fp16" if ".fp16." in files[0].name else None,
        )
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        _require_whole(files)
        raise InputError(
            f"{folder} cannot be read as {kind.__name__}: {' '.join(str(error).split())[:200]}"
        ) from error
    return encoder.eval()


def _require_whole(files: Sequence[Path]) -> None:
    """Raise for a damaged file: that message is clearer than the library's."""
    for file in files:
        for _ in read_tensors(file):
            pass
