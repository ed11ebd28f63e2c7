# One CMake target per room of src/. A room's sources are the .cc files of its folder; `x_test.cc` beside `x.cc` is
# its test and goes into the executable <room>_test.

add_library(nvfp4_options INTERFACE)
target_include_directories(nvfp4_options INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
target_compile_options(nvfp4_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor>
  $<$<COMPILE_LANGUAGE:CXX>:-pthread>)  # some packages ask for it; precompiled headers, that all are compiled alike

set(NVFP4_SANITIZE "" CACHE STRING "Sanitizers for everything that is built: address,undefined or thread")
if(NVFP4_SANITIZE)
  add_compile_options(-fsanitize=${NVFP4_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${NVFP4_SANITIZE})
  if(NVFP4_SANITIZE MATCHES "address")  # tests start the command often: at a fixed address nothing is relocated
    add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-no-pie>)
  endif()
endif()
# For code that fuzz targets go through: libFuzzer sees its branches.
set(NVFP4_FUZZED_OPTIONS "")
if(NVFP4_FUZZ)
  set(NVFP4_FUZZED_OPTIONS -fsanitize=fuzzer-no-link)
endif()

# Tests compile quickly; under sanitizers that is most of their time, but for those that compute much.
set(NVFP4_TEST_OPTIMIZATION -O1)
if(NVFP4_SANITIZE)
  set(NVFP4_TEST_OPTIMIZATION -O0)
endif()

option(NVFP4_TOGETHER "Compile the sources of a room together, several at a time: less work for a whole build" OFF)

# Tests of rooms that start threads: ThreadSanitizer runs these.
add_custom_target(threaded_tests)

# json_ in RESULT when a room that links to PACKAGES and may include ROOMS reads JSON: names its precompiled headers.
function(nvfp4_reads_json result packages rooms)
  set(json "")
  if(simdjson::simdjson IN_LIST packages)
    set(json json_)
  endif()
  foreach(room IN LISTS rooms)
    string(REPLACE "/" "_" room "${room}")
    get_target_property(of_room nvfp4_${room} NVFP4_READS_JSON)
    if(of_room STREQUAL "json_")
      set(json json_)
    endif()
  endforeach()
  set(${result} "${json}" PARENT_SCOPE)
endfunction()

# The test of a room: called by nvfp4_room, whose ROOM_... it reads.
function(nvfp4_room_test target headers)
  set(optimization ${NVFP4_TEST_OPTIMIZATION})
  if(ROOM_COMPUTES)
    set(optimization -O1)
  endif()
  add_executable(${target}_test ${ARGN})
  target_compile_options(${target}_test PRIVATE ${optimization})
  nvfp4_precompiled(${target}_test ${headers} ${optimization})
  set_target_properties(${target}_test PROPERTIES UNITY_BUILD ${NVFP4_TOGETHER})
  target_include_directories(${target}_test PRIVATE ${PROJECT_SOURCE_DIR}/tests)  # support/
  target_link_libraries(${target}_test PRIVATE nvfp4_${target} GTest::gtest GTest::gmock GTest::gtest_main)
  foreach(room IN LISTS ROOM_TEST_ROOMS)
    string(REPLACE "/" "_" room "${room}")
    target_link_libraries(${target}_test PRIVATE nvfp4_${room})
  endforeach()
  target_compile_definitions(${target}_test PRIVATE NVFP4_FIXTURES="${PROJECT_SOURCE_DIR}/tests/fixtures")
  add_test(NAME ${target} COMMAND ${target}_test)
  set_tests_properties(${target} PROPERTIES TIMEOUT 600 LABELS "unit")
  if(ROOM_COMPUTES)
    set_tests_properties(${target} PROPERTIES COST 1000)  # begins early
  endif()
  if(ROOM_THREADED)
    set_tests_properties(${target} PROPERTIES LABELS "unit;threads")
    add_dependencies(threaded_tests ${target}_test)
  endif()
endfunction()

# nvfp4_room(NAME ROOMS room... LINK library... TEST_ROOMS room... OPTIONS option... APART file... [THREADED] [COMPUTES]
# [FUZZED]): ROOMS are the rooms it may include, LINK what it needs from outside, TEST_ROOMS what only its test needs,
# OPTIONS compiler options of its sources, APART (x for x.cc) sources never compiled together with others: they share
# names with them, or a test has its own in their place; THREADED: ThreadSanitizer runs its test, COMPUTES: its test does
# so at length, FUZZED: fuzz targets go through it. Files x_vnni.cc, x_bf16.cc and x_vbmi.cc may use these instructions
# too, the last also VNNI.
function(nvfp4_room name)
  cmake_parse_arguments(ROOM "THREADED;COMPUTES;FUZZED" "" "ROOMS;LINK;TEST_ROOMS;OPTIONS;APART" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc"
       "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*/*.cc")
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(TRANSFORM ROOM_APART REPLACE "(.+)" "${CMAKE_CURRENT_SOURCE_DIR}/${name}/\\1.cc")
  set_source_files_properties(${ROOM_APART} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  string(REPLACE "/" "_" target "${name}")
  nvfp4_reads_json(json "${ROOM_LINK}" "${ROOM_ROOMS}")

  if(sources)
    add_library(nvfp4_${target} STATIC ${sources})
    if(ROOM_OPTIONS)  # an instruction set's: alone, and nothing precompiled for others
      target_compile_options(nvfp4_${target} PRIVATE ${ROOM_OPTIONS})
    else()
      set(fuzzed "")
      if(ROOM_FUZZED)
        set(fuzzed ${NVFP4_FUZZED_OPTIONS})
      endif()
      target_compile_options(nvfp4_${target} PRIVATE ${fuzzed})
      nvfp4_precompiled(nvfp4_${target} ${json}rooms ${fuzzed})
      set_target_properties(nvfp4_${target} PROPERTIES UNITY_BUILD ${NVFP4_TOGETHER})
    endif()
    foreach(extension vnni bf16)
      set(special ${sources})
      list(FILTER special INCLUDE REGEX "_${extension}\\.cc$")
      set_source_files_properties(${special} PROPERTIES COMPILE_OPTIONS -mavx512${extension})
    endforeach()
    set(special ${sources})
    list(FILTER special INCLUDE REGEX "_vbmi\\.cc$")
    set_source_files_properties(${special} PROPERTIES COMPILE_OPTIONS "-mavx512vnni;-mavx512vbmi")
    set(scope PUBLIC)
    set_property(GLOBAL APPEND PROPERTY NVFP4_OBJECTS $<TARGET_OBJECTS:nvfp4_${target}>)
  else()
    add_library(nvfp4_${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  set_target_properties(nvfp4_${target} PROPERTIES NVFP4_READS_JSON "${json}")
  target_link_libraries(nvfp4_${target} ${scope} nvfp4_options ${ROOM_LINK})
  foreach(room IN LISTS ROOM_ROOMS)
    string(REPLACE "/" "_" room "${room}")
    target_link_libraries(nvfp4_${target} ${scope} nvfp4_${room})
  endforeach()

  if(NVFP4_TESTS AND tests)
    nvfp4_room_test(${target} ${json}tests ${tests})
  endif()
endfunction()
