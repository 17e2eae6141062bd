"""HTTP: routes, parameters, errors, and streams that are kept open."""
