/* SPDX-License-Identifier: MIT
 *
 * Plain data becomes Lua's. Lua's numbers are doubles, which count to 2^53: what has counted further is a table that
 * keeps the digits for those who write them, and is a number for those who reckon with it. */
#include "script/value_push.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>

static const char COUNTER[] = "moongate.counter";

enum { DIGITS_SIZE = 24 };
static const uint64_t COUNTED_BY_NUMBERS = UINT64_C(1) << 53;

static int counter_tostring(lua_State *L) {
  lua_getfield(L, 1, "digits");
  return 1;
}

/* As near as a number comes. */
static lua_Number value_number_at(lua_State *L, int index) {
  if (!lua_istable(L, index))
    return luaL_checknumber(L, index);
  lua_getfield(L, index, "digits");
  lua_Number number = luaL_checknumber(L, -1);
  lua_pop(L, 1);
  return number;
}

static int counter_add(lua_State *L) {
  lua_pushnumber(L, value_number_at(L, 1) + value_number_at(L, 2));
  return 1;
}

static int counter_sub(lua_State *L) {
  lua_pushnumber(L, value_number_at(L, 1) - value_number_at(L, 2));
  return 1;
}

static int counter_mul(lua_State *L) {
  lua_pushnumber(L, value_number_at(L, 1) * value_number_at(L, 2));
  return 1;
}

static int counter_div(lua_State *L) {
  lua_pushnumber(L, value_number_at(L, 1) / value_number_at(L, 2));
  return 1;
}

static void push_counter(lua_State *L, uint64_t counter) {
  static const struct luaL_Reg functions[] = {
      {"__tostring", counter_tostring}, {"__add", counter_add}, {"__sub", counter_sub},
      {"__mul", counter_mul},           {"__div", counter_div}, {NULL, NULL},
  };
  char digits[DIGITS_SIZE];
  snprintf(digits, sizeof digits, "%" PRIu64, counter);
  lua_createtable(L, 0, 1);
  lua_pushstring(L, digits);
  lua_setfield(L, -2, "digits");
  if (luaL_newmetatable(L, COUNTER)) { /* counter, metatable */
    luaL_register(L, NULL, functions);
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "is_counter");
  }
  lua_setmetatable(L, -2);
}

static void push_any(lua_State *L, const struct value *value, bool exactly) {
  luaL_checkstack(L, 6, "the answer is nested too deeply");
  switch (value->kind) {
  case VALUE_BOOLEAN:
    lua_pushboolean(L, value->boolean);
    return;
  case VALUE_COUNTER:
    if (exactly && value->counter > COUNTED_BY_NUMBERS) {
      push_counter(L, value->counter);
      return;
    }
    lua_pushnumber(L, value->number);
    return;
  case VALUE_NUMBER:
    lua_pushnumber(L, value->number);
    return;
  case VALUE_STRING:
    lua_pushstring(L, value->string);
    return;
  case VALUE_TABLE:
    break;
  }
  int index = 0;
  lua_newtable(L);
  for (const struct value *child = value->first; child; child = child->next) {
    push_any(L, child, exactly);
    if (child->key)
      lua_setfield(L, -2, child->key);
    else
      lua_rawseti(L, -2, ++index);
  }
}

void value_push(lua_State *L, const struct value *value) { push_any(L, value, false); }

void value_push_exactly(lua_State *L, const struct value *value) { push_any(L, value, true); }
