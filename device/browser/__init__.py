"""The acoustic model in a web browser, on WebGPU or WebAssembly, with everything else of the recogniser in Python."""
