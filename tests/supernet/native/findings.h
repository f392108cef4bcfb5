// Numbers to compute with, and how far what was computed is from what should have been.
#pragma once

#include <cmath>
#include <cstdio>
#include <random>
#include <string>

#include "lanes.h"

namespace pcdarts {

inline std::mt19937 random_bits(0);

template <class T> T draw() { return T(random_bits()) / T(2147483648.0) - T(1); }  // in [-1, 1)

// What a kernel was found to compute, beside what it should.
class Findings {
public:
    void compare(const std::string& what, double found, double expected) {
        double error = std::abs(found - expected) / (1 + std::abs(expected));
        if (std::isnan(error)) error = INFINITY;  // which is more than any other, while nothing is more than NaN
        ++compared_;
        if (error > largest_) largest_ = error, where_ = what;
    }
    // The line of a kernel; whether it is right.
    bool report(const char* kernel, const char* precision, double tolerance) const {
        const bool right = compared_ > 0 && largest_ <= tolerance;
        if (right)
            std::printf("%s %s right\n", kernel, precision);
        else
            std::printf("%s %s wrong by %g in %s\n", kernel, precision, largest_, where_.c_str());
        return right;
    }

private:
    Index compared_ = 0;
    double largest_ = 0;
    std::string where_ = "nothing at all";
};

}  // namespace pcdarts
