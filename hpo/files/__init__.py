"""Files near and far: written whole or not at all, fetched from URLs, kept in a cache."""
