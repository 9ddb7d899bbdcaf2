"""The arithmetic of the papers: quantisers, substructures, and the conversion of a network to integers."""
