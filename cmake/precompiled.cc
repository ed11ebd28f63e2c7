// CMake compiles headers for targets that have a source: this one's.
