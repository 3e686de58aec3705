// Draws for RapidCheck properties.
#pragma once

#include <rapidcheck.h>

#include <initializer_list>
#include <vector>

namespace faultline::engine {

/// One of the values given.
template <class T>
T pick(std::initializer_list<T> values) {
    return *rc::gen::elementOf(std::vector<T>(values));
}

}  // namespace faultline::engine
