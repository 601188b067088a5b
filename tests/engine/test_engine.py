from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from tflite_writer import colours

from coral_classify.engine import runtime as engine_module
from coral_classify.engine.runtime import Engine, EngineSession, load_engine, open_session, usable_cores
from coral_classify.errors import EngineError, EngineNotFound, ModelError, UsageError
from coral_classify.modelfiles.modelfile import read_model


def test_an_engine_can_be_forced(engine, monkeypatch):
    assert load_engine(engine).name == engine
    monkeypatch.setenv("CORAL_CLASSIFY_ENGINE", engine)
    assert load_engine().name == engine


def test_an_unknown_engine_is_a_usage_error():
    with pytest.raises(UsageError, match="engine must be one of ai-edge-litert, tflite-runtime"):
        load_engine("tensorflow")


def test_without_any_engine_the_command_that_brings_one_is_named(monkeypatch):
    monkeypatch.setattr(engine_module, "_MODULES", {"ai-edge-litert": "no_such_module", "tflite-runtime": "nor_this"})
    monkeypatch.setattr(engine_module, "_loaded", {})
    monkeypatch.setattr(engine_module, "advice", lambda: "pip install what-fits")
    with pytest.raises(EngineNotFound, match="pip install what-fits"):
        load_engine()


def test_tflite_runtime_under_numpy_2_is_explained_and_not_imported(monkeypatch, tmp_path):
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "__init__.py").write_text("raise SystemExit('must not be imported')")
    metadata = tmp_path / "tflite_runtime-2.14.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tflite-runtime\nVersion: 2.14.0\n")
    if sys.version_info < (3, 9):
        pytest.skip("NumPy 2 needs Python 3.9")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("tflite_runtime")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(np, "__version__", "2.0.2")
    monkeypatch.setattr(engine_module, "_loaded", {})
    with pytest.raises(EngineNotFound, match=r"cannot run under NumPy 2.0.2 \(pip install 'numpy<2'\)"):
        load_engine("tflite-runtime")


def test_a_file_that_the_runtime_refuses_is_named(tmp_path, any_engine):
    content = colours(compiled=True).replace(b"edgetpu-custom-op", b"another-custom-op")
    model = read_model(_write(tmp_path, content, "odd.tflite"))
    with pytest.raises(EngineError, match="odd.tflite: .* cannot load it: .*another-custom-op"):
        open_session(model)


def _write(folder, content, name="plain.tflite"):
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_compiled_file_never_reaches_the_cpu(tmp_path):
    model = read_model(_write(tmp_path, colours(compiled=True)))
    with pytest.raises(ModelError, match="use its CPU twin"):
        open_session(model)


def test_a_plain_file_never_reaches_the_edge_tpu(tmp_path):
    model = read_model(_write(tmp_path, colours()))
    with pytest.raises(ModelError, match="not compiled"):
        open_session(model, device="usb")


@pytest.mark.parametrize("threads", [0, -1, 100000, 1 << 40])
def test_threads_are_at_least_one_and_not_more_than_a_system_has(tmp_path, threads):
    model = read_model(_write(tmp_path, colours()))
    with pytest.raises(UsageError, match="threads must be 1 to 1024"):
        open_session(model, threads=threads)
    assert usable_cores() >= 1


def test_importing_the_package_imports_no_engine():
    code = ("import sys, coral_classify; assert 'numpy' not in sys.modules; coral_classify.Classifier; "
            "print([m for m in sys.modules if 'litert' in m or 'tflite' in m])")
    assert subprocess.check_output([sys.executable, "-c", code], cwd=str(REPOSITORY)).strip() == b"[]"



class _Native:
    """Stands for the runtime's own interpreter: it tells of its end."""

    def __init__(self, ends):
        self._ends = ends

    def __del__(self):
        self._ends.append("interpreter")


def _failing(stage, ends):
    """A runtime whose Interpreter fails at this stage, and a delegate that tells of its end."""
    class Interpreter:
        def __init__(self, **options):
            self._native = _Native(ends)
            self.check("open")

        def check(self, at):
            if at == stage:
                raise RuntimeError("no")

        def allocate_tensors(self):
            self.check("allocate")

        def get_input_details(self):
            return [self.details((1, 8, 8, 3))]

        def get_output_details(self):
            return [self.details((1, 3))]

        @staticmethod
        def details(shape):
            return {"index": 0, "shape": np.array(shape), "dtype": np.uint8,
                    "quantization": (float(np.float32(1 / 255)), 0)}

        def set_tensor(self, index, tensor):
            self.check("run")

    class Delegate:
        device = "usb:0"

        def close(self):
            ends.append("delegate")
    return Engine("fake", "0", Interpreter), Delegate()


@pytest.mark.parametrize("stage", ["open", "allocate"])
def test_a_refused_model_gives_up_its_interpreter_before_the_delegate(tmp_path, stage):
    ends = []
    engine, delegate = _failing(stage, ends)
    with pytest.raises(EngineError) as kept:
        EngineSession(read_model(_write(tmp_path, colours(compiled=True))), engine, threads=1, delegate=delegate)
    assert ends == ["interpreter", "delegate"] and kept.value.__cause__.__traceback__


def test_an_interpreter_that_a_traceback_holds_goes_before_the_delegate(tmp_path):
    ends = []
    engine, delegate = _failing("run", ends)
    session = EngineSession(read_model(_write(tmp_path, colours(compiled=True))), engine, threads=1, delegate=delegate)
    with pytest.raises(EngineError) as kept:
        session.run(np.zeros((1, 8, 8, 3), np.uint8))
    session.close()
    assert ends == ["interpreter", "delegate"] and kept.value.__cause__.__traceback__


def test_a_session_that_is_forgotten_gives_its_device_back(tmp_path):
    ends = []
    engine, delegate = _failing("never", ends)
    session = EngineSession(read_model(_write(tmp_path, colours(compiled=True))), engine, threads=1, delegate=delegate)
    del session
    gc.collect()
    assert ends == ["interpreter", "delegate"]
