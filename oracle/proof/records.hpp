// A chapter's records in the prover: made of fresh constants, read back from a model as plain values, made smaller, and
// printed. All of it from the one definition of the record (Boost.Hana accessors).
#pragma once

#include <fmt/format.h>

#include <boost/hana/accessors.hpp>
#include <boost/hana/for_each.hpp>
#include <boost/hana/range.hpp>
#include <boost/hana/second.hpp>
#include <boost/hana/size.hpp>
#include <string>
#include <type_traits>

#include "oracle/proof/domain.hpp"

namespace faultline::oracle::proof {

/// f(name, index) for every field, the index as a compile-time constant.
template <class Record, class F>
void each_field(F&& f) {
    namespace hana = boost::hana;
    constexpr auto count = decltype(hana::size(hana::accessors<Record>()))::value;
    hana::for_each(hana::make_range(hana::size_c<0>, hana::size_c<count>), [&](auto index) {
        f(hana::to<const char*>(hana::first(hana::at(hana::accessors<Record>(), index))), index);
    });
}
template <class Record, class Index>
decltype(auto) field(Record& record, Index index) {
    namespace hana = boost::hana;
    return hana::second(hana::at(hana::accessors<std::remove_const_t<Record>>(), index))(record);
}

/// A record of fresh constants, named prefix.field.
template <class Record>
Record symbolic(z3::context& context, const std::string& prefix) {
    Record record;
    each_field<Record>([&](const char* name, auto index) {
        auto& value = field(record, index);
        const std::string full = prefix + "." + name;
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, Bool>)
            value = Bool(context.bool_const(full.c_str()));
        else
            value = Bits(context.bv_const(full.c_str(), 64));
    });
    return record;
}

inline std::uint64_t value_in(z3::context& context, const z3::model& model, const Bits& bits) {
    return model.eval(bits.term(context), true).get_numeral_uint64();
}
inline bool value_in(z3::context& context, const z3::model& model, const Bool& truth) {
    return model.eval(truth.term(context), true).is_true();
}

/// What the model says, as a plain record.
template <class Plain, class Record>
Plain plain(z3::context& context, const z3::model& model, const Record& record) {
    Plain result;
    each_field<Plain>(
        [&](const char*, auto index) { field(result, index) = value_in(context, model, field(record, index)); });
    return result;
}
/// A plain record as constants.
template <class Record, class Plain>
Record lifted(const Plain& record) {
    Record result;
    each_field<Plain>([&](const char*, auto index) { field(result, index) = field(record, index); });
    return result;
}

/// Sets fields to zero, and clears bits of those that are left, while `still()` holds.
template <class Plain, class F>
void shrink(Plain& record, F&& still) {
    each_field<Plain>([&](const char*, auto index) {
        auto& value = field(record, index);
        const auto before = value;
        value = {};
        if (still()) return;
        value = before;
        if constexpr (!std::is_same_v<std::decay_t<decltype(value)>, bool>)
            for (unsigned bit = 64; bit-- > 0;) {
                const auto larger = value;
                value &= ~(1ull << bit);
                if (value != larger && !still()) value = larger;
            }
    });
}

/// "dr7=0x401 cpl=3 tf": fields that are zero or false are left out.
template <class Plain>
std::string text(const Plain& record) {
    std::string line;
    each_field<Plain>([&](const char* name, auto index) {
        const auto value = field(record, index);
        if (!value) return;
        if (!line.empty()) line += ' ';
        line += name;
        if constexpr (!std::is_same_v<std::decay_t<decltype(value)>, bool>) line += fmt::format("={:#x}", value);
    });
    return line.empty() ? "(all zero)" : line;
}

}  // namespace faultline::oracle::proof
