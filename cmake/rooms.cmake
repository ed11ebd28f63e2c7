# One CMake target per room of src/. A room's sources are the .cc files of its folder; `x_test.cc` beside `x.cc` is
# its test and goes into the executable <room>_test.

add_library(nvfp4_options INTERFACE)
target_include_directories(nvfp4_options INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
target_compile_options(nvfp4_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor>)

set(NVFP4_SANITIZE "" CACHE STRING "Sanitizers for everything that is built: address,undefined or thread")
if(NVFP4_SANITIZE)
  add_compile_options(-fsanitize=${NVFP4_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${NVFP4_SANITIZE})
endif()
if(NVFP4_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Tests compile quickly; under sanitizers that is most of their time, but for those that compute much.
set(NVFP4_TEST_OPTIMIZATION -O1)
if(NVFP4_SANITIZE)
  set(NVFP4_TEST_OPTIMIZATION -O0)
endif()

# Tests of rooms that start threads: ThreadSanitizer runs these.
add_custom_target(threaded_tests)

# nvfp4_room(NAME ROOMS room... LINK library... TEST_ROOMS room... OPTIONS option... [THREADED] [COMPUTES]): ROOMS are the
# rooms it may include, LINK what it needs from outside, TEST_ROOMS what only its test needs, OPTIONS compiler options of
# its sources; THREADED: ThreadSanitizer runs its test, COMPUTES: its test does so at length. Files x_vnni.cc, x_bf16.cc
# and x_vbmi.cc may use these instructions too, the last also VNNI.
function(nvfp4_room name)
  cmake_parse_arguments(ROOM "THREADED;COMPUTES" "" "ROOMS;LINK;TEST_ROOMS;OPTIONS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc"
       "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*/*.cc")
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  string(REPLACE "/" "_" target "${name}")

  if(sources)
    add_library(nvfp4_${target} STATIC ${sources})
    target_compile_options(nvfp4_${target} PRIVATE ${ROOM_OPTIONS})
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
  target_link_libraries(nvfp4_${target} ${scope} nvfp4_options ${ROOM_LINK})
  foreach(room IN LISTS ROOM_ROOMS)
    string(REPLACE "/" "_" room "${room}")
    target_link_libraries(nvfp4_${target} ${scope} nvfp4_${room})
  endforeach()

  if(NVFP4_TESTS AND tests)
    add_executable(${target}_test ${tests})
    target_compile_options(${target}_test PRIVATE $<IF:$<BOOL:${ROOM_COMPUTES}>,-O1,${NVFP4_TEST_OPTIMIZATION}>)
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
  endif()
endfunction()
