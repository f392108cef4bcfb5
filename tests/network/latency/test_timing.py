"""ONNX models are timed by turns, and what cannot be timed is refused in a line."""

import sys
from pathlib import Path

import pytest

from pcdarts.errors import InputError
from pcdarts.network.latency.timing import onnx_milliseconds, times_by_turns

onnx = pytest.importorskip("onnx")


def model_of(operation: str, shape: list[int | str], kind: int = onnx.TensorProto.FLOAT) -> bytes:
    images, out = (onnx.helper.make_tensor_value_info(name, kind, shape) for name in ("images", "out"))
    graph = onnx.helper.make_graph([onnx.helper.make_node(operation, ["images"], ["out"])], "g", [images], [out])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = made.SerializeToString()
    return content


def test_every_model_has_a_time(tmp_path: Path) -> None:
    (tmp_path / "small.onnx").write_bytes(model_of("Relu", ["batch", 3, 4, 4]))
    larger = model_of("Erf", [1, 8, 8, 8])
    times = times_by_turns([larger, tmp_path / "small.onnx", str(tmp_path / "small.onnx")], seconds=0)
    assert len(times) == 3
    assert all(0 < shortest <= middle for shortest, middle in times)


def test_a_shape_that_a_model_leaves_free_is_given() -> None:
    model = model_of("Relu", ["batch", "channels", "height", "width"])
    assert onnx_milliseconds([model], seconds=0, image_shape=(3, 4, 4))[0] > 0
    with pytest.raises(InputError, match=r"takes tensor\(float\) .* as images, but .* of one shape"):
        onnx_milliseconds([model], seconds=0)


def test_what_cannot_be_timed_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"missing\.onnx does not exist: give an ONNX file"):
        onnx_milliseconds([tmp_path / "missing.onnx"])
    with pytest.raises(InputError, match=r"broken\.onnx is no ONNX model that onnxruntime can run \(") as refusal:
        onnx_milliseconds([tmp_path / "broken.onnx"])
    assert "\n" not in str(refusal.value)
    with pytest.raises(InputError, match=r"takes tensor\(int64\)"):
        onnx_milliseconds([model_of("Relu", [1, 3, 4, 4], onnx.TensorProto.INT64)])


def test_a_missing_library_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"measuring latency needs onnxruntime: pip install 'pcdarts\[onnx\]'"):
        onnx_milliseconds([b""])
