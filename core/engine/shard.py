"""Weights that lie in pieces on the devices of a run (FSDP2), where one has no room for all that training adds to them.

A layer's pieces are put together for the pass that needs it and dropped after it, gradients and the optimizer's state
stay in pieces. What is kept on disk is whole. Putting together takes all processes, so all must do it at once.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

_TINY = 1e-6  # as torch's own clipping has it


def split(model: PreTrainedModel, device: torch.device, *, processes: int) -> None:
    """Leave each process its piece of every weight, layer by layer."""
    mesh = init_device_mesh(device.type, (processes,))
    whole = set(model._no_split_modules or ())
    for module in list(model.modules()):
        if type(module).__name__ in whole:
            fully_shard(module, mesh=mesh)
    # By default what lies outside the layers stays whole after a pass without gradients, and passes for no piece.
    fully_shard(model, mesh=mesh, reshard_after_forward=True)


def is_piece(tensor: Tensor | None) -> bool:
    return isinstance(tensor, DTensor)


def local(tensor: Tensor) -> Tensor:
    """This process's piece, or the tensor itself if it is whole."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def put_together(tensor: Tensor, *, like: Tensor | None = None) -> Tensor:
    """The whole of a tensor in pieces, or of a piece that was taken from one `like` it."""
    if isinstance(like, DTensor) and not isinstance(tensor, DTensor):
        piece = tensor.to(like.device)
        tensor = DTensor.from_local(
            piece, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
        )
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def cut(tensor: Tensor, *, like: Tensor) -> Tensor:
    """A whole tensor in pieces as `like` is; unchanged where that is whole or of another shape."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    # Every process has the whole: no source, nothing is sent.
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> float:
    """Scale gradients to a norm of at most `limit` over all weights, whole and in pieces; the norm before."""
    trained = list(parameters)
    if not any(is_piece(parameter) for parameter in trained):
        return float(nn.utils.clip_grad_norm_(trained, limit))
    gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
    norms = [put_together(nn.utils.get_total_norm(some)) for some in by_kind(gradients)]
    norm = float(torch.stack(norms).norm())
    for gradient in gradients:
        gradient.mul_(min(1.0, limit / (norm + _TINY)))
    return norm


def by_kind(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Those in pieces and those that are whole, which no operation takes together; an empty kind is left out."""
    kinds = [[one for one in tensors if is_piece(one) == wanted] for wanted in (False, True)]
    return [kind for kind in kinds if kind]
