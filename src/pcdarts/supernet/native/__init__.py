"""The supernet's cells in C++: compiled with the user's compiler when first needed, called through ctypes.

`build.py` compiles and loads, `cells.py` makes autograd functions of the kernels, the headers are the kernels. Whatever
is computed here equals the plain supernet and the reference; without a compiler the plain supernet does all the work.
"""
