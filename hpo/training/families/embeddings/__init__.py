"""The input embedding of networks: of numbers and of categories.

`shape` holds the parameters and their sizes, `passes` what an embedding computes and its gradients,
`module` the PyTorch module. An embedding knows no network behind it.
"""
