#include "oracle/proof/proposer.hpp"

namespace faultline::oracle::proof {
template class Proposer<debug::Formal>;
}
