"""Optional libraries: imported, or asked for in one line."""

import sys
from pathlib import Path

import pytest

from pcdarts.errors import InputError
from pcdarts.extras import import_extra


def test_a_library_that_is_there_is_imported() -> None:
    assert import_extra("json.decoder", "any", "this") is sys.modules["json.decoder"]


def test_a_library_that_is_missing_is_named_with_its_remedy() -> None:
    with pytest.raises(InputError) as refusal:
        import_extra("no_such_library.part", "onnx", "export to ONNX")
    assert str(refusal.value) == "export to ONNX needs no_such_library: pip install 'pcdarts[onnx]'"


def test_a_library_that_is_broken_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("raise OSError('libfoo.so: cannot\\nopen')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"needs broken_library \(libfoo\.so: cannot open\): pip install"):
        import_extra("broken_library", "hf", "this")
