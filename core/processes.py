"""One process or many (`torchrun`): what each does, and how they agree.

A single process is a group of one, so there is no second way through the code. Every process holds
the whole set and draws the same random numbers; they share out the work of a batch. All of them
read and the first writes the run folder, which on several machines must be a shared one.
"""

import os
from contextlib import contextmanager

import torch
import torch.distributed as dist


@contextmanager
def process_group():
    """Join the processes that torchrun started, or be alone; yields whether this is the first.

    Tensors on GPUs travel by NCCL where every process of a machine has a GPU of its own; all else
    by gloo.
    """
    if dist.is_initialized():
        yield is_first()
        return
    if "WORLD_SIZE" in os.environ:
        gpus = torch.cuda.device_count()
        if gpus:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % gpus)
        enough = gpus >= int(os.environ["LOCAL_WORLD_SIZE"])
        dist.init_process_group("cpu:gloo,cuda:nccl" if enough else "gloo")
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


@contextmanager
def all_or_none():
    """Wait for every process at the end of the block; what one of them raised there, all raise.

    So none goes on to wait for one that gave up.
    """
    failure = None
    try:
        yield
    except Exception as error:
        failure = error
    failures = [failure] * process_count()
    if len(failures) > 1:  # gloo's threads may outlive a group, and abort Python when it ends
        dist.all_gather_object(failures, failure)
    if failure := failure or next(filter(None, failures), None):  # one's own has its traceback
        raise failure
