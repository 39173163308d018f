/* SPDX-License-Identifier: MIT
 *
 * Reading the fields of a normal form that the schema made: what is there has its type already. `t` is the absolute
 * index of the table. Those that allocate raise without memory. */
#pragma once

#include "routing/route.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static inline bool field_boolean(lua_State *L, int t, const char *key) {
  lua_getfield(L, t, key);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

/* 0 where there is none. */
static inline lua_Number field_number(lua_State *L, int t, const char *key) {
  lua_getfield(L, t, key);
  lua_Number value = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return value;
}

/* Lua counts slots from 1, and leaves out what isn't there. */
static inline int field_slot(lua_State *L, int t, const char *key) {
  int slot = (int)field_number(L, t, key);
  return slot > 0 ? slot - 1 : ROUTE_NO_FUNCTION;
}

/* The place of a string in `words`, which ends with NULL. */
static inline int field_word(lua_State *L, int t, const char *key, const char *const *words) {
  lua_getfield(L, t, key);
  int value = luaL_checkoption(L, -1, NULL, words);
  lua_pop(L, 1);
  return value;
}

/* Pushes the table at `key` and returns its index. */
static inline int field_table(lua_State *L, int t, const char *key) {
  lua_getfield(L, t, key);
  luaL_checktype(L, -1, LUA_TTABLE);
  return lua_gettop(L);
}
