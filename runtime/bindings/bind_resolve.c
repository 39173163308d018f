/* SPDX-License-Identifier: MIT
 *
 * moongate.resolve: a name's addresses, from the worker's resolver; and, for lua/moongate/luasocket/, an address's
 * name. */
#include "bindings/bind_moongate.h"
#include "luasocket/socket.h"
#include "names/resolve.h"
#include "script/arguments.h"

#include <errno.h>
#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>

struct resolving {
  struct script_wait wait;
  struct resolve_request *request;
  struct resolve_result result; /* of what was answered at once */
};

static int push_addresses(lua_State *L, void *context) {
  const struct resolve_result *result = context;
  if (result->status != 0) {
    lua_pushnil(L);
    lua_pushstring(L, socket_error_text(result->status));
    return 2;
  }
  lua_createtable(L, (int)result->count, 0);
  for (unsigned i = 0; i < result->count; i++) {
    struct ip_address address;
    char text[ADDRESS_TEXT_SIZE];
    ip_address_from_sockaddr(&address, (const struct sockaddr *)&result->addresses[i].storage);
    lua_pushstring(L, ip_address_format(&address, text));
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static void on_name_resolved(void *context, const struct resolve_result *result) {
  struct resolving *resolving = context;
  resolving->result = *result;
  if (resolving->wait.task == NULL)
    return;
  task_resume_with(&resolving->wait, push_addresses, &resolving->result);
  free(resolving);
}

static void on_resolve_cancel(struct script_wait *wait) {
  struct resolving *resolving = (struct resolving *)(void *)((char *)wait - offsetof(struct resolving, wait));
  resolve_cancel(resolving->request);
  free(resolving);
}

int core_resolve(lua_State *L) {
  argument_check(L, lua_type(L, 1) == LUA_TSTRING, 1, "a name");
  struct script_task *task = task_check(L);
  const char *name = argument_text(L, 1);
  if (name == NULL)
    return push_addresses(L, &(struct resolve_result){.status = -EINVAL});
  if (task->state->place->dialer == NULL)
    return luaL_error(L, "resolve is not there in this place");
  struct resolving *resolving = calloc(1, sizeof *resolving);
  if (resolving == NULL)
    return luaL_error(L, "out of memory");
  resolving->request = resolve_start(task->state->place->dialer->resolver, name, on_name_resolved, resolving);
  if (resolving->request == NULL) {
    struct resolve_result result = resolving->result;
    free(resolving);
    return push_addresses(L, &result);
  }
  return task_wait(L, &resolving->wait, on_resolve_cancel);
}

struct naming {
  struct script_wait wait;
  struct resolve_reverse *reverse;
  int status;
  const char *name; /* valid while it is told */
};

static int push_address_name(lua_State *L, void *context) {
  const struct naming *naming = context;
  if (naming->status == 0) {
    lua_pushstring(L, naming->name);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, socket_error_text(naming->status));
  return 2;
}

static void on_address_named(void *context, int status, const char *name) {
  struct naming *naming = context;
  naming->status = status;
  naming->name = name;
  task_resume_with(&naming->wait, push_address_name, naming);
  free(naming);
}

static void on_naming_cancel(struct script_wait *wait) {
  struct naming *naming = (struct naming *)(void *)((char *)wait - offsetof(struct naming, wait));
  resolve_reverse_cancel(naming->reverse);
  free(naming);
}

/* core.name_of(address): its name; nil and why there is none. */
int core_name_of(lua_State *L) {
  struct ip_address address;
  struct script_task *task = task_check(L);
  const char *text = argument_text(L, 1);
  if (text == NULL || !ip_address_from_literal(&address, text))
    return push_address_name(L, &(struct naming){.status = -EINVAL});
  if (task->state->place->dialer == NULL)
    return luaL_error(L, "names are not there in this place");
  struct naming *naming = calloc(1, sizeof *naming);
  if (naming != NULL)
    naming->reverse = resolve_reverse_start(task->state->place->dialer->resolver, &address, on_address_named, naming);
  if (naming == NULL || naming->reverse == NULL) {
    free(naming);
    return luaL_error(L, "out of memory");
  }
  return task_wait(L, &naming->wait, on_naming_cancel);
}
