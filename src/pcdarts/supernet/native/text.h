// Words and numbers in a row, for what the library says of itself. Strings and streams of the standard library would
// have to be linked: see native/compiler.py.
#pragma once

#include <cstddef>
#include <vector>

namespace pcdarts {

class Text {
public:
    Text& operator<<(char character) {
        characters_.push_back(character);
        return *this;
    }
    Text& operator<<(const char* words) {
        while (*words != '\0') *this << *words++;
        return *this;
    }
    Text& operator<<(std::size_t number) {
        if (number >= 10) *this << number / 10;
        return *this << char('0' + number % 10);
    }
    const char* end() {
        *this << '\0';
        return characters_.data();
    }

private:
    std::vector<char> characters_;
};

}  // namespace pcdarts
