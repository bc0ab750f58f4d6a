"""Readings in: `elements` splits a body, `batches` checks it, `envelopes` judges each reading.

`gateway` sends them and waits for the broker's acknowledgements. Large bodies take `turns`.
"""
