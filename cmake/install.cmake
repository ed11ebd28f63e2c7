# cmake --install: library, headers, the command, a CMake package (find_package(nvfp4)) and a pkg-config file.
include(CMakePackageConfigHelpers)

install(TARGETS nvfp4 EXPORT nvfp4-targets)
install(TARGETS nvfp4_command)
install(DIRECTORY include/nvfp4 DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/nvfp4)
install(EXPORT nvfp4-targets NAMESPACE nvfp4:: DESTINATION ${package_dir})
configure_package_config_file(cmake/nvfp4-config.cmake.in nvfp4-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(nvfp4-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/nvfp4-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/nvfp4-config-version.cmake
        DESTINATION ${package_dir})

configure_file(cmake/nvfp4.pc.in nvfp4.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/nvfp4.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
