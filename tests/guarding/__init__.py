"""What every test is watched for; tests/conftest.py puts these to work."""
