#include "emulation/planted_fault.h"

namespace nvfp4::emulation {

WithPlantedFault::WithPlantedFault(PlantedFault fault) { planting::planted = fault; }
WithPlantedFault::~WithPlantedFault() { planting::planted = PlantedFault::kNone; }

}  // namespace nvfp4::emulation
