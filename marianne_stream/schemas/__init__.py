"""Pydantic models of all responses and events. `/openapi.json` is generated from them."""
