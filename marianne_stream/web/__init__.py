"""HTTP server: routes, middleware, handlers, streams, and the page."""
