"""A real Varnish of a test's own, with the configuration that users get, and what stands behind it."""
