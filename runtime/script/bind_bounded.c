/* SPDX-License-Identifier: MIT
 *
 * What lua/moongate/bounded.lua is made of: C functions in the place of LuaJIT's that would work on for as long as they
 * are told to. These look at the watch themselves, now and then. */
#include "core/stack.h"
#include "script/bind_moongate.h"
#include "script/state.h"
#include "script/state_private.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
  LOOK_EACH = 16 * 1024, /* elements moved */
  PIECE = 4096,
};

/* core.look(): as the hook between two instructions, for after something long. */
int core_look(lua_State *L) {
  script_watch_look(L);
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

/* The FILE of the io library's object at 1. */
static FILE *check_file(lua_State *L) {
  FILE **place = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  if (*place == NULL)
    luaL_error(L, "attempt to use a closed file");
  return *place;
}

/* Up to `room` bytes and the end of the line, which is the last of them; how many, 0 at the end. */
static size_t read_piece(FILE *file, char *piece, size_t room) {
  size_t count = 0;
  flockfile(file); /* standard input is one for all threads */
  for (int c = 0; count < room && c != '\n' && (c = getc_unlocked(file)) != EOF; count++)
    piece[count] = (char)c;
  funlockfile(file);
  return count;
}

/* Pushes a line, or nil at the end. */
static int push_line(lua_State *L, FILE *file, bool keep_end) {
  char piece[PIECE];
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  bool is_whole = false, is_there = false;
  while (!is_whole) {
    size_t count = read_piece(file, piece, sizeof piece);
    if (count == 0)
      break;
    is_there = true;
    is_whole = piece[count - 1] == '\n';
    luaL_addlstring(&line, piece, count - (is_whole && !keep_end));
    if (script_watch_is_over(L))
      return script_watch_stop(L);
  }
  luaL_pushresult(&line);
  if (!is_there)
    lua_pushnil(L);
  return 1;
}

/* core.read_line(file, keep_end): a line; nil at the end, and nil, why, errno where it can't be read. LuaJIT's own
 * takes a NUL for the end of what it has read, and never ends where there are only such. */
int core_read_line(lua_State *L) {
  FILE *file = check_file(L);
  clearerr(file);
  int results = push_line(L, file, lua_toboolean(L, 2));
  if (!ferror(file))
    return results;
  int code = errno;
  lua_pushnil(L);
  lua_pushstring(L, strerror(code));
  lua_pushinteger(L, code);
  return 3;
}
