"""The input embedding of networks: of numbers and of categories.

`piecewise_linear`, `periodic` and `cosine` are the kinds of `numbers`, embeddings of numbers.
`parts` names the parameters, `shape` has their sizes, `passes` computes an embedding and its
gradients, and `module` is the PyTorch module. An embedding knows no network behind it.
"""
