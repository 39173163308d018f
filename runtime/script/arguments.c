/* SPDX-License-Identifier: MIT
 *
 * Reading durations and targets; their forms are those of route files (lua/moongate/schema). The binding that runs is
 * found by its function among those that there are. */
#include "script/arguments.h"
#include "script/parts.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double LONGEST_SECONDS = 1e9;

/* "socket:send"; NULL when it is none of ours. */
static const char *running_name(lua_State *L, bool *is_method) {
  lua_Debug frame;
  if (!lua_getstack(L, 0, &frame) || !lua_getinfo(L, "f", &frame))
    return NULL;
  lua_CFunction running = lua_tocfunction(L, -1);
  lua_pop(L, 1);
  for (const struct argument_names *names = script_parts.names; running != NULL && names->prefix != NULL; names++)
    for (const luaL_Reg *function = names->functions; function->name != NULL; function++)
      if (function->func == running) {
        *is_method = names->are_methods;
        return lua_pushfstring(L, "%s%s", names->prefix, function->name);
      }
  return NULL;
}

int argument_error(lua_State *L, int index, const char *message) {
  bool is_method = false;
  const char *name = running_name(L, &is_method);
  if (name == NULL)
    return luaL_argerror(L, index, message);
  if (is_method && index == 1)
    return luaL_error(L, "bad argument self to '%s' (%s): is it called with a colon?", name, message);
  return luaL_error(L, "bad argument #%d to '%s' (%s)", is_method ? index - 1 : index, name, message);
}

void argument_check(lua_State *L, bool ok, int index, const char *wanted) {
  if (!ok)
    argument_error(L, index, lua_pushfstring(L, "%s expected, got %s", wanted, luaL_typename(L, index)));
}

const char *argument_check_string(lua_State *L, int index, size_t *size) {
  argument_check(L, lua_isstring(L, index), index, "string");
  return lua_tolstring(L, index, size);
}

lua_Number argument_opt_number(lua_State *L, int index, lua_Number otherwise) {
  if (lua_isnoneornil(L, index))
    return otherwise;
  argument_check(L, lua_isnumber(L, index), index, "number");
  return lua_tonumber(L, index);
}

/* The key is on top. */
static void unknown_option(lua_State *L, int index, const char *const *known) {
  luaL_Buffer list;
  if (lua_type(L, -1) == LUA_TNUMBER)
    lua_pushfstring(L, "[%s]", lua_tostring(L, -1));
  else
    lua_pushstring(L, lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, -1));
  luaL_buffinit(L, &list);
  for (size_t i = 0; known[i] != NULL; i++) {
    luaL_addstring(&list, i > 0 ? ", " : "");
    luaL_addstring(&list, known[i]);
  }
  luaL_pushresult(&list); /* what it is called, list */
  argument_error(
      L, index, lua_pushfstring(L, "there is no option '%s'; there are: %s", lua_tostring(L, -2), lua_tostring(L, -1)));
}

void argument_check_options(lua_State *L, int index, const char *const *known) {
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pop(L, 1);
    const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    size_t i = 0;
    while (known[i] != NULL && strcmp(known[i], key) != 0)
      i++;
    if (known[i] == NULL)
      unknown_option(L, index, known);
  }
}

static bool unit_seconds(const char *unit, double *seconds) {
  static const struct {
    const char *name;
    double seconds;
  } units[] = {{"", 1}, {"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
  for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
    if (strcmp(units[i].name, unit) == 0) {
      *seconds = units[i].seconds;
      return true;
    }
  }
  return false;
}

const char *argument_text(lua_State *L, int index) {
  size_t size;
  const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &size) : NULL;
  return text != NULL && strlen(text) == size ? text : NULL;
}

bool argument_duration(lua_State *L, int index, double *seconds) {
  if (lua_type(L, index) == LUA_TNUMBER) {
    *seconds = lua_tonumber(L, index);
  } else if (lua_type(L, index) == LUA_TSTRING) {
    const char *text = argument_text(L, index);
    char *end;
    double unit;
    if (text == NULL || *text < '0' || *text > '9')
      return false;
    *seconds = strtod(text, &end);
    if (!unit_seconds(end, &unit))
      return false;
    *seconds *= unit;
  } else {
    return false;
  }
  if (!(*seconds >= 0))
    return false;
  if (*seconds > LONGEST_SECONDS)
    *seconds = LONGEST_SECONDS;
  return true;
}

uint64_t argument_check_ms(lua_State *L, int index) {
  double seconds = 0;
  if (!argument_duration(L, index, &seconds))
    argument_error(L, index, "a duration expected: seconds, or a text such as \"500ms\" or \"5m\"");
  return (uint64_t)ceil(seconds * 1000 - 1e-6);
}

static bool parse_port(const char *text, int *port) {
  char *end;
  if (*text < '0' || *text > '9')
    return false;
  long value = strtol(text, &end, 10);
  *port = (int)value;
  return *end == '\0' && value >= 1 && value <= 65535;
}

/* Copies "[::1]" as "::1". */
static bool copy_host(const char *host, size_t length, char text[ARGUMENT_HOST_SIZE]) {
  if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
    host++;
    length -= 2;
  }
  if (length == 0 || length >= ARGUMENT_HOST_SIZE)
    return false;
  memcpy(text, host, length);
  text[length] = '\0';
  return true;
}

static bool parse_target(const char *text, struct argument_target *target) {
  if (strncmp(text, "unix:", 5) == 0) {
    target->port = -1;
    return text[5] != '\0' && copy_host(text, strlen(text), target->host);
  }
  const char *colon = strrchr(text, ':');
  if (colon == NULL || !parse_port(colon + 1, &target->port))
    return false;
  if (text[0] != '[' && memchr(text, ':', (size_t)(colon - text)) != NULL)
    return false; /* an IPv6 address, where the port is a guess */
  return copy_host(text, (size_t)(colon - text), target->host);
}

static bool port_at(lua_State *L, int index, int *port) {
  double number = lua_tonumber(L, index);
  *port = number >= 1 && number <= 65535 ? (int)number : 0;
  return *port > 0 && (double)*port == number;
}

static bool read_pair(lua_State *L, int host_index, int port_index, struct argument_target *target) {
  const char *host = argument_text(L, host_index);
  if (host != NULL && strncmp(host, "unix:", 5) == 0 && lua_isnil(L, port_index))
    return parse_target(host, target);
  return host != NULL && port_at(L, port_index, &target->port) && copy_host(host, strlen(host), target->host);
}

void argument_check_target(lua_State *L, int index, int port_index, struct argument_target *target) {
  bool ok = false;
  int port;
  if (port_index != 0 && !lua_isnoneornil(L, port_index)) {
    if (!port_at(L, port_index, &port))
      argument_error(L, port_index, "a port expected, a number from 1 to 65535");
    ok = read_pair(L, index, port_index, target);
  } else if (lua_type(L, index) == LUA_TSTRING) {
    const char *text = argument_text(L, index);
    ok = text != NULL && parse_target(text, target);
  } else if (lua_istable(L, index)) {
    lua_getfield(L, index, "host");
    lua_getfield(L, index, "port");
    ok = read_pair(L, lua_gettop(L) - 1, lua_gettop(L), target);
    lua_pop(L, 2);
  }
  if (!ok)
    argument_error(L, index,
                   "where to connect to expected: \"host:port\", \"unix:/path\", a host and a port from 1 to 65535");
}
