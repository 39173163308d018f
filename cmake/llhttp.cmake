# SPDX-License-Identifier: MIT
#
# The target `llhttp`: the HTTP/1.1 parser, compiled from the C sources that Debian's package node-llhttp ships.

find_path(LLHTTP_SOURCES llhttp.c PATHS /usr/share/llhttp NO_DEFAULT_PATH)
find_path(LLHTTP_INCLUDE llhttp.h PATHS /usr/share/include/llhttp /usr/include NO_DEFAULT_PATH)
if(NOT LLHTTP_SOURCES OR NOT LLHTTP_INCLUDE)
  message(FATAL_ERROR "llhttp's C sources are not in /usr/share/llhttp: install the package node-llhttp")
endif()

add_library(llhttp OBJECT ${LLHTTP_SOURCES}/api.c ${LLHTTP_SOURCES}/http.c ${LLHTTP_SOURCES}/llhttp.c)
target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE} ${LLHTTP_INCLUDE}/..)
# Strict: else it skips what stands where the line ends of chunks belong.
target_compile_definitions(llhttp PRIVATE LLHTTP_STRICT_MODE=1)
target_compile_options(llhttp PRIVATE -w)
