/* SPDX-License-Identifier: MIT
 *
 * Tells the fuzzer which lines of Lua an input has reached: LuaJIT is not instrumented, and without that a fuzzer sees
 * of our Lua nothing at all. Without the fuzzer the counters are counted for nobody. */
#pragma once

#include <lua.h>
#include <luajit.h>
#include <stddef.h>
#include <stdint.h>

enum { LUA_LINES = 1 << 14 };

/* libFuzzer looks for counters of others in this section. */
__attribute__((used, section("__libfuzzer_extra_counters"))) static uint8_t lua_lines[LUA_LINES];

static void lua_lines_count(lua_State *L, lua_Debug *where) {
  if (!lua_getinfo(L, "Sl", where) || where->currentline < 0)
    return;
  uint32_t hash = 2166136261u ^ (uint32_t)where->currentline;
  for (const char *at = where->short_src; *at; at++)
    hash = (hash ^ (uint8_t)*at) * 16777619u;
  uint8_t *counter = &lua_lines[(hash ^ hash >> 16) % LUA_LINES];
  if (*counter < UINT8_MAX)
    ++*counter;
}

/* For a trusted state, which has no hook of its own; its library has to be that of the tree, with its lines. */
static inline void lua_lines_watch(lua_State *L) {
  luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  lua_sethook(L, lua_lines_count, LUA_MASKLINE, 0);
}
