"""Model families: what a network is, how it is built and trained; a package each."""
