# SPDX-License-Identifier: MIT
#
# EMBEDDED_LUA_SOURCE: the library under lua/ as bytecode in one generated C file, the table of runtime/bindings/embedded.h.
# Annotations for editors (_meta/) are left out. A syntax error stops the build with the file and the line.

file(GLOB_RECURSE lua_sources CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/lua lua/*.lua)
list(FILTER lua_sources EXCLUDE REGEX "(^|/)_meta/")
list(SORT lua_sources)
list(TRANSFORM lua_sources PREPEND "${PROJECT_SOURCE_DIR}/lua/" OUTPUT_VARIABLE lua_paths)

# The list goes through a file, so that a removed module changes a dependency too.
list(JOIN lua_sources "\n" lua_listing)
set(lua_list ${PROJECT_BINARY_DIR}/generated/lua_sources.txt)
file(CONFIGURE OUTPUT ${lua_list} CONTENT "${lua_listing}\n" @ONLY)

set(EMBEDDED_LUA_SOURCE ${PROJECT_BINARY_DIR}/generated/embedded_lua.c)
add_custom_command(
  OUTPUT ${EMBEDDED_LUA_SOURCE}
  COMMAND ${LUAJIT_PROGRAM} ${PROJECT_SOURCE_DIR}/cmake/embed.lua ${PROJECT_SOURCE_DIR}/lua ${lua_list} ${EMBEDDED_LUA_SOURCE}
  DEPENDS ${lua_paths} ${lua_list} ${PROJECT_SOURCE_DIR}/cmake/embed.lua
  COMMENT "Compiling lua/ to bytecode"
  VERBATIM)
