"""The relay: what one server knows, published in Redis, and served from there by others."""
