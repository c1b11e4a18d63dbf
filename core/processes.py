"""One process or many (`torchrun`): what each does, and how they agree.

A single process is a group of one, so there is no second way through the code. Every process holds
the whole set and draws the same random numbers; they share out the work of a batch.
"""

import os
from contextlib import contextmanager

import torch
import torch.distributed as dist


@contextmanager
def process_group():
    """Join the processes that torchrun started, or be alone; yields whether this is the first.

    NCCL where every process has a GPU of its own, else gloo.
    """
    if dist.is_initialized():
        yield is_first()
        return
    if "WORLD_SIZE" in os.environ:
        local = int(os.environ.get("LOCAL_RANK", 0))
        if torch.cuda.is_available() and torch.cuda.device_count() > local:
            torch.cuda.set_device(local)
            dist.init_process_group("nccl")
        else:
            dist.init_process_group("gloo")
    else:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield is_first()
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return dist.get_rank() == 0


def share(count: int) -> slice:
    """This process's part of `count` things; the parts cover them once, as evenly as can be."""
    rank, world = dist.get_rank(), dist.get_world_size()
    return slice(count * rank // world, count * (rank + 1) // world)


def sum_over_all(values: torch.Tensor) -> torch.Tensor:
    """The sum of every process's `values`, in place."""
    if dist.get_world_size() > 1:
        dist.all_reduce(values)
    return values


def process_count() -> int:
    return dist.get_world_size()
