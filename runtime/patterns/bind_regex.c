/* SPDX-License-Identifier: MIT
 *
 * The module "moongate.pcre": regular expressions by PCRE2, compiled to machine code, for lua/moongate/regex.lua. What
 * a match may cost is bounded (patterns/regex.c), and what it allocates counts against the state's memory. */
#include "patterns/patterns.h"
#include "patterns/regex.h"
#include "script/state.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

enum {
  STACK_FIRST = 32 * 1024,
  STACK_MOST = 512 * 1024,
  CAPTURES_MOST = 200,
};

static const char engine_name[] = "moongate.pcre.engine", regex_name[] = "moongate.pcre.code";

/* Lua's allocator wants to know the size of what it frees. */
static const size_t HEADER = 16;

static void *on_allocate(size_t size, void *context) {
  lua_State *L = context;
  void *allocator;
  lua_Alloc allocate = lua_getallocf(L, &allocator);
  char *block = allocate(allocator, NULL, 0, size + HEADER);
  if (block == NULL)
    return NULL;
  memcpy(block, &size, sizeof size);
  return block + HEADER;
}

static void on_regex_free(void *memory, void *context) {
  lua_State *L = context;
  void *allocator;
  size_t size;
  if (memory == NULL)
    return;
  lua_Alloc allocate = lua_getallocf(L, &allocator);
  char *block = (char *)memory - HEADER;
  memcpy(&size, block, sizeof size);
  allocate(allocator, block, size + HEADER, 0);
}

static int on_engine_collected(lua_State *L) {
  struct regex_engine *engine = lua_touserdata(L, 1);
  pcre2_jit_stack_free(engine->stack);
  pcre2_match_context_free(engine->watching);
  pcre2_match_context_free(engine->matching);
  pcre2_compile_context_free(engine->compiling);
  pcre2_general_context_free(engine->general);
  *engine = (struct regex_engine){.general = NULL};
  return 0;
}

/* A table with weak keys may hand it out afterwards. */
static int on_regex_collected(lua_State *L) {
  struct regex *regex = lua_touserdata(L, 1);
  regex_deinit(regex);
  *regex = (struct regex){.size = 0};
  return 0;
}

/* The main coroutine outlives all that is allocated for the engine. */
static void push_engine(lua_State *L) {
  struct regex_engine *engine = lua_newuserdata(L, sizeof *engine);
  *engine = (struct regex_engine){.general = NULL};
  luaL_newmetatable(L, engine_name);
  lua_pushcfunction(L, on_engine_collected);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  engine->state = script_state_of(L);
  engine->general = pcre2_general_context_create(on_allocate, on_regex_free, engine->state->L);
  engine->compiling = pcre2_compile_context_create(engine->general);
  engine->matching = pcre2_match_context_create(engine->general);
  engine->watching = pcre2_match_context_create(engine->general);
  engine->stack = pcre2_jit_stack_create(STACK_FIRST, STACK_MOST, engine->general);
  if (engine->general == NULL || engine->compiling == NULL || engine->matching == NULL || engine->watching == NULL)
    luaL_error(L, "not enough memory");
  regex_engine_limit(engine);
}

static const struct regex_engine *engine_of(lua_State *L) {
  const struct regex_engine *engine = lua_touserdata(L, lua_upvalueindex(1));
  if (engine->general == NULL)
    luaL_error(L, "the module is gone: nothing held it any more");
  return engine;
}

/* nil and what is wrong, with the place: "missing closing parenthesis at character 4". */
static int push_regex_error(lua_State *L, int code, size_t place) {
  PCRE2_UCHAR text[160];
  lua_pushnil(L);
  if (pcre2_get_error_message(code, text, sizeof text) < 0)
    text[0] = '\0';
  lua_pushfstring(L, "%s (character %d)", (const char *)text, (int)place + 1);
  return 2;
}

static bool has_room_for_code(lua_State *L) { return regex_has_room_for_code(script_state_of(L)); }

/* compile(pattern, flags): the flags are known to be some of "imsxuA". */
static int pcre_compile(lua_State *L) {
  static const struct {
    char letter;
    uint32_t option;
  } flags[] = {{'i', PCRE2_CASELESS}, {'m', PCRE2_MULTILINE},       {'s', PCRE2_DOTALL},
               {'x', PCRE2_EXTENDED}, {'u', PCRE2_UTF | PCRE2_UCP}, {'a', PCRE2_ANCHORED}};
  const struct regex_engine *engine = engine_of(L);
  size_t size, place;
  const char *pattern = luaL_checklstring(L, 1, &size), *letters = luaL_optstring(L, 2, "");
  uint32_t options = 0;
  for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
    if (strchr(letters, flags[i].letter) != NULL)
      options |= flags[i].option;
  struct regex *regex = lua_newuserdata(L, sizeof *regex + size);
  *regex = (struct regex){.size = size};
  memcpy(regex->pattern, pattern, size);
  luaL_getmetatable(L, regex_name);
  lua_setmetatable(L, -2);
  if (!has_room_for_code(L))
    script_collect_for(L, has_room_for_code); /* or it is interpreted */
  int error = regex_init(regex, engine, options, &place);
  if (error != 0 && regex->code == NULL)
    return push_regex_error(L, error, place);
  uint32_t captures = 0;
  pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &captures);
  if (regex->data == NULL || captures > CAPTURES_MOST)
    return luaL_error(L, regex->data == NULL ? "not enough memory" : "a regex has more than 200 captures");
  return 1;
}

/* `require` gives the module to anybody. */
static struct regex *check_regex(lua_State *L) {
  struct regex *regex = luaL_checkudata(L, 1, regex_name);
  luaL_argcheck(L, regex->data != NULL, 1, "a regex expected");
  return regex;
}

static int push_regex_failure(lua_State *L, int code) {
  if (code == PCRE2_ERROR_NOMATCH)
    return 0;
  lua_pushnil(L);
  if (code == PCRE2_ERROR_NOMEMORY)
    lua_pushliteral(L, "no memory");
  else if (code <= PCRE2_ERROR_UTF8_ERR1 && code >= PCRE2_ERROR_UTF8_ERR21)
    lua_pushliteral(L, "not UTF-8");
  else
    lua_pushliteral(L, "match limit");
  return 2;
}

static bool regex_ask_watchdog(void *context) { return script_watch_is_over(context); }

/* exec(code, subject, offset): start, end (both as string.find has them), then the captures, nil for those that took
 * no part. Nothing when there is no match; nil and "match limit", "not UTF-8" or "no memory". The offset counts from 0.
 */
static int pcre_exec(lua_State *L) {
  struct regex *regex = check_regex(L);
  size_t size;
  const char *subject = luaL_checklstring(L, 2, &size);
  lua_Number from = luaL_checknumber(L, 3);
  uint32_t options = lua_toboolean(L, 4) ? PCRE2_NOTEMPTY_ATSTART : 0;
  if (!(from >= 0 && from <= (lua_Number)size))
    return 0;
  struct regex_question question = {regex_ask_watchdog, L};
  int count = regex_match(regex, engine_of(L), subject, size, (size_t)from, options, &question);
  if (count == PCRE2_ERROR_CALLOUT)
    return script_watch_stop(L);
  if (count < 0)
    return push_regex_failure(L, count);
  const PCRE2_SIZE *places = pcre2_get_ovector_pointer(regex->data);
  uint32_t captures = pcre2_get_ovector_count(regex->data);
  luaL_checkstack(L, (int)captures + 4, "too many captures");
  lua_pushnumber(L, (lua_Number)places[0] + 1);
  lua_pushnumber(L, (lua_Number)places[1]);
  for (uint32_t i = 1; i < captures; i++) {
    if (i < (uint32_t)count && places[2 * i] != PCRE2_UNSET && places[2 * i] <= places[2 * i + 1])
      lua_pushlstring(L, subject + places[2 * i], places[2 * i + 1] - places[2 * i]);
    else
      lua_pushnil(L);
  }
  return (int)captures + 1;
}

/* names(code): { name = number, … }, and how many captures there are. */
static int pcre_names(lua_State *L) {
  const struct regex *regex = check_regex(L);
  uint32_t count = 0, size = 0;
  PCRE2_SPTR table = NULL;
  pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &count);
  pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
  pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, (void *)&table);
  lua_createtable(L, 0, (int)count);
  for (uint32_t i = 0; i < count; i++, table += size) {
    lua_pushinteger(L, table[0] << 8 | table[1]);
    lua_setfield(L, -2, (const char *)table + 2);
  }
  lua_pushinteger(L, (lua_Integer)pcre2_get_ovector_count(regex->data) - 1);
  return 2;
}

int luaopen_moongate_pcre(lua_State *L) {
  static const luaL_Reg functions[] = {{"compile", pcre_compile}, {"exec", pcre_exec}, {"names", pcre_names}};
  luaL_newmetatable(L, regex_name);
  lua_pushcfunction(L, on_regex_collected);
  lua_setfield(L, -2, "__gc");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_newtable(L); /* metatable, module */
  push_engine(L);
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    lua_pushvalue(L, -1);
    lua_pushcclosure(L, functions[i].func, 1);
    lua_setfield(L, -3, functions[i].name);
  }
  lua_pop(L, 1);
  return 1;
}
