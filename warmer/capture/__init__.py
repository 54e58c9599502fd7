"""Changes made through SQLAlchemy, seen where they are made. Needs SQLAlchemy, as nothing else here does."""
