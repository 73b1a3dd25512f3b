"""Manifests, weights, language model, and the bundle contract between convert/ and device/."""
