/* SPDX-License-Identifier: MIT
 *
 * What lua/moongate/bounded.lua is made of: C functions in the place of LuaJIT's that would work on for as long as they
 * are told to. These look at the watch themselves, now and then. */
#include "bindings/bind_moongate.h"
#include "core/stack.h"
#include "script/state.h"

#include <lauxlib.h>
#include <limits.h>
#include <stdbool.h>

enum { LOOK_EACH = 16 * 1024 }; /* elements moved */

/* core.look(): as the hook between two instructions, for after something long. */
int core_check_watch(lua_State *L) {
  script_watch_check(L);
  return 0;
}

/* core.is_deep(): whether little is left of C's stack. */
int core_is_deep(lua_State *L) {
  lua_pushboolean(L, stack_is_low());
  return 1;
}

/* core.is_full(): whether Lua's stack has overflowed, and what runs is a handler of that error. */
int core_is_full(lua_State *L) {
  lua_pushboolean(L, script_stack_is_full(L));
  return 1;
}

/* core.has_object(…): whether there is a table or a userdata, which may have a __tostring. */
int core_has_object(lua_State *L) {
  bool found = false;
  for (int i = lua_gettop(L); i > 0 && !found; i--)
    found = lua_type(L, i) == LUA_TTABLE || lua_type(L, i) == LUA_TUSERDATA;
  lua_pushboolean(L, found);
  return 1;
}

/* core.insert: table.insert, raw as LuaJIT's. */
int core_insert(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  int count = lua_gettop(L), last = (int)lua_objlen(L, 1);
  if (count == 2) {
    lua_rawseti(L, 1, last + 1);
    return 0;
  }
  if (count != 3)
    return luaL_error(L, "wrong number of arguments to 'insert'");
  lua_Number wanted = luaL_checknumber(L, 2);
  luaL_argcheck(L, wanted > INT_MIN && wanted < INT_MAX, 2, "position out of bounds");
  int position = (int)wanted;
  for (int i = last; i >= position; i--) {
    lua_rawgeti(L, 1, i);
    lua_rawseti(L, 1, i + 1);
    if (i % LOOK_EACH == 0 && script_watch_is_over(L))
      return script_watch_stop(L);
  }
  lua_rawseti(L, 1, position);
  return 0;
}
