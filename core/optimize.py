"""One step of learning: forward, backward, the processes' agreement, update."""

import torch
import torch.nn.functional as F

from core.model import VisionTransformer
from core.processes import process_count, share, sum_over_all
from core.recipes import Recipe


class TrainStep:
    """Learns from one batch; called once a step by every process with the same whole batch.

    It lives within a `process_group`.

    Attributes:
        model: what learns.
        optimizers: one, or for Muon two; each owns a part of the parameters.
    """

    def __init__(self, model: VisionTransformer, recipe: Recipe, precision: str, compiled: bool):
        self.model = model
        self.recipe = recipe
        self.optimizers = make_optimizers(model, recipe)
        self.dtype = getattr(torch, precision)
        self.forward = torch.compile(model, dynamic=False) if compiled else model
        self.whole_share = share(recipe.batch_size)
        # Every gradient is a view into one buffer, so that one call sums, clips or clears them all.
        # Three numbers ride along: the loss, the hits, and whether a process was asked to stop.
        learning = [weights for weights in model.parameters() if weights.requires_grad]
        sizes = [weights.numel() for weights in learning]
        self.sums = torch.zeros(sum(sizes) + 3, device=model.device)
        *gradients, self.notes = self.sums.split([*sizes, 3])
        for weights, gradient in zip(learning, gradients):
            weights.grad = gradient.view_as(weights)
        self.gradient = self.sums[:-3]

    def __call__(
        self, images, labels, lr: float, patches: int | None = None, stop: bool = False
    ) -> torch.Tensor:
        """Learn from pictures (B, S, S, C) uint8 with labels (B,).

        Args:
            lr: the learning rate.
            patches: how many of an image's patches to look at, drawn for each image; all by default
                (PatchDropout: Liu et al., WACV 2023).
            stop: this process was asked to stop; the others are told.

        Returns:
            (3,) float32: the loss summed over the batch, the number of images whose most probable
            class is their label, and how many processes were asked to stop.
        """
        config, recipe = self.model.config, self.recipe
        targets = F.one_hot(labels, config.classes).float()  # (B, classes)
        inputs, targets = recipe.augmentation(self.model.prepare(images), targets)
        mine, drawn = share(len(labels)), None
        gh, gw = config.grid
        if patches not in (None, gh * gw):
            chance = torch.rand(len(labels), gh * gw, device=inputs.device)
            drawn = chance.argsort(dim=1)[mine, :patches]  # (B, patches)
        inputs, targets, labels = inputs[mine], targets[mine], labels[mine]
        if process_count() > 1:  # dropout differs between the images of different processes
            torch.manual_seed(torch.initial_seed() + 1 + mine.start)
        # the last batch of an epoch is smaller: running it plainly saves compiling a second graph
        forward = self.forward if mine == self.whole_share else self.model
        enabled = self.dtype != torch.float32
        with torch.autocast(inputs.device.type, dtype=self.dtype, enabled=enabled):
            logits = forward(inputs, patches=drawn).float()  # (B, classes)
        loss = F.cross_entropy(
            logits, targets, label_smoothing=recipe.label_smoothing, reduction="sum"
        )
        self.sums.zero_()
        (loss / len(images)).backward()
        hits = (logits.argmax(dim=-1) == labels).sum()
        self.notes.copy_(torch.stack([loss.detach(), hits, torch.full_like(hits, stop)]))
        sum_over_all(self.sums)
        if recipe.clip_norm:
            self.gradient.mul_((recipe.clip_norm / (self.gradient.norm() + 1e-6)).clamp(max=1.0))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
        return self.notes.clone()

    def state_dict(self) -> dict:
        return {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        for optimizer, of_optimizer in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(of_optimizer)


def make_optimizers(model: VisionTransformer, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """The recipe's optimizer; weight decay goes to matrices, never to norms, biases, positions.

    Muon (Jordan et al. 2024) makes a matrix's update orthogonal, which is for hidden layers;
    patch embedding, head and all that is no matrix learn with AdamW beside it. Its updates are
    scaled to AdamW's size (Liu et al., arXiv 2502.16982), so one learning rate serves both.
    """
    muon, matrices, others = [], [], []
    for name, weights in model.named_parameters():
        if not weights.requires_grad:
            continue
        matrix = name.endswith("weight") and weights.ndim > 1
        if matrix and recipe.optimizer == "muon" and name.startswith("blocks."):
            muon.append(weights)
        else:
            (matrices if matrix else others).append(weights)
    decay = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    groups = [{"params": matrices, **decay}, {"params": others, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        return [torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)]
    adamw = torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
    if not muon:  # "adamw", or every block is frozen
        return [adamw]
    options = {"momentum": recipe.momentum, "adjust_lr_fn": "match_rms_adamw"}
    return [torch.optim.Muon(muon, **decay, **options), adamw]
