// The fields of an op, one by one, for code that treats all ops alike: text, generator, shrinker.
#pragma once

#include <boost/hana/accessors.hpp>
#include <boost/hana/first.hpp>
#include <boost/hana/second.hpp>
#include <boost/hana/string.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/unpack.hpp>
#include <string_view>
#include <type_traits>
#include <variant>

#include "hypervisor/guest/op.hpp"

namespace faultline::guest {

/// Calls `f(name, field)` for each field of one op's struct, in order; fields are mutable when the op is.
template <class OpStruct, class F>
void for_each_op_field(OpStruct& op, F&& f) {
    namespace hana = boost::hana;
    hana::unpack(hana::accessors<std::remove_const_t<OpStruct>>(), [&](auto... accessor) {
        (f(std::string_view(hana::to<const char*>(hana::first(accessor))), hana::second(accessor)(op)), ...);
    });
}

/// The same for an op of any kind. `f` takes (std::string_view, auto&).
template <class F>
void for_each_field(Op& op, F&& f) {
    std::visit([&](auto& alternative) { for_each_op_field(alternative, f); }, op);
}
template <class F>
void for_each_field(const Op& op, F&& f) {
    std::visit([&](const auto& alternative) { for_each_op_field(alternative, f); }, op);
}

}  // namespace faultline::guest
