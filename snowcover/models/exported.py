"""A network as a graph of torch's own operators: needs none of the code that it was built from."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.graph import CodeGen

OTHERS = ((1, 64, 64), (3, 96, 160))  # tiles, height, width, that an exported network is tried with


class CannotExport(Exception):
    """The network cannot be exported as a graph that does the same on tiles of any number and size."""


def exported(mapper: nn.Module, example: Tensor) -> GraphModule:
    """The mapper in its present mode, for good: eval() and train() of the graph change nothing.

    torch's own exported module raises on eval(), which everybody calls on a network that was loaded.

    Args:
        example: raw tiles [2, C, h, w].

    Raises:
        CannotExport
        Exception: what torch has to say of an operator that it cannot export.
    """
    free = torch.export.Dim.AUTO
    with torch.no_grad():
        program = torch.export.export(mapper, (example,), dynamic_shapes=[{0: free, 2: free, 3: free}])
        graph = _plain(program)
        _refuse_another_answer(mapper, graph, example)
    return graph


def _refuse_another_answer(mapper: nn.Module, graph: nn.Module, example: Tensor) -> None:
    """A network that looks at the size of its tiles was exported with what it does at the example's alone."""
    for tiles, height, width in OTHERS:
        other = torch.randint(1, 8000, (tiles, example.shape[1], height, width)).to(example.dtype)
        try:
            wanted = mapper(other)
        except Exception:  # it does not take them itself
            continue
        found = graph(other)
        if found.shape != wanted.shape or not torch.allclose(wanted, found, atol=1e-4, equal_nan=True):
            raise CannotExport(f"its graph does otherwise on {tiles} tiles of {width} x {height} pixels")


def _plain(program: Any) -> GraphModule:
    """Without the guards, tracer and calling convention of the export, which cannot be kept in a file."""
    module = program.module(check_guards=False)
    graph = module.graph
    graph.set_codegen(CodeGen())
    graph._tracer_cls = None
    output = next(reversed(graph.nodes))
    output.args = (output.args[0][0],)  # of a list of one
    return GraphModule(module, graph)
