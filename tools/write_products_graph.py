"""Write the graph by which a library multiplies its codes: one integer product of matrices.

    python tools/write_products_graph.py

`tests/library/test_codes.py` fails while src/wav2clip/library/products.onnx is another.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from wav2clip.library.codes import CODES, GRAPH, PRODUCTS, QUERIES


def graph() -> onnx.ModelProto:
    """From codes (n, dimension) uint8 and queries (dimension, k) int8 to int32 (n, k)."""
    node = helper.make_node("MatMulInteger", [CODES, QUERIES], [PRODUCTS])
    inputs = [
        helper.make_tensor_value_info(CODES, TensorProto.UINT8, ["n", "dimension"]),
        helper.make_tensor_value_info(QUERIES, TensorProto.INT8, ["dimension", "k"]),
    ]
    output = helper.make_tensor_value_info(PRODUCTS, TensorProto.INT32, ["n", "k"])
    made = helper.make_graph([node], "products", inputs, [output])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    onnx.save(graph(), GRAPH)
    print(f"wrote {GRAPH.name}, {GRAPH.stat().st_size} bytes")
