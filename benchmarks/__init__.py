"""What things cost, as ratios against others in the same run: `make bench`."""
