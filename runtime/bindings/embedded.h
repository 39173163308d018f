/* SPDX-License-Identifier: MIT
 *
 * The library under lua/, and the part of LuaSocket that is Lua, compiled to bytecode and built into the binary. The
 * table is generated at build time by cmake/embed.lua; finding and loading a module in it belongs to the loader. */
#pragma once

#include <stddef.h>

struct embedded_file {
  const char *name;           /* as `require` knows it: "moongate.handlers"; lua/moongate/init.lua is "moongate" */
  const unsigned char *bytes; /* bytecode with debug information, its chunk name "@moongate/handlers.lua" */
  size_t size;                /* bytes in `bytes` */
};

/* Those of the library first, each part sorted by the path of the source file; constant, never freed. */
extern const struct embedded_file embedded_lua[];
extern const size_t embedded_lua_count;
