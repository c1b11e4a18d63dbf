"""How fast attention is read, and maps are put to the test:  python benchmarks/explain.py

Predictions and the CLS rows of all layers and heads, of 10,000 random pictures in batches of 256,
by `core.attention.extract_set` and by three well-known ways to the same, each configured to the
sizes of the tutorial's model: Hugging Face's ViTModel with eager attention, timm's with non-fused
attention and hooks, vit-pytorch's Recorder. All take turns in one process; ours also writes its
results to disk. Then gradient relevance, deletion and insertion of 1,000 pictures.

Ours computes in bfloat16 where the processor multiplies it natively, the others as they come, in
float32; what ours does in float32 is told, too. The last line is the smallest ratio; the target
is 3.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

from core.attention import extract_set
from core.checkpoint import load_run
from core.data import ImageSet, image_set
from core.explain import explain
from core.faithfulness import deletion, insertion
from core.hardware import best_precision, describe_hardware
from core.model import VisionTransformer, ViTConfig

BATCH = 256
# pictures (B, 3, S, S) as the network takes them, to probabilities (B, classes) and CLS rows
# (B, L, H, gh*gw)
Reader = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def hugging_face(config: ViTConfig) -> Reader:
    import transformers

    model = transformers.ViTModel(
        transformers.ViTConfig(
            hidden_size=config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=config.mlp_width,
            image_size=config.image_size,
            patch_size=config.patch_size,
            attn_implementation="eager",
        ),
        add_pooling_layer=False,
    ).eval()
    head = torch.nn.Linear(config.width, config.classes)

    def read(images):
        found = model(images, output_attentions=True)
        rows = torch.stack([layer[:, :, 0, 1:] for layer in found.attentions], dim=1)
        return head(found.last_hidden_state[:, 0]).softmax(dim=-1), rows

    return read


def timm(config: ViTConfig) -> Reader:
    from timm.models.vision_transformer import VisionTransformer as TimmViT

    model = TimmViT(
        img_size=config.image_size,
        patch_size=config.patch_size,
        embed_dim=config.width,
        depth=config.layers,
        num_heads=config.heads,
        mlp_ratio=config.mlp_width / config.width,
        num_classes=config.classes,
    ).eval()
    rows = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(
            lambda module, given, attention: rows.append(attention[:, :, 0, 1:])
        )

    def read(images):
        rows.clear()
        return model(images).softmax(dim=-1), torch.stack(rows, dim=1)

    return read


def vit_pytorch(config: ViTConfig) -> Reader:
    from vit_pytorch import ViT
    from vit_pytorch.recorder import Recorder

    model = ViT(
        image_size=config.image_size,
        patch_size=config.patch_size,
        num_classes=config.classes,
        dim=config.width,
        depth=config.layers,
        heads=config.heads,
        dim_head=config.width // config.heads,
        mlp_dim=config.mlp_width,
    ).eval()
    recorder = Recorder(model)

    def read(images):
        logits, attention = recorder(images)
        return logits.softmax(dim=-1), attention[:, :, :, 0, 1:]

    return read


PEERS = {"Hugging Face": hugging_face, "timm": timm, "vit-pytorch": vit_pytorch}


def race(model: VisionTransformer, count: int, rounds: int) -> dict[str, list[float]]:
    """Images/s of every way, a number a round."""
    ours = dict.fromkeys(("float32", best_precision(model.device)))
    readers = {name: make(model.config) for name, make in PEERS.items()}
    speeds = {name: [] for name in (*readers, *ours)}
    warm_up(model, readers, ours)
    for i in range(rounds):
        images = pictures(count // rounds, seed=i + 1)
        for name, reader in readers.items():
            start = time.perf_counter()
            read_all(reader, model, images)
            speeds[name].append(len(images) / (time.perf_counter() - start))
        for precision in ours:
            start = time.perf_counter()
            extract_set(model, images, precision=precision, batch_size=BATCH)
            speeds[precision].append(len(images) / (time.perf_counter() - start))
        typer.echo("  ".join(f"{name} {s[-1]:,.0f}" for name, s in speeds.items()))
    return speeds


def warm_up(model: VisionTransformer, readers: dict[str, Reader], ours: dict) -> None:
    images = pictures(BATCH, seed=0)
    for reader in readers.values():
        read_all(reader, model, images)
    for precision in ours:
        extract_set(model, images, precision=precision, batch_size=BATCH)


@torch.inference_mode()
def read_all(reader: Reader, model: VisionTransformer, images: ImageSet) -> None:
    """Predictions and rows of all images, as NumPy arrays."""
    config = model.config
    probabilities = np.empty((len(images), config.classes), np.float32)
    rows = np.empty((len(images), config.layers, config.heads, config.tokens - 1), np.float16)
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        chances, attention = reader(model.prepare(images.images[part]))
        probabilities[part], rows[part] = chances.numpy(), attention.numpy()


def pictures(count: int, seed: int) -> ImageSet:
    drawn = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)
    return image_set(f"Random {seed}", drawn, None, ("nothing",))


def put_to_the_test(folder: Path, count: int) -> None:
    """How long gradient relevance, and deletion and insertion by it, take."""
    model, images = load_run(folder).model, pictures(count, seed=99).images
    start = time.perf_counter()
    maps = explain(model, images, "relevance")
    between = time.perf_counter()
    deletion(model, images, maps)
    insertion(model, images, maps)
    end = time.perf_counter()
    typer.echo(f"{folder.name}, {count:,} images: gradient relevance {between - start:.1f} s")
    typer.echo(f"{folder.name}, {count:,} images: deletion and insertion {end - between:.1f} s")


def main(
    images: Annotated[int, typer.Option(help="In the race.", min=BATCH)] = 10_000,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    tested: Annotated[int, typer.Option(help="Images put to the test.", min=1)] = 1000,
    model: Annotated[Path, typer.Option(help="The run folder of those.")] = Path(
        "checkpoints/strong"
    ),
) -> None:
    config = ViTConfig()
    typer.echo(f"{describe_hardware(torch.device('cpu'))}, torch {torch.__version__}; images/s")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VITASCOPE_EXTRACTIONS"] = folder
        ours = VisionTransformer(config).eval().requires_grad_(False)
        speeds = race(ours, images, rounds)
    put_to_the_test(model, tested)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    best = best_precision(ours.device)
    for name in PEERS:
        exact = medians["float32"] / medians[name]
        typer.echo(f"{name}: {medians[best] / medians[name]:.2f} in {best}, {exact:.2f} in float32")
    slowest = min(PEERS, key=lambda name: medians[best] / medians[name])
    typer.echo(f"slowest ratio: {medians[best] / medians[slowest]:.2f} {slowest}")


if __name__ == "__main__":
    typer.run(main)
