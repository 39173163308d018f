/* SPDX-License-Identifier: MIT
 *
 * native.explain: its options, from a table in
 * Lua to plain C. The strings stay on the stack, and so alive, until the function returns. */
#include "native/bind_native.h"

#include "native/host.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

enum { LIMIT_DEFAULT = 1000, LIMIT_MOST = 100000 };

static void check_question_options(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_checkstack(L, LUA_MINSTACK, "options");
}

static const char *text_option(lua_State *L, const char *name) {
  size_t length;
  lua_getfield(L, 1, name);
  if (lua_isnil(L, -1))
    return NULL;
  if (lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "%s: expected a string, got %s", name, luaL_typename(L, -1));
  const char *text = lua_tolstring(L, -1, &length);
  if (strlen(text) != length)
    luaL_error(L, "%s: a NUL in it", name);
  return text;
}

/* A number from 0 to `most`, or `otherwise` where there is none. */
static double number_option(lua_State *L, const char *name, double most, double otherwise) {
  lua_getfield(L, 1, name);
  double number = lua_isnil(L, -1) ? otherwise : luaL_checknumber(L, -1);
  if (!lua_isnil(L, -1) && !(number >= 0 && number <= most))
    luaL_error(L, "%s: expected a number from 0 to %f, got %f", name, most, number);
  lua_pop(L, 1);
  return number;
}

static bool flag_option(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  bool flag = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return flag;
}

static int port_option(lua_State *L) { return (int)number_option(L, "port", UINT16_MAX, -1); }

static int tls_option(lua_State *L) {
  lua_getfield(L, 1, "tls");
  int tls = lua_isnil(L, -1) ? -1 : lua_toboolean(L, -1);
  lua_pop(L, 1);
  return tls;
}

int native_explain_choice(lua_State *L) {
  const struct native_module *native = native_of(L);
  check_question_options(L);
  struct native_explain question = {.offline = flag_option(L, "offline"),
                                    .config = text_option(L, "config"),
                                    .routes = text_option(L, "routes"),
                                    .port = port_option(L),
                                    .address = text_option(L, "address"),
                                    .domain = text_option(L, "domain"),
                                    .client_ip = text_option(L, "client_ip"),
                                    .tls_version = text_option(L, "tls_version"),
                                    .tls = tls_option(L),
                                    .limit = (size_t)number_option(L, "limit", LIMIT_MOST, LIMIT_DEFAULT)};
  if (!native->ops->explain)
    return native_raise_not_running(L);
  return native_return(L, native->ops->explain(native->context, &question));
}
