"""Malware scanners: services that are given a file's bytes and say what they know of them."""
