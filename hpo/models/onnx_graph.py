"""A growing ONNX graph: nodes, constants, and modules by torch's exporter.

All operators belong to operator sets that ONNX Runtime supports since 1.17.
"""

import logging
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import compose, helper, inliner, numpy_helper
from torch import nn

from hpo.config.errors import ExportError, first_line
from hpo.config.version import __version__

IR_VERSION, OPSET, ML_OPSET = 8, 17, 3
EXPORTER_OPSET = 18
"""The operator set of a graph with nodes of torch's exporter, which writes no older one."""
ML = "ai.onnx.ml"
MAX_BYTES = 2**31 - 2**20  # size limit of a protocol buffer, less room for the rest of the graph


class Graph:
    """Nodes and constants, with names that no column has.

    Attributes:
        n_features: number of columns of the outputs that modules may take.
    """

    def __init__(self, columns: Collection[str]) -> None:
        """Start without nodes."""
        self._prefix = "."
        while any(column.startswith(self._prefix) for column in columns):
            self._prefix += "."
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._opset = OPSET
        self.n_features: dict[str, int] = {}

    def add(
        self, operator: str, *inputs: str, domain: str = "", name: str = "", **attributes: Any
    ) -> str:
        """Append a node; returns the name of its output."""
        name = name or f"{self._prefix}{operator}_{len(self._nodes)}"
        node = helper.make_node(operator, inputs, [name], name, domain=domain, **attributes)
        self._nodes.append(node)
        return name

    def constant(self, values: Any, kind: str = "f4") -> str:
        """Append a constant; returns its name."""
        array = np.ascontiguousarray(np.asarray(values, dtype=kind))
        name = f"{self._prefix}constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def add_module(self, module: nn.Module, x: str) -> str:
        """Append the nodes that torch's exporter makes of a module; returns the output's name.

        Raises:
            ExportError: torch cannot export the module.
        """
        made = _exported(module, self.n_features[x])
        prefix = f"{self._prefix}module_{len(self._nodes)}_"
        joined = compose.add_prefix(made, prefix).graph
        self._opset = EXPORTER_OPSET
        self._nodes.append(helper.make_node("Identity", [x], [joined.input[0].name]))
        self._nodes.extend(joined.node)
        self._constants.extend(joined.initializer)
        return str(joined.output[0].name)

    def to_bytes(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        about: dict[str, str],
    ) -> bytes:
        """The file's content.

        Args:
            inputs: of the graph.
            outputs: of the graph, the names of nodes.
            about: texts that the file also holds.

        Raises:
            ExportError: it is too large for an ONNX file.
        """
        if sum(len(constant.raw_data) for constant in self._constants) > MAX_BYTES:
            raise ExportError("model.onnx: the weights exceed 2 GiB, the limit of an ONNX file")
        graph = helper.make_graph(self._nodes, "hpo", inputs, outputs, self._constants)
        made = helper.make_model(
            graph,
            producer_name="hpo",
            producer_version=__version__,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", self._opset), helper.make_opsetid(ML, ML_OPSET)],
        )
        helper.set_model_props(made, about)
        return bytes(made.SerializeToString(deterministic=True))


def _exported(module: nn.Module, n_inputs: int) -> onnx.ModelProto:
    """A module by torch's exporter, for any number of rows, without functions and notes."""
    rows = torch.export.Dim("rows", min=1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of absent torchvision
    try:
        with warnings.catch_warnings(action="ignore"):  # about the exporter itself
            program = torch.onnx.export(
                module.eval(),
                (torch.zeros(4, n_inputs),),
                dynamo=True,
                dynamic_shapes=({0: rows},),
                opset_version=EXPORTER_OPSET,
                verbose=False,
            )
    except Exception as error:  # the exporter passes on what a module's code raises
        name = type(module).__name__
        raise ExportError(
            f"model.onnx: torch cannot export {name} ({type(error).__name__}: "
            f"{first_line(error)}); give its model family a to_onnx of its own"
        ) from error
    assert program is not None
    made: onnx.ModelProto = inliner.inline_local_functions(program.model_proto)
    for node in made.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    return made
