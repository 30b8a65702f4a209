"""The input embedding of networks: of numbers and of categories.

`piecewise_linear`, `periodic` and `cosine` are the kinds of embeddings of numbers. `parts` and
`shape` hold the parameters and their sizes, `passes` what an embedding computes and its gradients,
`module` the PyTorch module. An embedding knows no network behind it.
"""
