"""The race of promise 1: readers, writers and loads in several processes, and seams that can be taken out on purpose."""
