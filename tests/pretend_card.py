"""A pretend card: its tensors lie on the CPU, say that they lie elsewhere, and are counted.

    with Card() as card:
        explore(runs, starts, card.aside(model), bias, params)
    card.waits, card.copies, card.kernels       # Counter: "file:line" of the package → number

Like a GPU's they refuse numpy, and operations together with tensors of the CPU. Every operation is
a kernel, or a copy between host and card, and may make the host wait for the card. As in torch
2.13, the host waits for

- a number, or an array, that is read back;
- a copy to the card, unless it is `non_blocking`;
- a size that depends on data: `nonzero`, a mask as an index, `bincount`, `unique`;
- the check that an eigenvalue problem, or another decomposition, went well.

An operation counts as one kernel, though a decomposition launches several.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

aten = torch.ops.aten
NAME = "card"
READ_BACK = {aten._local_scalar_dense, aten.equal, aten.is_nonzero}
SIZE_BY_DATA = {
    aten.nonzero, aten.masked_select, aten.bincount, aten._unique2, aten.unique_dim,
    aten.unique_consecutive, aten.repeat_interleave,
}  # fmt: skip
CHECKED = {aten._linalg_eigh, aten._linalg_svd, aten._linalg_check_errors}
COPIES = {aten._to_copy, aten.copy_}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
NO_KERNEL = {
    aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided,
    aten.lift_fresh, aten._linalg_check_errors, aten._local_scalar_dense, aten.detach,
}  # fmt: skip
ONE_FORM = {aten.put, aten.put_, aten.histc, aten.nll_loss_forward, aten.nll_loss2d_forward}
"""Operations whose result depends on the order of threads on a GPU, and that have no other form:
the list of `torch.use_deterministic_algorithms`, less pooling, padding and interpolation.
"""


class CardTensor(torch.Tensor):
    """A tensor of the card; `held` has its values."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> CardTensor:
        """Wrap a tensor of the CPU."""
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        tensor.held = held
        return tensor

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Refuse what happens outside of the counting."""
        raise RuntimeError(f"{func} on the card outside of `with Card()`")

    def tolist(self) -> Any:
        """Read the values back."""
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Refuse, as a GPU's tensor does."""
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy; use .cpu() first")

    def __repr__(self) -> str:
        return f"CardTensor({tuple(self.shape)})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec)


class Aside:
    """A model whose operations are booked apart."""

    def __init__(self, card: Card, model: Any) -> None:
        self.card = card
        self.model = model
        self.device = NAME

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model."""
        with self.card.apart():
            return self.model(*args, **kwargs)


class Card(TorchDispatchMode):
    """The card, while it is entered.

    Attributes
    ----------
    waits, copies, kernels
        How often the host waited, copies between host and card, and kernels: by "file:line" of the
        package, or of the test where nothing of the package is on the stack.
    unrepeatable
        The same of operations without a deterministic form.
    """

    def __init__(self) -> None:
        super().__init__()
        register()
        self.clear()
        self.is_counting = True

    def __enter__(self) -> Card:
        """Begin to pretend."""
        self._lifts_only_cpu = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """End it."""
        torch._C._set_only_lift_cpu_tensors(self._lifts_only_cpu)
        super().__exit__(*error)

    def clear(self) -> None:
        """Forget what was counted."""
        self.waits: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        self.kernels: Counter[str] = Counter()
        self.unrepeatable: Counter[str] = Counter()

    def aside(self, model: Any) -> Aside:
        """Return a model that is not counted."""
        return Aside(self, model)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Count nothing of what happens in this block."""
        before, self.is_counting = self.is_counting, False
        try:
            yield
        finally:
            self.is_counting = before

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do an operation with the tensors that are held, and count it."""
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        on_card = [tensor for tensor in tensors if isinstance(tensor, CardTensor)]
        target = kwargs.get("device")
        to_card = target is not None and torch.device(target).type == NAME
        if not on_card and not to_card:
            return func(*args, **kwargs)
        packet = func.overloadpacket
        _refuse_mixing(packet, func, args, tensors, on_card)
        leaves_card = bool(on_card) and target is not None and not to_card
        if self.is_counting:
            self._book(packet, func, args, kwargs, leaves_card, bool(on_card))
        held = tree_map_only(CardTensor, lambda tensor: tensor.held, (args, kwargs))
        if to_card:
            held[1]["device"] = torch.device("cpu")
        result = func(*held[0], **held[1])
        if leaves_card:
            # a copy onto the same device is the tensor itself, which the card would not give away
            return result.clone() if result is held[0][0] else result
        return _as_of_card(func, args, kwargs, result)

    def _book(
        self,
        packet: Any,
        func: Any,
        args: tuple[Any, ...],
        kwargs: Any,
        leaves_card: bool,
        from_card: bool,
    ) -> None:
        line = _line()
        if packet in COPIES:
            source_on_card = isinstance(args[-1 if packet is aten._to_copy else 1], CardTensor)
            target_on_card = (
                isinstance(args[0], CardTensor) if packet is aten.copy_ else not leaves_card
            )
            if source_on_card != target_on_card:
                self.copies[line] += 1
                non_blocking = kwargs.get("non_blocking", len(args) > 2 and args[2])
                if not (target_on_card and non_blocking):
                    self.waits[line] += 1
                return
        masks = (
            isinstance(leaf, torch.Tensor) and leaf.dtype in (torch.bool, torch.uint8)
            for leaf in tree_leaves(args[1] if packet in INDEXED else ())
        )
        if packet in READ_BACK | SIZE_BY_DATA | CHECKED or any(masks):
            self.waits[line] += 1
        if packet not in NO_KERNEL and not func.is_view:
            self.kernels[line] += 1
        if _has_one_form(func, args, kwargs):
            self.unrepeatable[line] += 1


def _refuse_mixing(
    packet: Any, func: Any, args: tuple[Any, ...], tensors: list[Any], on_card: list[Any]
) -> None:
    """Refuse tensors of the CPU beside those of the card, where a GPU would."""
    if packet in COPIES or not on_card:
        return
    # an index may lie on the CPU; it is copied, which is a mistake here
    strays = [t for t in tensors if not isinstance(t, CardTensor) and t.dim() > 0]
    if strays:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in strays)
        raise RuntimeError(f"{func}: expected all tensors on the card; on the CPU: {shapes}")


def _has_one_form(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether an operation has no deterministic form on a GPU."""
    packet = func.overloadpacket
    if packet in (aten.cumsum, aten.cumsum_):
        return bool(args[0].dtype.is_floating_point)
    if packet is aten.bincount:
        return len(args) > 1 and args[1] is not None
    if packet in (aten.scatter_reduce, aten.scatter_reduce_):
        return "prod" in (*args, kwargs.get("reduce"))
    return packet in ONE_FORM or func in (aten.median.dim, aten.nanmedian.dim)


def _as_of_card(func: Any, args: tuple[Any, ...], kwargs: Any, result: Any) -> Any:
    """Wrap results; one that was changed in place is what it was."""
    schema = func._schema
    if schema.returns and schema.returns[0].alias_info and schema.returns[0].alias_info.is_write:
        outs = [
            kwargs[argument.name] if argument.kwarg_only else args[position]
            for position, argument in enumerate(schema.arguments)
            if argument.alias_info and argument.alias_info.is_write
        ]
        return outs[0] if len(schema.returns) == 1 else tuple(outs)
    return tree_map_only(torch.Tensor, CardTensor, result)


def _line() -> str:
    """Return file and line of the package, or else of the tests, that asked for an operation."""
    frame = sys._getframe(2)
    fallback = "elsewhere"
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if "entropy_flows" in path.parts and "site-packages" not in path.parts:
            return f"{path.name}:{frame.f_lineno}"
        if path.name.endswith("_on_card.py") and fallback == "elsewhere":
            fallback = f"{path.name}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return fallback


def register() -> None:
    """Make torch know the card's name, once a process."""
    if torch._C._get_privateuse1_backend_name() != NAME:
        _setup_privateuseone_for_python_backend(NAME)


register()
