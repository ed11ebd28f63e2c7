// The version of the headers; nvfp4::version() is that of the library linked.
#pragma once

#define NVFP4_VERSION_MAJOR 0
#define NVFP4_VERSION_MINOR 1
#define NVFP4_VERSION_PATCH 0

namespace nvfp4 {

// "MAJOR.MINOR.PATCH" of the library.
const char* version();

}  // namespace nvfp4
