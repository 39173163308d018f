/* SPDX-License-Identifier: MIT
 *
 * From a route's normal form in Lua to the record in C. The schema has checked it: what is an error here as well
 * is only what the machine decides, and what would be a difference between the two. */
#include "loading/load_private.h"

#include "core/text.h"
#include "loading/digest.h"
#include "loading/fields.h"
#include "loading/option_read.h"
#include "routing/balance.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

/* A raise leaves everything reachable from the route, which the caller releases. */

static void compile_text(lua_State *L, char **copy, const char *text) {
  *copy = strdup(text);
  if (!*copy)
    luaL_error(L, "not enough memory");
}

static void *compile_allocate(lua_State *L, size_t count, size_t size) {
  void *block = calloc(count > 0 ? count : 1, size);
  if (!block)
    luaL_error(L, "not enough memory");
  return block;
}

static int compile_address(lua_State *L, int match, struct route *route, struct error *error) {
  lua_getfield(L, match, "address");
  const char *address = lua_tostring(L, -1);
  int status = 0;
  if (address && endpoint_from_literal(&route->address, address, 0) < 0) { /* the schema knows no interfaces */
    status = error_set(error, EINVAL, "\"%s\" names an interface that is not there", address);
    error_set_place(error, "match.address");
  }
  lua_pop(L, 1);
  return status;
}

static void compile_ports(lua_State *L, int match, struct route *route) {
  int ports = field_table(L, match, "ports");
  size_t count = lua_objlen(L, ports);
  route->ports = compile_allocate(L, count, sizeof *route->ports);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, ports, (int)i + 1);
    int range = lua_gettop(L);
    route->ports[i].from = (uint16_t)field_number(L, range, "from");
    route->ports[i].to = (uint16_t)field_number(L, range, "to");
    lua_pop(L, 1);
  }
  route->port_count = count;
  lua_pop(L, 1);
}

static void compile_target(lua_State *L, int t, struct route_target *target) {
  lua_getfield(L, t, "host");
  if (lua_isstring(L, -1)) {
    compile_text(L, &target->host, lua_tostring(L, -1));
    ip_address_from_literal(&target->address, target->host);
  }
  lua_pop(L, 1);
  target->port = (uint16_t)field_number(L, t, "port");
  target->preserve_port = field_boolean(L, t, "preserve");
  target->weight = (unsigned)field_number(L, t, "weight");
  target->host_function = field_slot(L, t, "host_function");
  target->port_function = field_slot(L, t, "port_function");
}

/* What is done, and where to, when the options have been read. */
static int compile_action(lua_State *L, int action, struct route *route, struct error *error) {
  route->action = route->handler_function != ROUTE_NO_FUNCTION ? ROUTE_HANDLER : ROUTE_FORWARD;
  if (route->balance_function != ROUTE_NO_FUNCTION)
    route->balance = BALANCE_FUNCTION;
  lua_getfield(L, action, "tls");
  route->tls = lua_istable(L, -1) ? ROUTE_TLS_PASSTHROUGH : ROUTE_TLS_NONE;
  lua_pop(L, 1);
  int targets = field_table(L, action, "targets");
  size_t count = lua_objlen(L, targets);
  if (count > 0)
    route->targets = compile_allocate(L, count, sizeof *route->targets);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, targets, (int)i + 1);
    route->target_count = i + 1;
    compile_target(L, lua_gettop(L), &route->targets[i]);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  if (count > 0 && (route_build_rotation(route) < 0 || route_count_loads(route) < 0))
    return error_set(error, ENOMEM, "not enough memory");
  return 0;
}

int compile_route(lua_State *L, int index, const char *file, struct route **compiled, struct error *error) {
  int t = index < 0 ? lua_gettop(L) + 1 + index : index;
  luaL_checkstack(L, 16, "too deep");
  struct route *route = *compiled = route_new();
  if (!route)
    return error_set(error, ENOMEM, "not enough memory");
  compile_text(L, &route->file, file);
  route->line = (int)field_number(L, t, "line");
  lua_pushnil(L); /* where it stands is nothing that it says */
  lua_setfield(L, t, "line");
  route->digest = digest_of_value(L, t, text_hash(file, strlen(file), 0));
  int status = options_read(&route_options, L, t, route, error);
  int match = field_table(L, t, "match"), action = field_table(L, t, "action");
  if (status == 0)
    status = compile_address(L, match, route, error);
  compile_ports(L, match, route);
  if (status == 0)
    status = compile_action(L, action, route, error);
  lua_settop(L, match - 1);
  return status;
}
