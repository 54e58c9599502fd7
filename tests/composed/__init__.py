"""docker-compose.yml and Dockerfile as data, so that tests can run what they say without a container."""
