"""The race of promise 1: readers, writers, loads in several processes; seams that can be taken out."""
