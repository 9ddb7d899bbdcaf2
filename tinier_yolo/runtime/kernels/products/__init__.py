"""Layers of a fixed-point program: products of int16, two at a time, added up in int32."""
