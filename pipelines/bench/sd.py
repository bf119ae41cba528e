"""How much time and memory each step away from the released algorithm saves, on the true Stable
Diffusion 2.1.

The weights are random, the architecture, number format and image size are real. `released` is the
published algorithm as written, in code of its own: text encoder kept, VAE and U-Net both run on
`ensemble` copies of the image (it too stops at the tapped block). Every step runs in a process of
its own; noise is the same, so that features can be compared.

    python pipelines/bench/sd.py bench_sd/ --threads 1
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sd_model import SIZES, write_model
from torch import Tensor

STEPS = {
    "released": "as written: VAE and U-Net run `ensemble` times, text encoder resident",
    "encode-once": "+ one VAE pass, `ensemble` draws from its posterior",
    "drop-text": "+ prompt embedding from the cache, no text encoder: dift-geo's paper mode",
    "one-by-one": "the same with --max-batch 1: least memory",
    "default": "dift-geo's default: noise-free, one pass",
}
LAYER, T = 2, 0  # of the paper


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "out", type=Path, help="gets model/ (5.2 GB for sd2.1), features and results.json"
    )
    parser.add_argument("--architecture", choices=SIZES, default="sd2.1")
    parser.add_argument(
        "--size", type=int, default=512, help="side of the square image, a multiple of 64"
    )
    parser.add_argument("--ensemble", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=1, help="runs per step; the fastest counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--run", choices=[*STEPS, "prompt"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.run == "prompt":
        embed_prompt(options.out / "model")
        return
    if options.run:
        measure(options)
        return
    write_model(options.out / "model", SIZES[options.architecture])
    again = [sys.executable, __file__, *sys.argv[1:], "--run"]
    subprocess.run([*again, "prompt"], check=True)
    rows = {}
    for step in options.steps:
        print(f"{step}: {STEPS[step]} ...", flush=True)
        subprocess.run([*again, step], check=True)
        rows[step] = json.loads((options.out / f"{step}.json").read_text(encoding="utf-8"))
    settings = {
        key: getattr(options, key)
        for key in ("architecture", "size", "ensemble", "threads", "repeat")
    }
    add_ratios(rows, options.out)
    results = {"settings": settings, "torch": torch.__version__, "steps": rows}
    (options.out / "results.json").write_text(
        json.dumps(results, indent=1) + "\n", encoding="utf-8"
    )
    print(table(rows))


def add_ratios(rows: dict[str, dict[str, Any]], out: Path) -> None:
    """Every step against `released`, and its features' relative difference where the noise is the
    same.
    """
    if "released" not in rows:
        return
    base, expected = rows["released"], np.load(out / "released.npy")
    for step, row in rows.items():
        row["times_faster"] = base["seconds"] / row["seconds"]
        row["share_of_memory"] = row["peak_mb"] / base["peak_mb"]
        if step != "default":
            row["difference"] = float(
                np.linalg.norm(np.load(out / f"{step}.npy") - expected) / np.linalg.norm(expected)
            )


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| step | seconds | of CPU | times faster | peak MB | share | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for step, row in rows.items():
        cells = (
            step,
            f"{row['seconds']:.2f}",
            f"{row['cpu_seconds']:.2f}",
            f"{row['times_faster']:.2f}" if "times_faster" in row else "",
            f"{row['peak_mb']:.0f}",
            f"{row.get('share_of_memory', 1):.0%}",
            f"{row['difference']:.1e}" if "difference" in row else "another result",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


# one step, in its own process


def measure(options: argparse.Namespace) -> None:
    """Load, run, and write seconds, peak memory with the weights, and the feature map."""
    torch.set_num_threads(options.threads)
    coarse = torch.from_numpy(
        np.random.default_rng(0).random((1, 3, options.size // 8, options.size // 8), np.float32)
    )
    image = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear")
    kind = options.run in ("released", "encode-once")
    run = (released if kind else ours)(options.out / "model", options.run, image, options.ensemble)
    gc.collect()
    loading_mb = peak_mb()
    forget_peak()
    seconds, cpu_seconds = [], []
    for _ in range(options.repeat):
        started, started_cpu = time.perf_counter(), time.process_time()
        feature = run()
        seconds.append(time.perf_counter() - started)
        # tells a busy machine from a slow step
        cpu_seconds.append(time.process_time() - started_cpu)
    np.save(options.out / f"{options.run}.npy", feature.float().numpy())
    times = {"seconds": min(seconds), "cpu_seconds": min(cpu_seconds)}
    row = {
        **times,
        "peak_mb": peak_mb(),
        "loading_peak_mb": loading_mb,
        "shape": list(feature.shape),
    }
    (options.out / f"{options.run}.json").write_text(json.dumps(row), encoding="utf-8")


def forget_peak() -> None:
    """Start the kernel's high-water mark anew, so that loading does not count (Linux only)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        print("the peak includes loading: this system cannot reset it", file=sys.stderr)


def peak_mb() -> float:
    """Highest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.is_file():
        return float(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def touch(module: torch.nn.Module) -> None:
    """Read every weight once: files are mapped lazily, and reading the disk is not what is
    measured.
    """
    for value in module.parameters():
        value.sum()


def draws(ensemble: int, side: int) -> list[tuple[Tensor, Tensor]]:
    """Posterior's and schedule's noise of each member, as dift-geo draws them from seed 0."""
    generator = torch.Generator().manual_seed(0)
    shape = 1, 4, side // 8, side // 8
    return [
        (torch.randn(shape, generator=generator), torch.randn(shape, generator=generator))
        for _ in range(ensemble)
    ]


def released(folder: Path, step: str, image: Tensor, ensemble: int) -> Callable[[], Tensor]:
    """The published algorithm, by diffusers' own loaders and none of dift-geo's code."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel

    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    vae.decoder = None
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    text = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    ids = torch.tensor([[text.config.bos_token_id] + [text.config.eos_token_id] * 76])
    for module in (vae, unet, text):
        touch(module)
    with torch.no_grad():
        prompt = text(ids)[0]
    noise = [torch.cat(part) for part in zip(*draws(ensemble, image.shape[-1]))]

    class Reached(Exception):
        pass

    kept: list[Tensor] = []

    def stop(module: Any, args: Any, output: Tensor) -> None:
        kept.append(output)
        raise Reached

    unet.up_blocks[LAYER].register_forward_hook(stop)

    @torch.no_grad()
    # the text encoder stays in memory, as in the released code
    def run(resident: Any = text) -> Tensor:
        kept.clear()
        pictures = image.repeat(ensemble, 1, 1, 1) if step == "released" else image
        latent = vae.encode(2 * pictures - 1).latent_dist
        x0 = (latent.mean + latent.std * noise[0]) * vae.config.scaling_factor
        t = torch.full((ensemble,), T)
        with contextlib.suppress(Reached):
            unet(
                scheduler.add_noise(x0, noise[1], t),
                T,
                encoder_hidden_states=prompt.repeat(ensemble, 1, 1),
            )
        return kept[0].mean(0, keepdim=True)

    return run


def embed_prompt(folder: Path) -> None:
    """Fill the prompt cache, as every run but a user's first finds it."""
    from dift_geo.backends.loader import load_backend

    load_backend(folder)


def ours(folder: Path, step: str, image: Tensor, ensemble: int) -> Callable[[], Tensor]:
    """dift-geo, as its command line runs it."""
    from dift_geo.backends.loader import load_backend
    from dift_geo.dift.noise import diffusion_features

    backend: Any = load_backend(folder, device="cpu")
    touch(backend.unet)
    if step == "default":
        t = backend.settings(None, "default").t
        return lambda: diffusion_features(backend, image, t=t, layers=(LAYER,))[0]
    max_batch = 1 if step == "one-by-one" else ensemble
    return lambda: diffusion_features(
        backend, image, t=T, layers=(LAYER,), noisy=True, ensemble=ensemble, posterior=True,
        generator=torch.Generator().manual_seed(0), max_batch=max_batch,
    )[0]  # fmt: skip


if __name__ == "__main__":
    main()
