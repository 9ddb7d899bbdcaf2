"""A detector as one page for a browser: a WebAssembly module, the program as its data, and a page around them."""
