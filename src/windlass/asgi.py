"""The front door: byte routes first, Django for the rest."""
