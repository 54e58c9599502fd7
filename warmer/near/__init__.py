"""Near copies: what a process keeps of its hottest entries, and how it hears that they are no longer good."""
