/* SPDX-License-Identifier: MIT
 *
 * The pattern functions of user states against LuaJIT's own, in a state beside: one subject and one pattern, through
 * find, match, gmatch and gsub, and all that comes back as one text, errors included. For the fuzz target, and for the
 * test that makes up its own cases. */
#pragma once

#include "patterns/pattern.h"
#include "script/state.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COMPARED_STEPS_MOST = 8 * PATTERN_STEPS };

struct compared_case {
  const char *subject, *pattern, *replacement;
  size_t subject_size, pattern_size, replacement_size;
  int start; /* third argument of find and match; fourth of gsub */
};

struct pattern_pair {
  lua_State *plain;
  struct script_state *user;
};

static const char compared_source[] =
    "local find, match, gmatch, gsub = string.find, string.match, string.gmatch, string.gsub\n"
    "local function show(...)\n"
    "  local values = {}\n"
    "  for i = 1, select('#', ...) do\n"
    "    local value = select(i, ...)\n"
    "    values[i] = type(value) .. ' ' .. tostring(value)\n"
    "  end\n"
    "  return table.concat(values, ', ')\n"
    "end\n"
    "local function each(subject, pattern)\n"
    "  local all = {}\n"
    "  for a, b, c, d in gmatch(subject, pattern) do all[#all + 1] = show(a, b, c, d) end\n"
    "  return table.concat(all, '; ')\n"
    "end\n"
    "local function answer(a, b)\n"
    "  if b then return b .. a end\n"
    "  return a == 'a' and 7 or a ~= 'b' and a and a .. '!'\n"
    "end\n"
    "local values = { a = 'A', b = false, ab = 5, [1] = 'one', c = true }\n"
    "local function replace_within(subject, pattern)\n"
    "  return gsub(subject, pattern, function() return (gsub(subject, pattern, '<%0>')) end)\n"
    "end\n"
    "return function(subject, pattern, replacement, start)\n"
    "  return table.concat({\n"
    "    show(pcall(find, subject, pattern)), show(pcall(find, subject, pattern, start)),\n"
    "    show(pcall(find, subject, pattern, start, true)), show(pcall(match, subject, pattern, start)),\n"
    "    show(pcall(each, subject, pattern)), show(pcall(gsub, subject, pattern, replacement)),\n"
    "    show(pcall(gsub, subject, pattern, replacement, start)), show(pcall(gsub, subject, pattern, answer)),\n"
    "    show(pcall(gsub, subject, pattern, values)), show(pcall(replace_within, subject, pattern)),\n"
    "  }, '\\n')\n"
    "end\n";

/* Leaves the function on each stack, at 1. False: no states, or no function (which is printed). */
static inline bool pattern_pair_init(struct pattern_pair *pair) {
  struct script_options options = {.memory = 0};
  struct error error = {0};
  pair->plain = luaL_newstate();
  pair->user = script_state_new(&options, &error);
  if (!pair->plain || !pair->user)
    return false;
  luaL_openlibs(pair->plain);
  lua_State *states[] = {pair->plain, pair->user->L};
  for (size_t i = 0; i < 2; i++)
    if (luaL_loadbuffer(states[i], compared_source, sizeof compared_source - 1, "=compared") != 0 ||
        lua_pcall(states[i], 0, 1, 0) != 0) {
      fprintf(stderr, "%s\n", lua_tostring(states[i], -1));
      return false;
    }
  return true;
}

static inline void pattern_pair_deinit(struct pattern_pair *pair) {
  lua_close(pair->plain);
  script_state_unref(pair->user);
}

static inline const char *compared_run(lua_State *L, const struct compared_case *one, size_t *size) {
  lua_settop(L, 1);
  lua_pushvalue(L, 1);
  lua_pushlstring(L, one->subject, one->subject_size);
  lua_pushlstring(L, one->pattern, one->pattern_size);
  lua_pushlstring(L, one->replacement, one->replacement_size);
  lua_pushinteger(L, one->start);
  lua_pcall(L, 4, 1, 0);
  return lua_tolstring(L, -1, size);
}

static inline bool compared_count(void *context) {
  int64_t *left = context;
  *left -= PATTERN_STEPS;
  return *left < 0;
}

/* LuaJIT can't be stopped, so only what takes our own matcher few steps is given to it. */
static inline bool compared_is_short(const struct compared_case *one) {
  int64_t left = COMPARED_STEPS_MOST;
  char *subject = calloc(1, one->subject_size + 1), *pattern = calloc(1, one->pattern_size + 1);
  struct pattern_match match;
  if (!subject || !pattern)
    abort();
  memcpy(subject, one->subject, one->subject_size);
  memcpy(pattern, one->pattern, one->pattern_size);
  bool stopped = false;
  for (size_t skipped = 0; skipped < 2 && skipped <= one->pattern_size; skipped++)
    for (size_t i = 0; i <= one->subject_size && !stopped; i++) {
      pattern_begin(&match, subject, one->subject_size, compared_count, &left);
      pattern_match_at(&match, subject + i, pattern + skipped);
      left -= PATTERN_STEPS - match.steps;
      stopped = match.stopped || left < 0;
    }
  free(subject);
  free(pattern);
  return !stopped;
}

/* Whether both say the same. Prints what they say when not. */
static inline bool pattern_pair_agrees(const struct pattern_pair *pair, const struct compared_case *one) {
  size_t plain_size, user_size;
  if (!compared_is_short(one))
    return true;
  const char *plain = compared_run(pair->plain, one, &plain_size);
  const char *user = compared_run(pair->user->L, one, &user_size);
  if (plain && user && plain_size == user_size && memcmp(plain, user, user_size) == 0)
    return true;
  fprintf(stderr, "subject [%s] (%zu), pattern [%s] (%zu), replacement [%s], start %d\nLuaJIT says:\n%s\nours:\n%s\n",
          one->subject, one->subject_size, one->pattern, one->pattern_size, one->replacement, one->start,
          plain ? plain : "?", user ? user : "?");
  return false;
}
