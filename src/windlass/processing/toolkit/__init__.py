"""Code that several steps share, since no step may import another. It runs in the sandbox and imports the step
contract, the kernel, the format readers and the libraries."""
