// Whether this is compiled with AddressSanitizer, for either compiler.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define NVFP4_EMULATION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NVFP4_EMULATION_ASAN 1
#endif
#endif
#if !defined(NVFP4_EMULATION_ASAN)
#define NVFP4_EMULATION_ASAN 0
#endif
