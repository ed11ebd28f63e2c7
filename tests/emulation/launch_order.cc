#include "emulation/launch_order.h"

#include <optional>

namespace nvfp4::emulation {
namespace {

std::uint32_t num_launches = 0;
std::optional<LaunchOrder> just_ahead;  // none: no kernel is

}  // namespace

LaunchOrder begin_launch_order(bool may_overlap) {
  LaunchOrder order;
  order.launch = ++num_launches;
  order.must_wait = may_overlap && just_ahead.has_value();
  order.ended_at_start = order.must_wait ? just_ahead->ended_for_next : order.launch - 1;
  order.ended_for_next = order.ended_at_start;
  return order;
}

void end_launch_order(const LaunchOrder& order) { just_ahead = order; }
void end_all_launches() { just_ahead.reset(); }

}  // namespace nvfp4::emulation
