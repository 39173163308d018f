/* SPDX-License-Identifier: MIT
 *
 * Digests of normal forms: each pair of a table by itself, and their sum, which knows no order. */
#include "loading/digest.h"

#include "core/text.h"

#include <lauxlib.h>

uint64_t digest_of_value(lua_State *L, int index, uint64_t seed) {
  int type = lua_type(L, index);
  seed += (uint64_t)type;
  if (type == LUA_TSTRING) {
    size_t size;
    const char *text = lua_tolstring(L, index, &size);
    return text_hash(text, size, seed);
  }
  if (type != LUA_TTABLE) {
    lua_Number number = type == LUA_TBOOLEAN ? lua_toboolean(L, index) : lua_tonumber(L, index);
    return text_hash(&number, sizeof number, seed);
  }
  luaL_checkstack(L, 3, "not enough memory");
  int table = index < 0 ? lua_gettop(L) + 1 + index : index;
  uint64_t sum = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) /* [key, value] */
    sum += digest_of_value(L, -1, digest_of_value(L, -2, seed));
  return text_hash(&sum, sizeof sum, seed);
}
