#include "emulation/planted_fault.h"

namespace nvfp4::emulation {
namespace {

PlantedFault planted = PlantedFault::kNone;

}  // namespace

WithPlantedFault::WithPlantedFault(PlantedFault fault) { planted = fault; }
WithPlantedFault::~WithPlantedFault() { planted = PlantedFault::kNone; }
bool is_planted(PlantedFault fault) { return planted == fault; }

}  // namespace nvfp4::emulation
