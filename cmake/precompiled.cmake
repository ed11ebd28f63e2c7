# Headers of the standard library and of large packages, compiled once for each set of equal flags; never our own, which
# change often. Sources include what they use all the same: -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds without.
set(NVFP4_STANDARD_HEADERS algorithm array atomic bit cctype charconv chrono cmath cstdint cstdio cstdlib cstring deque
  filesystem fstream functional iterator limits map memory mutex numbers numeric optional random set span sstream string
  string_view system_error thread tuple type_traits unordered_map unordered_set utility variant vector
  fmt/format.h fmt/ranges.h)
set(NVFP4_TEST_HEADERS gtest/gtest.h gmock/gmock.h)

# nvfp4_precompiled(TARGET SET [option]): TARGET gets the precompiled headers of one of these sets, compiled as TARGET
# is, with this option behind the flags of the build.
#   rooms, json_rooms: libraries, without and with simdjson
#   tests, json_tests: the same of executables with tests, the latter with nlohmann::json
#   command: the command; without CLI11, whose objects would be compiled into every source
function(nvfp4_precompiled target set)
  string(MAKE_C_IDENTIFIER "precompiled_${set}${ARGN}" owner)
  if(NOT TARGET ${owner})
    set(headers ${NVFP4_STANDARD_HEADERS})
    set(packages fmt::fmt Threads::Threads)
    if(set MATCHES "json")
      list(APPEND headers simdjson.h)
      list(APPEND packages simdjson::simdjson)
    endif()
    if(set MATCHES "tests")
      list(APPEND headers ${NVFP4_TEST_HEADERS})
      list(APPEND packages GTest::gtest GTest::gmock)
    endif()
    if(set MATCHES "json_tests|command")
      list(APPEND headers nlohmann/json.hpp)
      list(APPEND packages nlohmann_json::nlohmann_json)
    endif()
    list(TRANSFORM headers REPLACE "(.+)" "<\\1>")
    add_library(${owner} OBJECT ${PROJECT_SOURCE_DIR}/cmake/precompiled.cc)
    target_link_libraries(${owner} PRIVATE nvfp4_options ${packages})
    if(NOT set MATCHES "rooms")  # position-independent as executables are, not as libraries
      set_target_properties(${owner} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
      target_compile_options(${owner} PRIVATE -fPIE)
    endif()
    target_compile_options(${owner} PRIVATE ${ARGN})
    target_precompile_headers(${owner} PRIVATE ${headers})
  endif()
  target_precompile_headers(${target} REUSE_FROM ${owner})
endfunction()
