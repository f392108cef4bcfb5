// For compilers that bring a C++ library of their own (LLVM's) where the process has another (GNU's).
//
// The kernels need little of a library: memory and exceptions, which both have under the same names, except for these
// two constructors, which GNU's has in its header. With them nothing has to be linked: what PyTorch has loaded serves.
#include <new>

namespace std {
bad_alloc::bad_alloc() noexcept = default;
bad_array_new_length::bad_array_new_length() noexcept = default;
}  // namespace std
