/* SPDX-License-Identifier: MIT
 *
 * From the normal form in Lua to C: who may connect, for how long, and as whom a target sees it; of a route and of the
 * config. What an address is, net/ip_set says. */
#include "loading/load_private.h"

#include "loading/fields.h"

#include <errno.h>

/* The list at `key` as a set; NULL when it is empty. */
static int compile_ip_set(lua_State *L, int t, const char *key, const char *place, struct ip_set **set,
                          struct error *error) {
  int list = field_table(L, t, key);
  size_t count = lua_objlen(L, list);
  if (count == 0) {
    lua_pop(L, 1);
    return 0;
  }
  const char **texts = lua_newuserdata(L, count * sizeof *texts);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, list, (int)i + 1);
    texts[i] = lua_tostring(L, -1);
    lua_pop(L, 1); /* the list keeps it */
  }
  *set = ip_set_new(texts, count, error);
  lua_settop(L, list - 1);
  if (*set)
    return 0;
  if (error->code != ENOMEM)
    error_set_place(error, "%s", place);
  return -error->code;
}

/* nil: not said. */
static bool has_field(lua_State *L, int t, const char *key) {
  lua_getfield(L, t, key);
  bool has = !lua_isnil(L, -1);
  lua_pop(L, 1);
  return has;
}

static void compile_limits(lua_State *L, int t, const char *per_ip, struct address_limits *limits) {
  limits->has_connections = has_field(L, t, per_ip);
  limits->connections = (uint32_t)field_number(L, t, per_ip);
  limits->has_rate = has_field(L, t, "connection_rate");
  if (!limits->has_rate)
    return;
  int rate = field_table(L, t, "connection_rate");
  limits->rate = (uint32_t)field_number(L, rate, "count");
  limits->window_ms = (uint64_t)field_number(L, rate, "window");
  lua_pop(L, 1);
}

int compile_security(lua_State *L, int t, struct route *route, struct error *error) {
  struct route_security *security = &route->security;
  int fields = field_table(L, t, "security");
  int status = compile_ip_set(L, fields, "ip_allow", "security.ip_allow", &security->allow, error);
  if (status == 0)
    status = compile_ip_set(L, fields, "ip_block", "security.ip_block", &security->block, error);
  security->max_connections = (uint32_t)field_number(L, fields, "max_connections");
  security->authorize_function = field_slot(L, fields, "authorize");
  compile_limits(L, fields, "max_connections_per_ip", &security->limits);
  lua_settop(L, fields - 1);
  return status;
}

void compile_keep_alive(lua_State *L, int t, struct route_keep_alive *keep_alive) {
  *keep_alive = (struct route_keep_alive){.multiplier = 1, .function = ROUTE_NO_FUNCTION};
  if (!has_field(L, t, "keep_alive"))
    return;
  int fields = field_table(L, t, "keep_alive");
  keep_alive->treatment = (enum keep_alive_treatment)field_word(L, fields, "treatment", keep_alive_words);
  keep_alive->multiplier = (unsigned)field_number(L, fields, "multiplier");
  keep_alive->function = field_slot(L, fields, "keep_alive_function");
  lua_settop(L, fields - 1);
}

int compile_proxy_send(lua_State *L, int action, struct route_proxy_send *send, struct error *error) {
  int fields = field_table(L, action, "send_proxy_protocol");
  size_t size;
  send->version = (unsigned)field_number(L, fields, "version");
  lua_getfield(L, fields, "tlvs");
  const char *tlvs = lua_tolstring(L, -1, &size);
  int status = 0;
  if (size > 0) {
    send->tlvs = malloc(size);
    if (send->tlvs)
      memcpy(send->tlvs, tlvs, size);
    else
      status = error_set(error, ENOMEM, "not enough memory");
    send->tlvs_size = size;
  }
  lua_settop(L, fields - 1);
  return status;
}

int compile_policy(lua_State *L, int t, struct policy *policy, struct error *error) {
  static const char *const accepts[] = {
      [PROXY_ACCEPT_NEVER] = "never", [PROXY_ACCEPT_AUTO] = "auto", [PROXY_ACCEPT_MUST] = "must", NULL};
  int fields = field_table(L, t, "security");
  int status = compile_ip_set(L, fields, "ip_allow", "security.ip_allow", &policy->allow, error);
  if (status == 0)
    status = compile_ip_set(L, fields, "ip_block", "security.ip_block", &policy->block, error);
  fields = field_table(L, t, "limits");
  policy->connections = (uint32_t)field_number(L, fields, "connections");
  compile_limits(L, fields, "connections_per_ip", &policy->limits);
  policy->block_ms = (uint64_t)field_number(L, fields, "block_for");
  policy->idle_near_cap_ms = (uint64_t)field_number(L, fields, "idle_near_cap");
  policy->ipv6_prefix = (unsigned)field_number(L, fields, "ipv6_prefix");
  fields = field_table(L, t, "proxy_protocol");
  policy->accept = (enum proxy_accept)field_word(L, fields, "accept", accepts);
  policy->proxy_timeout_ms = (uint64_t)field_number(L, fields, "timeout");
  if (status == 0)
    status = compile_ip_set(L, fields, "trusted", "proxy_protocol.trusted", &policy->trusted, error);
  fields = field_table(L, t, "log");
  policy->access_log = field_boolean(L, fields, "access");
  lua_settop(L, fields - 4);
  return status;
}
