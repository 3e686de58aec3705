#include "hypervisor/engine/svm/exits.hpp"

#include "hypervisor/guest/vmcb.hpp"

namespace faultline::engine {
namespace {

using guest::svm::Intercept;
namespace exit_code = guest::svm::exit_code;

constexpr std::string_view encrypted_only = "write traps are for encrypted guests only";
constexpr std::string_view undefined_register = "an access to that register is #UD, which comes first";

std::string_view why_no_control_register(unsigned number) {
    switch (number) {
        case 0:
        case 2:
        case 3:
        case 4:
        case 8: return {};
        default: return undefined_register;
    }
}

std::string_view why_no_exception(unsigned vector) {
    switch (vector) {
        case 2: return "NMI has an intercept of its own";
        case 7:
        case 16:
        case 19: return "there are no x87 and no SSE instructions";
        case 18: return "there are no machine checks";
        case 21: return "there are no shadow stacks";
        case 28: return "#HV is only ever injected";
        case 29: return "there are no encrypted guests";
        case 30: return "nothing that a case can say raises INIT";
        case 9:
        case 15:
        case 20:
        case 31: return "no exception has this vector";
        default: return vector >= 22 && vector <= 27 ? "no exception has this vector" : std::string_view{};
    }
}

std::string_view why_no_intercept(Intercept what) {
    switch (what) {
        case Intercept::Smi:
        case Intercept::Init: return "nothing that a case can say raises it";
        case Intercept::FerrFreeze: return "there are no x87 instructions";
        case Intercept::Xsetbv:
        case Intercept::Rdpru:
        case Intercept::Invlpgb:
        case Intercept::IllegalInvlpgb:
        case Intercept::Mcommit:
        case Intercept::Tlbsync: return "the instruction is not there, and #UD";
        case Intercept::EferWriteTrap: return encrypted_only;
        case Intercept::BusLock: return "there is no bus lock threshold";
        default: return {};
    }
}

}  // namespace

std::string_view why_never(std::uint64_t code) {
    if (code == exit_code::invalid || code == exit_code::nested_page_fault) return {};
    if (code == exit_code::vmgexit) return "there are no encrypted guests";
    const auto number = static_cast<unsigned>(code);
    const auto within = [&](Intercept first, unsigned count) { return number - static_cast<unsigned>(first) < count; };
    if (within(Intercept::ReadCr0, 16) || within(Intercept::WriteCr0, 16)) return why_no_control_register(number % 16);
    if (within(Intercept::ReadDr0, 16) || within(Intercept::WriteDr0, 16))
        return number % 16 < 8 ? std::string_view{} : undefined_register;
    if (within(Intercept::Exception, 32)) return why_no_exception(number % 32);
    if (within(Intercept::Cr0WriteTrap, 16)) return encrypted_only;
    return why_no_intercept(static_cast<Intercept>(code));
}

}  // namespace faultline::engine
