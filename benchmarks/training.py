"""How fast training is, against the tutorial's own way:  python benchmarks/training.py PATH

PATH holds CIFAR-10 as train.parquet and test.parquet. Both ways learn from the same images and
validate on the same, an epoch each in turn; images/s are training images a second of the whole
epoch, validation included. `--quick` takes a part of an epoch (under 3 minutes on 2 cores), and
`--profile` says instead what the time of our step is made of.
"""

import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from einops import rearrange
from einops.layers.torch import Rearrange
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from core import evaluate
from core.data import ImageSet, open_images
from core.errors import VitascopeError
from core.hardware import best_device, describe_hardware
from core.model import VisionTransformer, ViTConfig
from core.processes import process_group
from core.recipes import RECIPES, Recipe
from core.train import Trainer

QUICK = (7_680, 1_536)  # training and test images: whole batches, in CIFAR-10's proportion of 5 : 1
WARM_UP = (512, 256)
PROFILED = 10  # steps

# --- The tutorial's way -----------------------------------------------------------------------


class TutorialViT(nn.Module):
    """The tutorial's model written plainly, under the names of its weights' files."""

    def __init__(self, image=32, patch=8, width=128, layers=12, heads=4, mlp=512, classes=10):
        super().__init__()
        self.patchembedding = PatchEmbedding(image, patch, width)
        blocks = []
        for _ in range(layers):
            attention = nn.Sequential(nn.LayerNorm(width), SelfAttention(width, heads))
            perceptron = nn.Sequential(nn.LayerNorm(width), MLP(width, mlp))
            blocks.append(Block(Residual(attention), Residual(perceptron)))
        self.transformer = nn.Sequential(*blocks)
        self.mlp_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, images):
        x = self.transformer(self.patchembedding(images))  # (B, T, D)
        return self.mlp_head(x[:, 0])


class PatchEmbedding(nn.Module):
    def __init__(self, image, patch, width):
        super().__init__()
        self.projection = nn.Sequential(
            Rearrange("b c (h ph) (w pw) -> b (h w) (ph pw c)", ph=patch, pw=patch),
            nn.Linear(3 * patch**2, width),
        )
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(torch.randn((image // patch) ** 2 + 1, width))

    def forward(self, images):
        x = self.projection(images)  # (B, patches, D)
        return torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.positions


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x):
        parts = self.query(x), self.key(x), self.value(x)
        q, k, v = (rearrange(part, "b t (h d) -> b h t d", h=self.heads) for part in parts)
        attention = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)  # (B, H, T, T)
        return rearrange(attention @ v, "b h t d -> b t (h d)")


class MLP(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(0.0), nn.Linear(hidden, width)
        )

    def forward(self, x):
        return self.mlp(x)


class Residual(nn.Module):
    def __init__(self, fn):
        super().__init__()
        self.fn = fn

    def forward(self, x):
        return x + self.fn(x)


class Block(nn.Module):
    def __init__(self, work1, work2):
        super().__init__()
        self.work1, self.work2 = work1, work2

    def forward(self, x):
        return self.work2(self.work1(x))


class Pictures(Dataset):
    """PIL images, each transformed when it is asked for."""

    def __init__(self, images: ImageSet, transform):
        self.pictures = [Image.fromarray(image) for image in images.images]
        self.labels, self.transform = images.labels.tolist(), transform

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        return self.transform(self.pictures[index]), self.labels[index]


class Tutorial:
    """fp32, eager, SGD, images through a DataLoader with two workers; crop and mirror as asked."""

    def __init__(self, recipe: Recipe, train_set: ImageSet, test_set: ImageSet, device):
        plain = [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
        varied, size = [], recipe.model.image_size
        if crop := recipe.augmentation.crop:
            varied.append(transforms.RandomCrop(size, padding=crop))
        if recipe.augmentation.mirror:
            varied.append(transforms.RandomHorizontalFlip())
        self.train_set = Pictures(train_set, transforms.Compose([*varied, *plain]))
        self.test_set = Pictures(test_set, transforms.Compose(plain))
        self.model = tutorial_model(recipe.model).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.001, momentum=0.9)
        self.device = device

    def epoch(self, train_count: int, test_count: int) -> None:
        self.model.train()
        loss_sum = 0.0
        for images, labels in self.batches(self.train_set, train_count, shuffle=True):
            loss = F.cross_entropy(self.model(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            loss_sum += loss.item() * len(labels)
        self.model.eval()
        loss_sum, hits = 0.0, 0
        with torch.no_grad():
            for images, labels in self.batches(self.test_set, test_count, shuffle=False):
                logits = self.model(images)
                loss_sum += F.cross_entropy(logits, labels).item() * len(labels)
                hits += (logits.argmax(dim=1) == labels).sum().item()

    def batches(self, pictures, count, shuffle):
        part = Subset(pictures, range(count))
        for images, labels in DataLoader(part, batch_size=256, shuffle=shuffle, num_workers=2):
            yield images.to(self.device), labels.to(self.device)


def tutorial_model(config: ViTConfig) -> TutorialViT:
    return TutorialViT(
        config.image_size,
        config.patch_size,
        config.width,
        config.layers,
        config.heads,
        config.mlp_width,
        config.classes,
    )


# --- Our way ----------------------------------------------------------------------------------


class Ours:
    """What `core.train.train` runs, without its run folder."""

    def __init__(self, recipe: Recipe, train_set: ImageSet, test_set: ImageSet, device):
        model = VisionTransformer(recipe.model).to(device)
        # learn from all images and all their patches, validate on the test images
        recipe = replace(recipe, validation=0, patch_dropout=0.0)
        self.trainer = Trainer(recipe, model, train_set, test_set, Path(), seed=0)
        # A part of an epoch is cut out of these, after the trainer chose what suits the whole set
        trainer = self.trainer
        self.train_set = trainer.images, trainer.labels
        self.test_set = trainer.val_images, trainer.val_labels

    def epoch(self, train_count: int, test_count: int) -> None:
        trainer = self.trainer
        trainer.images, trainer.labels = (part[:train_count] for part in self.train_set)
        trainer.val_images, trainer.val_labels = (part[:test_count] for part in self.test_set)
        trainer.learn_epoch(tqdm(disable=True), lambda: False)
        probabilities = trainer.validate()
        evaluate.cross_entropy(trainer.val_labels, probabilities)
        evaluate.accuracy(trainer.val_labels, probabilities)
        trainer.epochs_done, trainer.steps_done = trainer.epochs_done + 1, 0


# --- One against the other --------------------------------------------------------------------


def race(recipe: Recipe, train_set: ImageSet, test_set: ImageSet, device, rounds: int, quick: bool):
    train_count, test_count = QUICK if quick else (len(train_set), len(test_set))
    train_count, test_count = min(train_count, len(train_set)), min(test_count, len(test_set))
    print(f"an epoch here: {train_count:,} training images, {test_count:,} test images")
    ways = []
    for way in (Tutorial, Ours):
        started = time.perf_counter()
        ways.append(way(recipe, train_set, test_set, device))
        ways[-1].epoch(min(WARM_UP[0], train_count), min(WARM_UP[1], test_count))
        seconds = time.perf_counter() - started
        print(f"warm-up of {way.__name__.lower():8}  {seconds:6.1f} s, not counted", flush=True)
    for way, model in zip(ways, (ways[0].model, ways[1].trainer.model)):
        count = sum(weights.numel() for weights in model.parameters())
        print(f"parameters of {type(way).__name__.lower():8}  {count:,}")
    trainer = ways[1].trainer
    print(f"ours: {trainer.precision}, {'compiled' if trainer.compiled else 'not compiled'}")
    rates = []  # (tutorial's, ours) a round
    for i in range(rounds):
        pair = []
        for way in ways:
            started = time.perf_counter()
            way.epoch(train_count, test_count)
            pair.append(train_count / (time.perf_counter() - started))
        rates.append(pair)
        print(f"round {i + 1}    {in_words(*pair)}   ratio {pair[1] / pair[0]:.2f}", flush=True)
    print(f"median     {in_words(*(statistics.median(of_way) for of_way in zip(*rates)))}")
    ratios = [ours / tutorial for tutorial, ours in rates]
    print(f"spread of the ratio: {min(ratios):.2f} to {max(ratios):.2f}")
    print(f"ratio: {statistics.median(ratios):.2f}")


def in_words(tutorial: float, ours: float) -> str:
    return f"tutorial {tutorial:7,.0f} images/s   ours {ours:7,.0f} images/s"


# --- What our step is made of -----------------------------------------------------------------

GROUPS = (
    "matrix products",
    "compiled element-wise kernels",
    "optimiser",
    "data and augmentation",
    "other",
)


def profile(recipe: Recipe, train_set: ImageSet, test_set: ImageSet, device) -> None:
    """Print the parts of a step's time, and how near it is to what matrix products alone take."""
    if device.type != "cpu":
        raise SystemExit("--profile reads the CPU's clock: hide the GPU, CUDA_VISIBLE_DEVICES=")
    import torch._inductor.config as inductor

    inductor.cpp.enable_kernel_profile = True  # else the fused kernels stay nameless
    augmentation = named("data", recipe.augmentation)
    trainer = Ours(replace(recipe, augmentation=augmentation), train_set, test_set, device).trainer
    trainer.model.prepare = named("data", trainer.model.prepare)
    gather = named("data", lambda i: (trainer.images[i], trainer.labels[i]))
    batches = torch.randperm(len(trainer.images)).split(recipe.batch_size)[:PROFILED]

    def steps():
        for batch in batches:
            trainer.step(*gather(batch), recipe.lr)

    trainer.model.train()
    print(f"{trainer.precision}, {'compiled' if trainer.compiled else 'not compiled'}", flush=True)
    steps()  # compiles
    plain = seconds(steps) / len(batches)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as record:
        profiled = seconds(steps) / len(batches)
    spent, others = dict.fromkeys(GROUPS, 0.0), {}
    for event in record.events():
        group, own = group_of(event), event.self_cpu_time_total / len(batches) / 1e3  # ms a step
        spent[group] += own
        if group == "other":
            others[event.name] = others.get(event.name, 0.0) + own
    products = step_flops(recipe.model) * recipe.batch_size / spent["matrix products"] * 1e3
    spent["other"] += max(profiled * 1e3 - sum(spent.values()), 0.0)  # Python between the events
    print(f"a step of {recipe.batch_size} images takes {plain * 1e3:.1f} ms; while profiled:")
    print(f"  {'in all':30} {profiled * 1e3:7.1f} ms")
    for name, ms in spent.items():
        print(f"  {name:30} {ms:7.1f} ms  {ms / profiled / 1e3:6.1%}")
    largest = sorted(others, key=others.get, reverse=True)[:4]
    print("  of the other:", ", ".join(f"{name} {others[name]:.1f} ms" for name in largest))
    limit = matrix_flops(5, trainer.precision)
    allowed, reached = limit / step_flops(recipe.model), recipe.batch_size / plain
    print(
        f"a large square product: {limit / 1e9:,.0f} GFLOP/s in {trainer.precision}; "
        f"the step's own: {products / limit:.0%} of that"
    )
    print(f"matrix products of an image's step: {step_flops(recipe.model) / 1e6:,.0f} MFLOP")
    print(
        f"limit {allowed:,.0f} images/s; a step does {reached:,.0f}, {reached / allowed:.0%} of it"
    )


def named(label: str, function):
    """The function, recorded under a name whose time is told apart from its caller's."""

    def recorded(*args):
        with torch.profiler.record_function(label):
            return function(*args)

    return recorded


def group_of(event) -> str:
    """The group of an event; the optimiser's and the data's own products and kernels are theirs."""
    above = event
    while above is not None:
        if above.name.startswith("Optimizer.step"):
            return "optimiser"
        if above.name == "data":
            return "data and augmentation"
        above = above.cpu_parent
    if event.name in ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"):
        return "matrix products"
    if event.name.startswith("mkldnn::") or "linear_pointwise" in event.name:
        return "matrix products"
    return "compiled element-wise kernels" if "cpp_fused" in event.name else "other"


def matrix_flops(times: int, precision: str, side: int = 4096) -> float:
    """Floating-point operations a second of a large square matrix product, the best of a few."""
    a, b = (torch.randn(side, side).to(getattr(torch, precision)) for _ in range(2))
    a @ b
    return 2 * side**3 / min(seconds(lambda: a @ b) for _ in range(times))


def step_flops(config: ViTConfig) -> float:
    """Operations that an image's forward and backward take in matrix products; ViTConfig's sizes.

    The backward pass multiplies twice for every product of the forward pass.
    """
    tokens, width = config.tokens, config.width
    projections = 3 * width + (width if config.output_projection else 0) + 2 * config.mlp_width
    block = 2 * tokens * width * projections + 2 * 2 * tokens**2 * width  # scores, weighted values
    patches = 2 * (tokens - config.prefix) * config.patch_size**2 * config.channels * width
    return 3 * (config.layers * block + patches + 2 * width * config.classes)


def seconds(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main(
    path: Annotated[Path, typer.Argument(help="Where train.parquet and test.parquet lie.")],
    recipe: Annotated[str, typer.Option(help="One of: " + ", ".join(RECIPES))] = "tutorial",
    quick: Annotated[bool, typer.Option("--quick", help="Only a part of an epoch.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Epochs of each.")] = 3,
    profiled: Annotated[
        bool, typer.Option("--profile", help="What our step's time is made of, instead.")
    ] = False,
) -> None:
    """Time an epoch of training, the tutorial's way and ours in turn."""
    if recipe not in RECIPES:
        raise SystemExit(f"There is no recipe {recipe}; there are: {', '.join(RECIPES)}.")
    plan = RECIPES[recipe]
    try:
        sets = [open_images(f"{path}:{part}", plan.model.image_size) for part in ("train", "test")]
    except VitascopeError as error:
        raise SystemExit(str(error)) from error
    device = torch.device(best_device())
    print(f"recipe {recipe} on {describe_hardware(device)}, {sets[0].name} and {sets[1].name}")
    with process_group():
        if profiled:
            profile(plan, *sets, device)
        else:
            race(plan, *sets, device, rounds, quick)


if __name__ == "__main__":
    typer.run(main)
