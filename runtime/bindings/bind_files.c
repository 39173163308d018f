/* SPDX-License-Identifier: MIT
 *
 * What lua/moongate/bounded_files.lua is made of: reading lines, and whether a script may have one more descriptor. Its
 * files count as clients do, whose last share it leaves to who looks and who changes something; before one is refused,
 * those are closed that Lua has forgotten and not collected yet. */
#include "bindings/bind_moongate.h"
#include "core/descriptors.h"
#include "script/state.h"
#include "script/worker_script.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

enum { PIECE = 4096 };

/* The FILE of the io library's object at 1. */
static FILE *check_file(lua_State *L) {
  FILE **place = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  if (*place == NULL)
    luaL_error(L, "attempt to use a closed file");
  return *place;
}

/* Up to `room` bytes and the end of the line, which is the last of them; how many, 0 at the end. `code`: 0, or why it
 * could not be read. */
static size_t read_piece(FILE *file, char *piece, size_t room, int *code) {
  size_t count = 0;
  flockfile(file); /* standard input is one for all threads */
  for (int c = 0; count < room && c != '\n' && (c = getc_unlocked(file)) != EOF; count++)
    piece[count] = (char)c;
  *code = ferror_unlocked(file) ? errno : 0;
  funlockfile(file);
  return count;
}

/* Pushes a line, or nil at the end, or where it can't be read (`code`). */
static int push_file_line(lua_State *L, FILE *file, bool keep_end, int *code) {
  char piece[PIECE];
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  bool is_whole = false, is_there = false;
  while (!is_whole) {
    size_t count = read_piece(file, piece, sizeof piece, code);
    if (count == 0 || *code != 0)
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
static int core_read_line(lua_State *L) {
  FILE *file = check_file(L);
  int code = 0;
  clearerr(file);
  int results = push_file_line(L, file, lua_toboolean(L, 2), &code);
  if (code == 0)
    return results;
  lua_pushnil(L);
  lua_pushstring(L, strerror(code));
  lua_pushinteger(L, code);
  return 3;
}

/* core.has_descriptor() */
static int core_has_descriptor(lua_State *L) {
  lua_pushboolean(L, script_has_descriptor(L));
  return 1;
}

/* core.is_spare(file): its descriptor is one of those that are kept; another thread was faster. */
static int core_is_spare(lua_State *L) {
  int most = descriptors_for_traffic();
  lua_pushboolean(L, most > 0 && fileno(check_file(L)) >= most);
  return 1;
}

static bool is_below(lua_State *L) {
  lua_pushvalue(L, 1);
  lua_call(L, 0, 1);
  bool below = lua_tonumber(L, -1) < lua_tonumber(L, 2);
  lua_pop(L, 1);
  return below;
}

/* core.close_forgotten(count, most): whether fewer than `most` files are open, as count() finds, if need be once those
 * are closed that Lua has forgotten. */
static int core_close_forgotten(lua_State *L) {
  lua_pushboolean(L, is_below(L) || script_collect_for(L, is_below));
  return 1;
}

/* core.tell_unopened(of_limit): a file was refused, for limits.open_files or for want of a descriptor. */
static int core_tell_unopened(lua_State *L) {
  struct script_state *state = script_state_of(L);
  const struct script_task *task = task_running(L);
  script_report_unopened(state, task != NULL ? task->run : NULL, L, "a script can't open a file", lua_toboolean(L, 1));
  return 0;
}

const luaL_Reg file_functions[] = {
    {"read_line", core_read_line},         {"has_descriptor", core_has_descriptor},
    {"is_spare", core_is_spare},           {"close_forgotten", core_close_forgotten},
    {"tell_unopened", core_tell_unopened}, {NULL, NULL},
};
