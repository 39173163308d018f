/* SPDX-License-Identifier: MIT
 *
 * moongate.shared(name): the dictionaries that all workers and all files see, and their methods. None of them waits. */
#include "bindings/bind_moongate.h"
#include "script/arguments.h"
#include "script/scheduler.h"
#include "script/shared.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static const char metatable_name[] = "moongate.shared";

/* In the registry: the dictionaries that the state knows, by name. */
static const char list_key;

static struct dictionary *check_dictionary(lua_State *L) {
  struct dictionary **dictionary = lua_touserdata(L, 1);
  bool is_one = dictionary != NULL && lua_getmetatable(L, 1);
  if (is_one) {
    luaL_getmetatable(L, metatable_name);
    is_one = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  argument_check(L, is_one, 1, "a dictionary of moongate.shared");
  return *dictionary;
}

static clock_ms now_of(lua_State *L) {
  const struct script_state *state = script_state_of(L);
  if (state->place != NULL)
    return loop_now(state->place->loop);
  return state->options.log != NULL ? clock_coarse(state->options.log->clock) : clock_coarse(&(struct clock){0});
}

static int push_dictionary_failure(lua_State *L, int status) {
  lua_pushnil(L);
  lua_pushstring(L, status == -EEXIST   ? "exists"
                    : status == -ENOENT ? "not found"
                    : status == -EDOM   ? "not a number"
                    : status == -EINVAL ? "bad key"
                                        : "no memory");
  return 2;
}

static int push_dictionary_outcome(lua_State *L, int status) {
  if (status != 0)
    return push_dictionary_failure(L, status);
  lua_pushboolean(L, 1);
  return 1;
}

/* 0 or nil: for good. */
static uint64_t opt_ttl(lua_State *L, int index) { return lua_isnoneornil(L, index) ? 0 : argument_check_ms(L, index); }

static int push_copy(lua_State *L) {
  const struct dictionary_value *value = lua_touserdata(L, 1);
  lua_pushlstring(L, value->bytes, value->size);
  return 1;
}

static int shared_get(lua_State *L) {
  struct dictionary *dictionary = check_dictionary(L);
  struct dictionary_value value;
  size_t size;
  const char *key = argument_check_string(L, 2, &size);
  if (dictionary_get(dictionary, key, size, now_of(L), &value) != 0)
    return push_dictionary_failure(L, -ENOMEM);
  switch (value.kind) {
  case DICTIONARY_NIL:
    lua_pushnil(L);
    return 1;
  case DICTIONARY_BOOLEAN:
    lua_pushboolean(L, value.boolean);
    return 1;
  case DICTIONARY_NUMBER:
    lua_pushnumber(L, value.number);
    return 1;
  case DICTIONARY_STRING:
    break;
  }
  script_push_cleaner(L, push_copy);
  lua_pushlightuserdata(L, &value);
  int status = lua_pcall(L, 1, 1, 0);
  free(value.bytes);
  return status == 0 ? 1 : lua_error(L);
}

static void check_dictionary_value(lua_State *L, int index, struct dictionary_value *value) {
  *value = (struct dictionary_value){.kind = DICTIONARY_NIL};
  switch (lua_type(L, index)) {
  case LUA_TNIL:
    break;
  case LUA_TBOOLEAN:
    value->kind = DICTIONARY_BOOLEAN;
    value->boolean = lua_toboolean(L, index);
    break;
  case LUA_TNUMBER:
    value->kind = DICTIONARY_NUMBER;
    value->number = lua_tonumber(L, index);
    break;
  case LUA_TSTRING:
    value->kind = DICTIONARY_STRING;
    value->bytes = (char *)(uintptr_t)lua_tolstring(L, index, &value->size);
    break;
  default:
    argument_check(L, false, index, "nil, a boolean, a number or a string");
  }
}

static int dictionary_write(lua_State *L, enum dictionary_mode mode) {
  struct dictionary *dictionary = check_dictionary(L);
  struct dictionary_value value;
  unsigned evicted;
  size_t size;
  const char *key = argument_check_string(L, 2, &size);
  argument_check(L, lua_gettop(L) >= 3, 3, "a value");
  check_dictionary_value(L, 3, &value);
  return push_dictionary_outcome(
      L, dictionary_set(dictionary, key, size, &value, opt_ttl(L, 4), mode, now_of(L), &evicted));
}

static int shared_set(lua_State *L) { return dictionary_write(L, DICTIONARY_SET); }

static int shared_add(lua_State *L) { return dictionary_write(L, DICTIONARY_ADD); }

static int shared_incr(lua_State *L) {
  struct dictionary *dictionary = check_dictionary(L);
  unsigned evicted;
  size_t size;
  const char *key = argument_check_string(L, 2, &size);
  double by = argument_opt_number(L, 3, 1), init = argument_opt_number(L, 4, 0), result = 0;
  int status = dictionary_incr(dictionary, key, size, by, lua_isnoneornil(L, 4) ? NULL : &init, opt_ttl(L, 5),
                               now_of(L), &result, &evicted);
  if (status != 0)
    return push_dictionary_failure(L, status);
  lua_pushnumber(L, result);
  return 1;
}

static int shared_delete(lua_State *L) {
  struct dictionary *dictionary = check_dictionary(L);
  const struct dictionary_value nothing = {.kind = DICTIONARY_NIL};
  unsigned evicted;
  size_t size;
  const char *key = argument_check_string(L, 2, &size);
  return push_dictionary_outcome(
      L, dictionary_set(dictionary, key, size, &nothing, 0, DICTIONARY_SET, now_of(L), &evicted));
}

const luaL_Reg shared_methods[] = {
    {"get", shared_get},   {"set", shared_set},       {"add", shared_add},
    {"incr", shared_incr}, {"delete", shared_delete}, {NULL, NULL},
};

static struct dictionary *find_dictionary(lua_State *L, const char *name) {
  struct script_shared *shared = script_state_shared(script_state_of(L));
  int status = -ENOMEM;
  struct dictionary *dictionary = shared != NULL ? script_shared_dictionary(shared, name, &status) : NULL;
  if (dictionary == NULL && status == -ENOSPC)
    luaL_error(L, "moongate.shared: there are %d dictionaries already, as many as limits.shared_dictionaries allows",
               (int)script_shared_dictionary_limit(shared));
  if (dictionary == NULL)
    luaL_error(L, "moongate.shared: not enough memory");
  return dictionary;
}

/* The same name gives the same object. */
int core_shared(lua_State *L) {
  size_t size = 0;
  argument_check(L, lua_type(L, 1) == LUA_TSTRING, 1, "a name");
  const char *name = lua_tolstring(L, 1, &size);
  if (size == 0 || size > SHARED_NAME_MOST || strlen(name) != size)
    return argument_error(L, 1, "a name of 1 to 64 characters expected");
  lua_settop(L, 1);
  script_push_kept_table(L, &list_key);
  lua_pushvalue(L, 1);
  lua_rawget(L, 2); /* name, list, dictionary or nil */
  if (!lua_isnil(L, -1))
    return 1;
  struct dictionary *dictionary = find_dictionary(L, name);
  *(struct dictionary **)lua_newuserdata(L, sizeof(struct dictionary *)) = dictionary;
  script_push_methods(L, metatable_name, shared_methods);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, -2);
  lua_rawset(L, 2);
  return 1;
}
