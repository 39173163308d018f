# SPDX-License-Identifier: MIT
#
# EMBEDDED_LUA_SOURCE: the library under lua/, and LuaSocket's Lua files, as bytecode in one generated C file, the table of
# runtime/bindings/embedded.h. Annotations for editors (_meta/) are left out. A syntax error stops the build with the file and
# the line.

file(GLOB_RECURSE lua_sources CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/lua lua/*.lua)
list(FILTER lua_sources EXCLUDE REGEX "(^|/)_meta/")
list(SORT lua_sources)

# The lists go through files, so that a removed module changes a dependency too.
set(embedded_arguments)
set(embedded_dependencies ${PROJECT_SOURCE_DIR}/cmake/embed.lua)
function(embed name directory)
  set(list ${PROJECT_BINARY_DIR}/generated/${name}_sources.txt)
  list(JOIN ARGN "\n" listing)
  file(CONFIGURE OUTPUT ${list} CONTENT "${listing}\n" @ONLY)
  list(TRANSFORM ARGN PREPEND "${directory}/" OUTPUT_VARIABLE paths)
  list(APPEND embedded_arguments ${directory} ${list})
  list(APPEND embedded_dependencies ${list} ${paths})
  set(embedded_arguments ${embedded_arguments} PARENT_SCOPE)
  set(embedded_dependencies ${embedded_dependencies} PARENT_SCOPE)
endfunction()
embed(lua ${PROJECT_SOURCE_DIR}/lua ${lua_sources})
embed(luasocket ${LUASOCKET_LUA} ${LUASOCKET_SOURCES})

set(EMBEDDED_LUA_SOURCE ${PROJECT_BINARY_DIR}/generated/embedded_lua.c)
add_custom_command(
  OUTPUT ${EMBEDDED_LUA_SOURCE}
  COMMAND ${LUAJIT_PROGRAM} ${PROJECT_SOURCE_DIR}/cmake/embed.lua ${EMBEDDED_LUA_SOURCE} ${embedded_arguments}
  DEPENDS ${embedded_dependencies}
  COMMENT "Compiling lua/ to bytecode"
  VERBATIM)
