#include "nvfp4/version.h"

#define NVFP4_STRINGIFY_(x) #x
#define NVFP4_STRINGIFY(x) NVFP4_STRINGIFY_(x)

namespace nvfp4 {

const char* version() {
  return NVFP4_STRINGIFY(NVFP4_VERSION_MAJOR) "." NVFP4_STRINGIFY(NVFP4_VERSION_MINOR) "." NVFP4_STRINGIFY(
      NVFP4_VERSION_PATCH);
}

}  // namespace nvfp4
