/* SPDX-License-Identifier: MIT
 *
 * From a route's normal form in Lua to the record in C. The schema has checked everything that can be checked there;
 * what only C can tell (whether an address is one) is an error here. */
#include "loading/load_private.h"

#include "loading/fields.h"
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

static void compile_domains(lua_State *L, int match, struct route *route) {
  lua_getfield(L, match, "domains");
  int domains = lua_gettop(L);
  size_t count = lua_istable(L, domains) ? lua_objlen(L, domains) : 0;
  if (count > 0)
    route->domains = compile_allocate(L, count, sizeof *route->domains);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, domains, (int)i + 1);
    compile_text(L, &route->domains[i], luaL_checkstring(L, -1));
    route->domain_count = i + 1;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

static int compile_clients(lua_State *L, int match, struct route *route, struct error *error) {
  int top = lua_gettop(L);
  lua_getfield(L, match, "client_ip");
  if (lua_istable(L, -1)) {
    size_t count = lua_objlen(L, -1);
    /* Memory of Lua's, so that a raise can't lose it; the strings are the table's. */
    const char **texts = lua_newuserdata(L, (count + 1) * sizeof *texts);
    for (size_t i = 0; i < count; i++) {
      lua_rawgeti(L, top + 1, (int)i + 1);
      texts[i] = luaL_checkstring(L, -1);
      lua_pop(L, 1);
    }
    route->client_ips = ip_set_new(texts, count, error);
    if (!route->client_ips) {
      error_set_place(error, "match.client_ip");
      return -EINVAL;
    }
  }
  lua_settop(L, top);
  return 0;
}

static int compile_address(lua_State *L, int match, struct route *route, struct error *error) {
  lua_getfield(L, match, "address");
  const char *address = lua_tostring(L, -1);
  int status = 0;
  if (address && endpoint_from_literal(&route->address, address, 0) < 0) {
    status = error_set(error, EINVAL, "expected an address such as \"127.0.0.1\" or \"::1\", got \"%s\"", address);
    error_set_place(error, "match.address");
  }
  lua_pop(L, 1);
  return status;
}

static int compile_match(lua_State *L, int t, struct route *route, struct error *error) {
  int match = field_table(L, t, "match");
  route->when_function = field_slot(L, match, "when");
  route->tls_versions = (unsigned)field_number(L, match, "tls_version");
  compile_domains(L, match, route);
  int status = compile_address(L, match, route, error);
  if (status == 0)
    status = compile_clients(L, match, route, error);
  if (status < 0)
    return status;
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
  lua_settop(L, match - 1);
  return 0;
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

/* A slot, or one of the words. */
static void compile_balance(lua_State *L, int action, struct route *route) {
  static const char *const words[] = {[BALANCE_ROUND_ROBIN] = "round-robin",
                                      [BALANCE_LEAST_CONNECTIONS] = "least-connections",
                                      [BALANCE_SOURCE_HASH] = "source-hash",
                                      NULL};
  route->balance_function = field_slot(L, action, "balance_function");
  if (route->balance_function != ROUTE_NO_FUNCTION) {
    route->balance = BALANCE_FUNCTION;
    return;
  }
  lua_getfield(L, action, "balance");
  if (lua_isstring(L, -1))
    route->balance = (enum route_balance)luaL_checkoption(L, -1, NULL, words);
  lua_pop(L, 1);
}

static int compile_action(lua_State *L, int t, struct route *route, struct error *error) {
  int action = field_table(L, t, "action");
  route->handler_function = field_slot(L, action, "handler");
  route->target_function = field_slot(L, action, "target_function");
  route->action = route->handler_function != ROUTE_NO_FUNCTION ? ROUTE_HANDLER : ROUTE_FORWARD;
  route->half_open = field_boolean(L, action, "half_open");
  route->engine = (enum route_engine)field_word(L, action, "engine", route_engine_words);
  compile_balance(L, action, route);
  lua_getfield(L, action, "tls");
  route->tls = lua_istable(L, -1) ? ROUTE_TLS_PASSTHROUGH : ROUTE_TLS_NONE;
  lua_pop(L, 1);
  if (compile_proxy_send(L, action, &route->proxy_send, error) < 0)
    return -ENOMEM;
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
  lua_settop(L, action - 1);
  if (count > 0 && (route_build_rotation(route) < 0 || route_count_loads(route) < 0))
    return error_set(error, ENOMEM, "not enough memory");
  return 0;
}

void compile_timeouts(lua_State *L, int index, struct route_timeouts *timeouts) {
  int fields = field_table(L, index, "timeouts");
#define FIELD(name) timeouts->name = (uint64_t)field_number(L, fields, #name)
  FIELD(connect);
  FIELD(initial_data);
  FIELD(idle);
  FIELD(lifetime);
  FIELD(half_closed);
  FIELD(linger);
  FIELD(shutdown);
#undef FIELD
  int pair = field_table(L, fields, "half_dead");
  timeouts->half_dead = (uint64_t)field_number(L, pair, "plain");
  timeouts->half_dead_tls = (uint64_t)field_number(L, pair, "tls");
  pair = field_table(L, fields, "stuck");
  timeouts->stuck = (uint64_t)field_number(L, pair, "plain");
  timeouts->stuck_tls = (uint64_t)field_number(L, pair, "tls");
  lua_settop(L, fields - 1);
}

/* What is for people. */
static void compile_notes(lua_State *L, int t, struct route *route) {
  lua_getfield(L, t, "description");
  if (lua_isstring(L, -1) && lua_tostring(L, -1)[0])
    compile_text(L, &route->description, lua_tostring(L, -1));
  lua_getfield(L, t, "tags");
  int tags = lua_gettop(L);
  size_t count = lua_istable(L, tags) ? lua_objlen(L, tags) : 0;
  if (count > 0)
    route->tags = compile_allocate(L, count, sizeof *route->tags);
  for (; route->tag_count < count; route->tag_count++) {
    lua_rawgeti(L, tags, (int)route->tag_count + 1);
    compile_text(L, &route->tags[route->tag_count], lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  lua_settop(L, tags - 2);
}

int compile_route(lua_State *L, int index, const char *file, struct route **compiled, struct error *error) {
  int t = index < 0 ? lua_gettop(L) + 1 + index : index;
  luaL_checkstack(L, 16, "too deep");
  struct route *route = *compiled = route_new();
  if (!route)
    return error_set(error, ENOMEM, "not enough memory");
  lua_getfield(L, t, "name");
  compile_text(L, &route->name, lua_tostring(L, -1));
  lua_pop(L, 1);
  compile_text(L, &route->file, file);
  route->line = (int)field_number(L, t, "line");
  lua_getfield(L, t, "on_change");
  if (lua_isstring(L, -1)) {
    route->on_change = (enum route_on_change)luaL_checkoption(L, -1, NULL, route_on_change_words);
  }
  lua_pop(L, 1);
  route->priority = (int)field_number(L, t, "priority");
  compile_notes(L, t, route);
  int status = compile_match(L, t, route, error);
  if (status == 0)
    status = compile_action(L, t, route, error);
  if (status == 0)
    status = compile_security(L, t, route, error);
  if (status == 0) {
    compile_timeouts(L, t, &route->timeouts);
    compile_keep_alive(L, t, &route->keep_alive);
  }
  return status;
}
