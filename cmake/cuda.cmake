# The CUDA targets: built for every architecture when nvcc is found, left out with a message when it is not. The library
# and the command never need CUDA.
set(NVFP4_CUDA_ARCHITECTURES "80-real;90a-real;120a-real;121a-real" CACHE STRING "What the CUDA targets are compiled for")
set(NVFP4_CUDA_FOUND OFF)
if(NVFP4_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES ${NVFP4_CUDA_ARCHITECTURES})
    enable_language(CUDA)
    # CMake 3.25 does not know nvcc's flag for C++20: the flag is given by hand, and CMake is kept from adding one.
    set(CMAKE_CUDA_STANDARD_DEFAULT "")
    string(APPEND CMAKE_CUDA_FLAGS " -std=c++20")
    set(NVFP4_CUDA_FOUND ON)
  else()
    message(STATUS "nvcc was not found: the CUDA targets are skipped")
  endif()
endif()
