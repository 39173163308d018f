/* SPDX-License-Identifier: MIT
 *
 * The context that handlers and functions of routes get: a fresh table about the connection, and what may be done with
 * it (context:forward). */
#include "bindings/bind_context.h"
#include "connection/connection.h"
#include "connection/proxied.h"
#include "net/proxy_protocol.h"
#include "script/arguments.h"
#include "script/worker_script.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static const char type_name[] = "moongate.context";

/* The run whose context the table at 1 is. Raises for another connection's, and outside of one. */
static struct script_run *check_run(lua_State *L) {
  argument_check(L, lua_istable(L, 1), 1, "a context");
  struct script_task *task = task_enter(L);
  struct script_run *run = task->run;
  char id[CONNECTION_ID_SIZE];
  lua_getfield(L, 1, "connection_id");
  const char *name = lua_tostring(L, -1);
  if (run == NULL || run->exchange == NULL || name == NULL || strcmp(name, exchange_id(run->exchange, id)) != 0)
    luaL_error(L, "this is the context of another connection: only its own handler may use it");
  lua_pop(L, 1);
  return run;
}

/* context:forward(target) does not return: the task ends, and hooks.c hands the connection on. */
static int context_forward(lua_State *L) {
  struct script_run *run = check_run(L);
  struct argument_target target;
  argument_check_target(L, 2, 3, &target);
  struct script_task *task = task_check(L);
  if (!run->is_handler || task != run->task)
    return luaL_error(L,
                      "forward is for the handler itself: call it there, not in a function that the handler spawned");
  if (run->socket == NULL || !script_run_has_client(run))
    return luaL_error(
        L, "can't forward: the handler has closed the client, ended its sending side, or has it in a pipe()");
  free(run->forward_host); /* of a call that could not end the handler where it stood */
  run->forward_host = strdup(target.host);
  if (run->forward_host == NULL)
    return luaL_error(L, "out of memory");
  run->forward_port = target.port;
  return task_leave(L);
}

const luaL_Reg context_methods[] = {{"forward", context_forward}, {NULL, NULL}};

static void push_context_metatable(lua_State *L) {
  if (!luaL_newmetatable(L, type_name))
    return;
  lua_createtable(L, 0, 1);
  luaL_register(L, NULL, context_methods);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "moongate.context");
  lua_setfield(L, -2, "__metatable");
}

static void set_string(lua_State *L, const char *name, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, name);
}

/* The protocols that the client offers by ALPN, in its order. */
static void set_alpn(lua_State *L, const struct sniffed *sniffed) {
  const uint8_t *bytes = sniffed_alpn(sniffed);
  lua_newtable(L); /* context, alpn */
  for (size_t at = 0, i = 1; at < sniffed->alpn_size; at += 1U + bytes[at], i++) {
    lua_pushlstring(L, (const char *)bytes + at + 1, bytes[at]); /* context, alpn, protocol */
    lua_rawseti(L, -2, (int)i);
  }
  lua_setfield(L, -2, "alpn");
}

static void set_sniffed(lua_State *L, const struct sniffed *sniffed) {
  set_string(L, "domain", sniffed_domain(sniffed));
  set_string(L, "tls_version", tls_version_label(sniffed->version));
  set_alpn(L, sniffed);
}

/* { ip =, port =, tlvs = { [type] = bytes } } */
static void push_proxy(lua_State *L, const struct proxied *proxied) {
  char hop[ADDRESS_TEXT_SIZE];
  struct proxy_tlv tlv;
  size_t at = 0;
  lua_createtable(L, 0, 3);
  set_string(L, "ip", ip_address_format(&proxied->hop, hop));
  set_number(L, "port", proxied->hop.port);
  lua_newtable(L); /* [proxy, tlvs] */
  while (proxy_tlv_next(proxied->tlvs, proxied->tlvs_size, &at, &tlv)) {
    lua_pushlstring(L, (const char *)tlv.value, tlv.size);
    lua_rawseti(L, -2, tlv.type);
  }
  lua_setfield(L, -2, "tlvs");
}

void script_push_context(lua_State *L, const struct exchange *exchange) {
  const struct connection *connection = exchange->connection;
  const struct route *route = exchange_route(exchange);
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE];
  lua_createtable(L, 0, connection->sniffed != NULL ? 9 : 6);
  set_string(L, "connection_id", connection_id(connection, id));
  set_string(L, "client_ip", ip_address_format(&connection->client_address, client));
  set_number(L, "client_port", connection->client_address.port);
  set_number(L, "port", connection->port);
  set_string(L, "route", route != NULL ? route->name : NULL);
  set_number(L, "time", clock_wall(connection->worker->loop.clock));
  if (connection->sniffed != NULL)
    set_sniffed(L, connection->sniffed);
  if (connection->proxied != NULL) {
    push_proxy(L, connection->proxied);
    lua_setfield(L, -2, "proxy");
  }
  script_lift_limit(L);
  push_context_metatable(L);
  script_restore_limit(L);
  lua_setmetatable(L, -2);
}
