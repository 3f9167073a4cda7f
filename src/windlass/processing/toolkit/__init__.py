"""What several steps need, and no step may import from another. It knows the contract, the kernel and the libraries;
nothing here runs outside the sandbox."""
