/* SPDX-License-Identifier: MIT
 *
 * Copying what a user's file returned into the trusted state, as plain data. Raw access only: no metamethod is called,
 * no code of the user's runs. Depth, number of values and bytes are bounded, and a table within itself is an error. */
#include "core/pace.h"
#include "loading/load_private.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
  MAX_DEPTH = 32,
  MAX_VALUES = 5 * 1000 * 1000, /* 250,000 routes of the usual kind */
  MAX_BYTES = 64 * 1024 * 1024,
};

struct transfer {
  struct pace *pace;
  lua_State *from, *to;
  int seen;   /* in `to`: tables that were copied, by their address; true: being copied */
  int mark;   /* in `to`: the metatable of marks */
  int lines;  /* likewise: the lines of tables that helpers made, by their copy */
  int makers; /* in `from`: the table moongate.handlers, or nil */
  unsigned depth;
  size_t values, bytes;
  char path[ERROR_PLACE_SIZE];
  size_t path_length;
  struct error *error;
};

static int transfer_refuse(struct transfer *transfer, const char *message) {
  error_set(transfer->error, EINVAL, "%s", message);
  error_set_place(transfer->error, "%s", transfer->path);
  return -EINVAL;
}

/* Puts the key on top of `from` minus one behind the path; what does not fit is left out. */
static size_t transfer_enter(struct transfer *transfer, int key) {
  size_t before = transfer->path_length, room = sizeof transfer->path - before;
  int wanted = 0;
  if (lua_type(transfer->from, key) == LUA_TNUMBER)
    wanted = snprintf(transfer->path + before, room, "[%.14g]", lua_tonumber(transfer->from, key));
  else if (lua_type(transfer->from, key) == LUA_TSTRING)
    wanted =
        snprintf(transfer->path + before, room, "%s%.64s", before > 0 ? "." : "", lua_tostring(transfer->from, key));
  if (wanted > 0 && (size_t)wanted < room)
    transfer->path_length += (size_t)wanted;
  else
    transfer->path[before] = '\0';
  return before;
}

static int transfer_copy(struct transfer *transfer, int index);

static int transfer_string(struct transfer *transfer, int index) {
  size_t size;
  const char *text = lua_tolstring(transfer->from, index, &size);
  transfer->bytes += size;
  if (transfer->bytes > MAX_BYTES)
    return transfer_refuse(transfer, "returns more than 64 MiB of strings: keep large data elsewhere");
  lua_pushlstring(transfer->to, text, size);
  return 0;
}

/* Copies the pairs of the table at `index` of `from` into the one on top of `to`. */
static int copy_pairs(struct transfer *transfer, int index) {
  lua_State *from = transfer->from;
  lua_pushnil(from);
  while (lua_next(from, index)) {
    int value = lua_gettop(from), key = value - 1;
    size_t before = transfer_enter(transfer, key);
    int type = lua_type(from, key);
    int status = type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TBOOLEAN
                     ? transfer_copy(transfer, key)
                     : transfer_refuse(transfer, "has a key that is neither a string nor a number");
    if (status == 0)
      status = transfer_copy(transfer, value);
    if (status < 0) {
      lua_settop(from, key - 1);
      return status;
    }
    lua_rawset(transfer->to, -3);
    transfer->path_length = before;
    transfer->path[before] = '\0';
    lua_settop(from, key);
  }
  return 0;
}

/* The copy on top of `to` has the line that lua/moongate/route.lua gave the table at `index`. */
static void copy_line(struct transfer *transfer, int index) {
  lua_State *from = transfer->from, *to = transfer->to;
  if (!lua_getmetatable(from, index))
    return;
  lua_pushliteral(from, "moongate.line");
  lua_rawget(from, -2);
  if (lua_type(from, -1) == LUA_TNUMBER) {
    lua_pushvalue(to, -1);
    lua_pushnumber(to, lua_tonumber(from, -1));
    lua_rawset(to, transfer->lines);
  }
  lua_pop(from, 2);
}

static const char regex_name[] = "moongate.regex";

/* By the field that lua/moongate/regex.lua gives its metatable. */
static bool is_regex(lua_State *L, int index) {
  if (!lua_getmetatable(L, index))
    return false;
  lua_pushliteral(L, "__metatable");
  lua_rawget(L, -2);
  bool is = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), regex_name) == 0;
  lua_pop(L, 2);
  return is;
}

static void transfer_text(struct transfer *transfer, int index, const char *key) {
  lua_pushstring(transfer->from, key);
  lua_rawget(transfer->from, index);
  size_t size = 0;
  const char *text = lua_type(transfer->from, -1) == LUA_TSTRING ? lua_tolstring(transfer->from, -1, &size) : "";
  lua_pushlstring(transfer->to, text, size);
  lua_setfield(transfer->to, -2, key);
  lua_pop(transfer->from, 1);
}

/* A mark as well, from which it can be made again. */
static int copy_regex(struct transfer *transfer, int index) {
  lua_State *to = transfer->to;
  lua_createtable(to, 0, 3);
  lua_pushliteral(to, "regex");
  lua_setfield(to, -2, "kind");
  transfer_text(transfer, index, "pattern");
  transfer_text(transfer, index, "flags");
  lua_pushvalue(to, transfer->mark);
  lua_setmetatable(to, -2);
  return 0;
}

static int copy_table(struct transfer *transfer, int index) {
  lua_State *to = transfer->to;
  void *address = (void *)(uintptr_t)lua_topointer(transfer->from, index);
  lua_pushlightuserdata(to, address);
  lua_rawget(to, transfer->seen); /* [copy or nil] */
  if (lua_istable(to, -1))
    return 0;
  if (lua_toboolean(to, -1))
    return transfer_refuse(transfer, "refers to itself: a table can't stand within itself");
  lua_pop(to, 1);
  pace_breathe(transfer->pace);
  if (transfer->depth == MAX_DEPTH)
    return transfer_refuse(transfer, "has tables more than 32 levels deep");
  transfer->depth++;
  lua_pushlightuserdata(to, address);
  lua_pushboolean(to, 1);
  lua_rawset(to, transfer->seen);
  lua_newtable(to); /* [copy] */
  int status = copy_pairs(transfer, index);
  if (status < 0)
    return status;
  copy_line(transfer, index);
  lua_pushlightuserdata(to, address);
  lua_pushvalue(to, -2);
  lua_rawset(to, transfer->seen);
  transfer->depth--;
  return 0;
}

/* A function that is one of moongate.handlers, which makes a handler and is none: the mark on top of `to` says which.
 */
static void copy_maker(struct transfer *transfer, int index) {
  lua_State *from = transfer->from;
  if (!lua_isfunction(from, index) || !lua_istable(from, transfer->makers))
    return;
  lua_pushnil(from);
  while (lua_next(from, transfer->makers)) {
    if (lua_type(from, -2) == LUA_TSTRING && lua_rawequal(from, -1, index)) {
      lua_pushstring(transfer->to, lua_tostring(from, -2));
      lua_setfield(transfer->to, -2, "maker");
    }
    lua_pop(from, 1);
  }
}

/* Copies the value at the absolute `index` of `from` on top of `to`. */
static int transfer_copy(struct transfer *transfer, int index) {
  lua_State *from = transfer->from, *to = transfer->to;
  if (++transfer->values > MAX_VALUES)
    return transfer_refuse(transfer, "returns more than five million values");
  luaL_checkstack(to, 8, "too deep");
  switch (lua_type(from, index)) {
  case LUA_TNIL:
    lua_pushnil(to);
    return 0;
  case LUA_TBOOLEAN:
    lua_pushboolean(to, lua_toboolean(from, index));
    return 0;
  case LUA_TNUMBER:
    lua_pushnumber(to, lua_tonumber(from, index));
    return 0;
  case LUA_TSTRING:
    return transfer_string(transfer, index);
  case LUA_TTABLE:
    if (is_regex(from, index))
      return copy_regex(transfer, index);
    return copy_table(transfer, index);
  default:
    lua_createtable(to, 0, 1);
    lua_pushstring(to, lua_typename(from, lua_type(from, index)));
    lua_setfield(to, -2, "kind");
    copy_maker(transfer, index);
    lua_pushvalue(to, transfer->mark);
    lua_setmetatable(to, -2);
    return 0;
  }
}

/* Pushes the module moongate.handlers where it has been loaded, or nil. */
static void push_makers(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
  if (lua_istable(L, -1)) {
    lua_pushliteral(L, "moongate.handlers");
    lua_rawget(L, -2);
  } else {
    lua_pushnil(L);
  }
  lua_remove(L, -2);
}

int transfer_value(lua_State *from, int index, lua_State *to, struct pace *pace, struct error *error) {
  int top = lua_gettop(to), from_top = lua_gettop(from);
  if (index < 0)
    index = from_top + 1 + index;
  lua_newtable(to);
  lua_getglobal(to, "require");
  lua_pushliteral(to, "moongate.schema.mark");
  lua_call(to, 1, 1);
  lua_getfield(to, -1, "metatable");
  lua_getfield(to, -2, "lines"); /* [seen, module, metatable, lines] */
  push_makers(from);
  struct transfer transfer = {.pace = pace,
                              .from = from,
                              .to = to,
                              .seen = top + 1,
                              .mark = top + 3,
                              .lines = top + 4,
                              .makers = from_top + 1,
                              .error = error};
  int status = transfer_copy(&transfer, index);
  lua_settop(from, from_top);
  if (status == 0)
    lua_replace(to, top + 1);
  lua_settop(to, status == 0 ? top + 1 : top);
  return status;
}
