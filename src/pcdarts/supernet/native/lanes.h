// Sixteen images side by side: the unit in which every kernel here computes.
//
// A tensor [B, C, H, W] is kept as [blocks, C, H, W, 16]: the innermost axis runs over the images of a block. Every
// pixel of a channel is then one vector, whatever C, H, W, kernel size, stride and dilation are: no kernel has a
// shuffle, a tail or a gather, and a channel of a block is one contiguous plane.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace pcdarts {

using Index = std::int64_t;
constexpr Index LANES = 16;
constexpr Index PADDING = 4;  // the reach of a 5x5 kernel of dilation 2

template <class T> struct LanesOf;
template <> struct LanesOf<float> {
    typedef float Type __attribute__((vector_size(64), aligned(64), may_alias));
};
template <> struct LanesOf<double> {
    typedef double Type __attribute__((vector_size(128), aligned(64), may_alias));
};
template <class T> using Lanes = typename LanesOf<T>::Type;

template <class T> inline Lanes<T> load(const T* pointer) { return *reinterpret_cast<const Lanes<T>*>(pointer); }
template <class T> inline void store(T* pointer, Lanes<T> value) { *reinterpret_cast<Lanes<T>*>(pointer) = value; }
template <class T> inline Lanes<T> zero() { return Lanes<T>{}; }

// Not a number stays what it is, as in PyTorch.
template <class T> inline Lanes<T> relu(Lanes<T> x) { return x < T(0) ? zero<T>() : x; }

template <class T> inline T sum(Lanes<T> x) {
    for (Index half = LANES / 2; half > 0; half /= 2)
        for (Index lane = 0; lane < half; ++lane) x[lane] += x[lane + half];
    return x[0];
}

// One for the lanes of block `block` that hold an image, zero for those that only fill up the last block.
template <class T> inline Lanes<T> present(Index batch, Index block) {
    Lanes<T> mask = zero<T>();
    for (Index lane = 0; lane < LANES; ++lane) mask[lane] = block * LANES + lane < batch ? T(1) : T(0);
    return mask;
}

// Memory of one thread, kept from call to call, in which kernels put what nobody else reads.
template <class T> class Scratch {
public:
    // `count` numbers, aligned to a vector, not initialised, of those that `reset` made room for.
    T* take(Index count) {
        T* start = memory_ + used_;
        used_ += (count + LANES - 1) / LANES * LANES;
        if (used_ > capacity_) std::abort();  // to grow here would move what was taken before
        return start;
    }
    // Forget all; make room for `count` numbers and some vectors of rounding.
    void reset(Index count) {
        used_ = 0;
        Index size = count + 64 * LANES;
        if (size > capacity_) grow(size);
    }
    ~Scratch() { std::free(memory_); }

private:
    void grow(Index size) {
        std::free(memory_);
        capacity_ = 0;
        memory_ = static_cast<T*>(std::aligned_alloc(64, static_cast<std::size_t>(size) * sizeof(T)));
        if (memory_ == nullptr) throw std::bad_alloc();
        capacity_ = size;
    }
    T* memory_ = nullptr;
    Index capacity_ = 0, used_ = 0;
};

template <class T> inline Scratch<T>& scratch(Index count) {
    static thread_local Scratch<T> memory;
    memory.reset(count);
    return memory;
}

// Ask for large pages under memory that was not touched yet: small ones cost more time than what is written to them.
template <class T> inline void prefer_large_pages(T* memory, Index count) {
#ifdef __linux__
    constexpr std::uintptr_t page = 1 << 21;
    const std::uintptr_t start = (reinterpret_cast<std::uintptr_t>(memory) + page - 1) / page * page;
    const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(memory + count) / page * page;
    if (end > start) madvise(reinterpret_cast<void*>(start), end - start, MADV_HUGEPAGE);
#endif
}

// A plane with a border of zeros, so that convolutions need no bounds.
inline Index padded_size(Index height, Index width) { return (height + 2 * PADDING) * (width + 2 * PADDING) * LANES; }
inline Index padded_row(Index width) { return (width + 2 * PADDING) * LANES; }
template <class T> inline T* interior(T* padded, Index width) {
    return padded + PADDING * padded_row(width) + PADDING * LANES;
}

}  // namespace pcdarts
