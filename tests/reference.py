"""What several test files share: the Vision Transformer again, slowly, and small helpers."""

import io
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from core.model import VisionTransformer, ViTConfig

# --- The tutorial's ViT in plain loops over images, tokens and heads, in float64 ----------------


def forward(state, images, heads, patch, deltas=None):
    """Logits (B, classes) and attention (B, L, H, T, T), from the tutorial's key names.

    A projection after the heads, which the tutorial lacks, is `…work1.fn.1.projection`. `deltas`
    (L, H, T, T) are added to every image's attention, after the softmax.
    """
    state = {name: np.asarray(values, np.float64) for name, values in state.items()}
    results = [
        _forward_one(state, np.asarray(image, np.float64), heads, patch, deltas) for image in images
    ]
    return np.stack([logits for logits, _ in results]), np.stack([a for _, a in results])


def _forward_one(state, image, heads, patch, deltas):
    channels, height, width = image.shape
    tokens = [state["patchembedding.cls_token"].reshape(-1)]
    for top in range(0, height, patch):
        for left in range(0, width, patch):
            flat = np.array(
                [
                    image[c, top + row, left + column]
                    for row in range(patch)
                    for column in range(patch)
                    for c in range(channels)
                ]
            )
            tokens.append(_linear(state, "patchembedding.projection.1", flat))
    tokens = [token + place for token, place in zip(tokens, state["patchembedding.positions"])]
    layers, layer = [], 0
    while f"transformer.{layer}.work1.fn.0.weight" in state:
        name = f"transformer.{layer}"
        delta = None if deltas is None else deltas[layer]
        update, attention = _attention(state, f"{name}.work1", tokens, heads, delta)
        tokens = [token + change for token, change in zip(tokens, update)]
        for t, token in enumerate(tokens):
            hidden = _linear(
                state, f"{name}.work2.fn.1.mlp.0", _norm(state, f"{name}.work2.fn.0", token)
            )
            hidden = np.array([x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in hidden])
            tokens[t] = token + _linear(state, f"{name}.work2.fn.1.mlp.3", hidden)
        layers.append(attention)
        layer += 1
    return _linear(state, "mlp_head.1", _norm(state, "mlp_head.0", tokens[0])), np.stack(layers)


def _attention(state, name, tokens, heads, delta):
    normed = [_norm(state, f"{name}.fn.0", token) for token in tokens]
    q, k, v = (
        [_linear(state, f"{name}.fn.1.{part}", token) for token in normed]
        for part in ("query", "key", "value")
    )
    count, size = len(tokens), len(tokens[0]) // heads
    attention = np.zeros((heads, count, count))
    update = np.zeros((count, heads * size))
    for h in range(heads):
        mine = slice(h * size, (h + 1) * size)
        for i in range(count):
            scores = np.array([q[i][mine] @ k[j][mine] / math.sqrt(size) for j in range(count)])
            weights = np.exp(scores - scores.max())
            attention[h, i] = weights / weights.sum()
            if delta is not None:
                attention[h, i] += delta[h, i]
            for j in range(count):
                update[i, mine] += attention[h, i, j] * v[j][mine]
    if f"{name}.fn.1.projection.weight" in state:
        update = [_linear(state, f"{name}.fn.1.projection", row) for row in update]
    return update, attention


def _linear(state, name, x):
    return state[f"{name}.weight"] @ x + state[f"{name}.bias"]


def _norm(state, name, x):
    scaled = (x - x.mean()) / math.sqrt(((x - x.mean()) ** 2).mean() + 1e-5)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def as_tutorial(model):
    """A model's weights under the tutorial's key names; a convolution as the linear map it is."""
    ours = {name: values.numpy() for name, values in model.state_dict().items()}
    embedding = ours["patch_embedding.projection.weight"]
    if embedding.ndim == 4:  # (D, C, row, column) to (D, row, column, C)
        embedding = embedding.transpose(0, 2, 3, 1).reshape(len(embedding), -1)
    state = {
        "patchembedding.cls_token": ours["patch_embedding.cls_token"],
        "patchembedding.positions": model.patch_embedding.positions.detach().numpy(),
        "patchembedding.projection.1.weight": embedding,
        "patchembedding.projection.1.bias": ours["patch_embedding.projection.bias"],
    }
    for part in ("weight", "bias"):
        state[f"mlp_head.0.{part}"] = ours[f"norm.{part}"]
        state[f"mlp_head.1.{part}"] = ours[f"head.{part}"]
        for i in range(model.config.layers):
            theirs, block = f"transformer.{i}", f"blocks.{i}"
            state[f"{theirs}.work1.fn.0.{part}"] = ours[f"{block}.norm1.{part}"]
            state[f"{theirs}.work2.fn.0.{part}"] = ours[f"{block}.norm2.{part}"]
            state[f"{theirs}.work2.fn.1.mlp.0.{part}"] = ours[f"{block}.mlp.0.{part}"]
            state[f"{theirs}.work2.fn.1.mlp.3.{part}"] = ours[f"{block}.mlp.3.{part}"]
            for name, third in zip(
                ("query", "key", "value"), np.split(ours[f"{block}.attention.qkv.{part}"], 3)
            ):
                state[f"{theirs}.work1.fn.1.{name}.{part}"] = third
            if model.config.output_projection:
                projection = ours[f"{block}.attention.projection.{part}"]
                state[f"{theirs}.work1.fn.1.projection.{part}"] = projection
    return state


def rollout(attention, prefix=1):
    """Attention rollout (L, H, T, T) to (T - prefix,), with every product written out."""
    layers, heads, count, _ = attention.shape
    result = np.eye(count)
    for layer in range(layers):
        mixed = np.zeros((count, count))
        for i in range(count):
            for j in range(count):
                mean = sum(attention[layer, h, i, j] for h in range(heads)) / heads
                mixed[i, j] = 0.5 * mean + 0.5 * (i == j)
        product = np.zeros((count, count))
        for i in range(count):
            for j in range(count):
                product[i, j] = sum(mixed[i, k] * result[k, j] for k in range(count))
        result = product
    return result[0, prefix:]


def relevance(state, image, heads, patch, target, step=1e-5):
    """Gradient relevance (T - 1,) of one image, gradients by central differences."""
    _, (attention,) = forward(state, [image], heads, patch)
    gradient = np.zeros(attention.shape)
    for place in np.ndindex(attention.shape):
        delta = np.zeros(attention.shape)
        delta[place] = step
        above, below = (forward(state, [image], heads, patch, s * delta)[0][0] for s in (1, -1))
        gradient[place] = (above[target] - below[target]) / (2 * step)
    count = attention.shape[-1]
    result = np.eye(count)
    for a, g in zip(attention, gradient):
        carried = np.zeros((count, count))
        for h in range(len(a)):
            for i in range(count):
                for j in range(count):
                    carried[i, j] += max(g[h, i, j] * a[h, i, j], 0) / len(a)
        result = result + carried @ result
    return result[0, 1:]


# --- Helpers ----------------------------------------------------------------------------------


def make_model(seed=0, **settings) -> VisionTransformer:
    """A tiny ViT whose every weight is random, so that no term of the forward pass is zero."""
    tiny = {
        "image_size": 8, "patch_size": 4, "width": 8, "layers": 3, "heads": 2, "mlp_width": 12,
        "classes": 5, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3),
    }  # fmt: skip
    model = VisionTransformer(ViTConfig(**{**tiny, **settings}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) * 0.5)
    return model.eval().requires_grad_(False)


def make_pictures(count, size=8, seed=0, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), np.uint8)


def random_attention(*shape, seed=0):
    """Random rows (…, T, T) that sum to 1, float32."""
    return np.random.default_rng(seed).dirichlet(np.full(shape[-1], 0.3), shape[:-1]).astype("f4")


def png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(file, "PNG")
    return file.getvalue()


def write_parquet(path, pictures, labels, names=None, label_type=None):
    """Encoded pictures (bytes or None) in the Hugging Face column layout."""
    rows = [None if p is None else {"bytes": p, "path": f"{i}.png"} for i, p in enumerate(pictures)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"img": pa.array(rows, kind), "label": pa.array(labels, label_type)})
    if names:
        features = {"label": {"names": list(names), "_type": "ClassLabel"}}
        about = {"info": {"features": features}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, path)
    return path


def write_folder(root, images):
    """An ImageSet as one folder of PNG files a class."""
    for i, (pixels, label) in enumerate(zip(images.images, images.labels)):
        folder = root / images.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:04}.png").write_bytes(png(pixels))
    return root


def is_one_sentence(message) -> bool:
    """Something to show to people: one line, not a stack trace, and it ends."""
    message = str(message)
    return (
        20 < len(message) < 300
        and "\n" not in message
        and message.endswith(".")
        and "Traceback" not in message
        and "Error(" not in message
    )
