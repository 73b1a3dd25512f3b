"""ONNX Runtime Web: where `make browser` puts it, and what of it a page needs."""

from __future__ import annotations

from models import python

PACKAGE = python.REPOSITORY / ".cache" / "browser" / "node_modules" / "onnxruntime-web"
DIST = PACKAGE / "dist"
FILES = ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
