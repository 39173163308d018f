/* SPDX-License-Identifier: MIT
 *
 * string.find, match and gmatch of user states, in place of LuaJIT's own and with the same results and messages: the
 * matcher is patterns/pattern.c, which the watchdog can stop. (Files in script.jit keep LuaJIT's.) */
#include "patterns/bind_pattern.h"
#include "patterns/patterns.h"
#include "script/state.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <string.h>

static bool pattern_ask_watchdog(void *context) { return script_watch_is_over(context); }

void pattern_begin_watched(struct pattern_match *match, lua_State *L, const char *subject, size_t size) {
  pattern_begin(match, subject, size, pattern_ask_watchdog, L);
}

int pattern_raise(const struct pattern_match *match, lua_State *L) {
  return match->stopped ? script_watch_stop(L) : luaL_error(L, "%s", match->fault);
}

void pattern_push_capture(const struct pattern_match *match, lua_State *L, unsigned index, const char *start,
                          const char *end) {
  const struct pattern_capture *capture = &match->capture[index];
  if (index >= match->captures) {
    if (index > 0)
      luaL_error(L, "invalid capture index");
    lua_pushlstring(L, start, (size_t)(end - start));
  } else if (capture->length == PATTERN_OPEN) {
    luaL_error(L, "unfinished capture");
  } else if (capture->length == PATTERN_POSITION) {
    lua_pushinteger(L, capture->start - match->subject + 1);
  } else {
    lua_pushlstring(L, capture->start, (size_t)capture->length);
  }
}

int pattern_push_captures(const struct pattern_match *match, lua_State *L, const char *start, const char *end) {
  unsigned count = match->captures == 0 ? 1 : match->captures;
  if (count > LUA_MINSTACK / 2) /* what a C function has anyway */
    luaL_checkstack(L, (int)count, "too many captures");
  for (unsigned i = 0; i < count; i++)
    pattern_push_capture(match, L, i, start, end);
  return (int)count;
}

/* The optional third argument as an offset into the subject. LuaJIT takes what is no 32-bit integer for the least. */
static size_t check_start(lua_State *L, size_t size) {
  if (lua_gettop(L) < 3)
    return 0;
  lua_Number given = luaL_optnumber(L, 3, 1);
  int64_t start = given > INT32_MIN && given < -(lua_Number)INT32_MIN ? (int64_t)given : INT32_MIN;
  if (start < 0)
    start += (int64_t)size;
  else
    start--;
  if (start < 0)
    return 0;
  return (size_t)start < size ? (size_t)start : size;
}

static int push_match(lua_State *L, const char *subject, const char *start, const char *end) {
  lua_pushinteger(L, start - subject + 1);
  lua_pushinteger(L, end - subject);
  return 2;
}

static int find_plain(lua_State *L, const char *subject, size_t size, size_t start, const char *text, size_t length) {
  const char *found = pattern_find_plain(subject + start, size - start, text, length);
  if (found != NULL)
    return push_match(L, subject, found, found + length);
  lua_pushnil(L);
  return 1;
}

static int search_in(lua_State *L, bool find) {
  size_t size, length;
  const char *subject = luaL_checklstring(L, 1, &size), *pattern = luaL_checklstring(L, 2, &length);
  size_t start = check_start(L, size);
  if (find && ((lua_gettop(L) > 3 && lua_toboolean(L, 4)) || !pattern_is_special(pattern, length)))
    return find_plain(L, subject, size, start, pattern, length);
  struct pattern_match match;
  pattern_begin_watched(&match, L, subject, size);
  const char *at = subject + start, *end;
  if (*pattern == '^')
    end = pattern_match_at(&match, at, pattern + 1);
  else
    at = pattern_search(&match, at, pattern, &end);
  if (match.fault != NULL)
    return pattern_raise(&match, L);
  if (at == NULL || end == NULL) {
    lua_pushnil(L);
    return 1;
  }
  if (!find)
    return pattern_push_captures(&match, L, at, end);
  return push_match(L, subject, at, end) + (match.captures > 0 ? pattern_push_captures(&match, L, at, end) : 0);
}

static int string_find(lua_State *L) { return search_in(L, true); }

static int string_match(lua_State *L) { return search_in(L, false); }

/* What an iterator of gmatch goes through. Its texts are the iterator's upvalues, as this is. */
struct progress {
  const char *subject, *pattern, *at;
  size_t size;
};

static int match_next(lua_State *L) {
  struct progress *progress = lua_touserdata(L, lua_upvalueindex(1));
  struct pattern_match match;
  pattern_begin_watched(&match, L, progress->subject, progress->size);
  const char *end,
      *at = progress->at <= match.end ? pattern_search(&match, progress->at, progress->pattern, &end) : NULL;
  if (match.fault != NULL)
    return pattern_raise(&match, L);
  if (at == NULL)
    return 0;
  progress->at = end == at ? end + 1 : end;
  return pattern_push_captures(&match, L, at, end);
}

static int string_gmatch(lua_State *L) {
  size_t size;
  const char *subject = luaL_checklstring(L, 1, &size), *pattern = luaL_checkstring(L, 2);
  lua_settop(L, 2);
  struct progress *progress = lua_newuserdata(L, sizeof *progress);
  *progress = (struct progress){subject, pattern, subject, size};
  lua_insert(L, 1);
  lua_pushcclosure(L, match_next, 3);
  return 1;
}

static void set_function(lua_State *L, const char *name, lua_CFunction function) {
  lua_pushcfunction(L, function);
  lua_setfield(L, -2, name);
}

void script_open_patterns(lua_State *L, bool trusted) {
  lua_getglobal(L, LUA_STRLIBNAME);
  set_function(L, "gsub", string_substitute);
  if (!trusted) {
    set_function(L, "find", string_find);
    set_function(L, "match", string_match);
    set_function(L, "gmatch", string_gmatch);
  }
  lua_pop(L, 1);
}
