"""The HTTP API: routes, schemas, authentication, problems, health and metrics."""
