// Images side by side, as many as a vector register has lanes: the unit in which every kernel here computes.
//
// A tensor [B, C, H, W] is kept as [blocks, C, H, W, LANES]: the innermost axis runs over the images of a block. Every
// pixel of a channel is then one vector, whatever C, H, W, kernel size, stride and dilation are: no kernel has a
// shuffle, a tail or a gather instruction, and a channel of a block is one contiguous plane.
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

// The processor that this is compiled for: its vector registers, and whether it multiplies and adds in one instruction
// (else a product takes a register of its own).
struct Processor {
    const char* name;
    int register_bytes, registers;
    bool fused;
};
#if defined(__AVX512F__)
constexpr Processor PROCESSOR{"AVX-512", 64, 32, true};
#elif defined(__AVX2__) && defined(__FMA__)
constexpr Processor PROCESSOR{"AVX2", 32, 16, true};
#elif defined(__aarch64__)
constexpr Processor PROCESSOR{"NEON", 16, 32, true};
#elif defined(__SSE2__)
constexpr Processor PROCESSOR{"SSE2", 16, 16, false};
#else
constexpr Processor PROCESSOR{"baseline", 16, 16, false};
#endif

constexpr Index LANES = PROCESSOR.register_bytes / sizeof(float);
constexpr Index PADDING = 4;  // the reach of a 5x5 kernel of dilation 2
constexpr int WIDEST = 5;     // taps across a kernel

// How many vectors fit in the registers beside a single factor. A vector of double precision, which is there to be
// checked and not to be fast, takes two registers.
template <class T> constexpr int FREE = PROCESSOR.registers * sizeof(float) / sizeof(T) - (PROCESSOR.fused ? 1 : 2);

// A tile of products.h has TILE_ROWS x TILE_COLUMNS accumulators and TILE_COLUMNS values. In single precision:
//   AVX-512  4 x 4 + 4 = 20 of 31 (as fast as 4 x 6, and it divides the widths of maps)
//   AVX2     4 x 3 + 3 = 15 of 15
//   NEON     4 x 4 + 4 = 20 of 31
//   SSE2     4 x 2 + 2 = 10 of 14
constexpr int TILE_ROWS = 4;
template <class T> constexpr int TILE_COLUMNS = std::min(4, FREE<T> / (TILE_ROWS + 1));

// A convolution of depthwise.h has an accumulator for each of RUN neighbouring pixels, and the weights of a row of the
// kernel, 5 at most, beside an input: 8 + 5 = 13 of 31, 15 or 31, but 4 + 5 = 9 of 14.
template <class T> constexpr int RUN = FREE<T> > 8 + 5 + 1 ? 8 : FREE<T> > 4 + 5 ? 4 : 1;

// The gradient of a kernel of size x size taps has an accumulator for each tap of so many of its rows, beside a
// gradient. Of 5x5: all 5 (25 of 31 registers); 3 and 2 with AVX2 (15 of 15); 2, 2 and 1 with SSE2 (10 of 14).
template <class T> constexpr int gradient_rows_at_once(int size) { return std::min(size, FREE<T> / size); }

template <class T, int COUNT> struct VectorOf {
    static constexpr int bytes = COUNT * sizeof(T);
    typedef T Type __attribute__((vector_size(bytes), aligned(std::min(bytes, PROCESSOR.register_bytes)), may_alias));
};
template <class T> using Lanes = typename VectorOf<T, LANES>::Type;

template <class T> inline Lanes<T> load(const T* pointer) { return *reinterpret_cast<const Lanes<T>*>(pointer); }
template <class T> inline void store(T* pointer, Lanes<T> value) { *reinterpret_cast<Lanes<T>*>(pointer) = value; }
// From here on what the pointer leads to is read anew: the compiler would keep more of it than there are registers.
inline void read_anew(const void* pointer) { asm volatile("" : : "r"(pointer) : "memory"); }
template <class T> inline Lanes<T> zero() { return Lanes<T>{}; }
template <class T> inline Lanes<T> broadcast(T value) { return value - zero<T>(); }  // which is exact, also of -0

// NaN propagates, as in PyTorch.
template <class T> inline Lanes<T> relu(Lanes<T> x) { return x < T(0) ? zero<T>() : x; }

// Copy `count` vectors, rectified.
template <class T> inline void rectify(const T* from, T* to, Index count) {
    for (Index at = 0; at < count * LANES; at += LANES) store(to + at, relu<T>(load(from + at)));
}

// The sum of `COUNT` numbers in a vector: its halves are added until one number is left.
template <class T, int COUNT> inline T sum_of(typename VectorOf<T, COUNT>::Type x) {
    if constexpr (COUNT == 1) {
        return x[0];
    } else {
        typename VectorOf<T, COUNT / 2>::Type low, high;
        std::memcpy(&low, &x, sizeof low);
        std::memcpy(&high, reinterpret_cast<const char*>(&x) + sizeof low, sizeof high);
        return sum_of<T, COUNT / 2>(low + high);
    }
}
template <class T> inline T sum(Lanes<T> x) {
    // The halves of 64 bytes are addresses: of this copy, lest an accumulator live in memory for their sake.
    if constexpr (sizeof x >= 64) asm("" : "+m"(x));
    return sum_of<T, LANES>(x);
}

// One for the lanes of block `block` that hold an image, zero for those that only fill up the last block.
template <class T> inline Lanes<T> present(Index batch, Index block) {
    Lanes<T> mask = zero<T>();
    for (Index lane = 0; lane < LANES; ++lane) mask[lane] = block * LANES + lane < batch ? T(1) : T(0);
    return mask;
}

// The bytes of `count` numbers in whole lines of the cache: macOS has no aligned memory of other sizes.
constexpr std::size_t CACHE_LINE = 64;
template <class T> constexpr std::size_t whole_lines(Index count) {
    return (static_cast<std::size_t>(count) * sizeof(T) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

// Memory of one thread, kept from call to call, for values that only this thread reads.
template <class T> class Scratch {
public:
    // `count` numbers, aligned to a vector, not initialised, of those that `reset` made room for.
    T* take(Index count) {
        T* start = memory_ + used_;
        used_ += (count + LANES - 1) / LANES * LANES;
        if (used_ > capacity_) std::abort();  // to grow here would move what was taken before
        return start;
    }
    // Discard everything; make room for `count` numbers and some vectors of rounding.
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
        memory_ = static_cast<T*>(std::aligned_alloc(CACHE_LINE, whole_lines<T>(size)));
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

// Planes that are read together lie a line of the cache further apart than they are long: at a distance of a power of
// two they would all compete for the same few lines of it.
template <class T> constexpr Index GAP = CACHE_LINE / sizeof(T);

// A plane with a border of zeros, so that convolutions need no bounds.
inline Index padded_size(Index height, Index width) { return (height + 2 * PADDING) * (width + 2 * PADDING) * LANES; }
inline Index padded_row(Index width) { return (width + 2 * PADDING) * LANES; }
template <class T> inline T* interior(T* padded, Index width) {
    return padded + PADDING * padded_row(width) + PADDING * LANES;
}

}  // namespace pcdarts
