"""A small project in a temporary folder, and real workers of it, for the tests of warmer/worker/."""
