/* SPDX-License-Identifier: MIT
 *
 * What is shown of an error that is a table: its message, or its first fields. Raw access only. */
#include "script/state_private.h"

#include <lauxlib.h>
#include <stdio.h>

enum { MOST_FIELDS = 4, SHOWN_SIZE = 512 };

/* One "key = value" of the pair on top of `L`; what is cut stays cut. */
static void add_field(lua_State *L, char *text, size_t *length) {
  size_t room = SHOWN_SIZE - *length;
  const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
  int wanted = snprintf(text + *length, room, "%s%.40s%s", *length > 0 ? ", " : "", key != NULL ? key : "",
                        key != NULL ? " = " : "");
  *length += wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room - 1;
  room = SHOWN_SIZE - *length;
  if (lua_type(L, -1) == LUA_TSTRING)
    wanted = snprintf(text + *length, room, "\"%.80s\"", lua_tostring(L, -1));
  else if (lua_type(L, -1) == LUA_TNUMBER)
    wanted = snprintf(text + *length, room, "%.14g", lua_tonumber(L, -1));
  else if (lua_isboolean(L, -1))
    wanted = snprintf(text + *length, room, "%s", lua_toboolean(L, -1) ? "true" : "false");
  else
    wanted = snprintf(text + *length, room, "(%s)", luaL_typename(L, -1));
  *length += wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room - 1;
}

static void push_fields(lua_State *L, int index) {
  char text[SHOWN_SIZE] = "";
  size_t length = 0;
  int count = 0;
  lua_pushnil(L);
  while (lua_next(L, index)) { /* key, value */
    if (++count > MOST_FIELDS) {
      lua_pop(L, 2);
      lua_pushfstring(L, "(the error is a table: { %s, \xe2\x80\xa6 })", text);
      return;
    }
    add_field(L, text, &length);
    lua_pop(L, 1);
  }
  if (count == 0)
    lua_pushliteral(L, "(the error is an empty table)");
  else
    lua_pushfstring(L, "(the error is a table: { %s })", text);
}

void script_describe_error(lua_State *L) {
  int index = lua_gettop(L);
  if (lua_istable(L, index)) {
    lua_pushliteral(L, "message");
    lua_rawget(L, index);
    if (lua_type(L, -1) != LUA_TSTRING) {
      lua_pop(L, 1);
      push_fields(L, index);
    }
  } else {
    lua_pushfstring(L, "(the error is a %s value)", luaL_typename(L, index));
  }
  lua_replace(L, index);
}
