/* SPDX-License-Identifier: MIT
 *
 * How options of each kind are read. What is there has its type already; what an address is, net/ip_set says. */
#include "loading/option_read.h"

#include "loading/digest.h"
#include "loading/fields.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

static char *copy_text(lua_State *L, int index) {
  char *copy = strdup(luaL_checkstring(L, index));
  if (!copy)
    luaL_error(L, "not enough memory");
  return copy;
}

/* Below, the value is on top of the stack, and stays there. */

static void read_text(lua_State *L, char **text) {
  const char *said = lua_tostring(L, -1); /* false: none */
  if (said && *said)
    *text = copy_text(L, -1);
}

static void read_texts(lua_State *L, char ***texts) {
  size_t *count = (size_t *)(texts + 1), all = lua_objlen(L, -1);
  if (all > 0 && !(*texts = calloc(all, sizeof **texts)))
    luaL_error(L, "not enough memory");
  while (*count < all) {
    lua_rawgeti(L, -1, (int)*count + 1);
    (*texts)[*count] = copy_text(L, -1);
    ++*count;
    lua_pop(L, 1);
  }
}

static int read_ip_set(lua_State *L, struct ip_set **set, struct error *error) {
  size_t count = lua_objlen(L, -1);
  if (count == 0)
    return 0;
  const char **texts = lua_newuserdata(L, count * sizeof *texts); /* [list, texts] */
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, -2, (int)i + 1);
    texts[i] = luaL_checkstring(L, -1);
    lua_pop(L, 1); /* the list keeps it */
  }
  *set = ip_set_new(texts, count, error);
  lua_pop(L, 1);
  return *set ? 0 : -error->code;
}

/* A number, or { count =, window = }. */
static void read_limit(lua_State *L, struct address_limit *limit) {
  limit->is_set = true;
  if (!lua_istable(L, -1)) {
    limit->count = (uint32_t)lua_tonumber(L, -1);
    return;
  }
  limit->count = (uint32_t)field_number(L, lua_gettop(L), "count");
  limit->window_ms = (uint64_t)field_number(L, lua_gettop(L), "window");
}

static void read_keep_alive(lua_State *L, struct route_keep_alive *keep_alive) {
  int fields = lua_gettop(L);
  keep_alive->treatment = (enum keep_alive_treatment)field_word(L, fields, "treatment", keep_alive_words);
  keep_alive->multiplier = (unsigned)field_number(L, fields, "multiplier");
  keep_alive->function = field_slot(L, fields, "keep_alive_function");
}

static void read_proxy_send(lua_State *L, struct route_proxy_send *send) {
  size_t size;
  send->version = (unsigned)field_number(L, lua_gettop(L), "version");
  lua_getfield(L, -1, "tlvs");
  const char *tlvs = luaL_checklstring(L, -1, &size);
  send->tlvs = size > 0 ? malloc(size) : NULL;
  if (size > 0 && !send->tlvs)
    luaL_error(L, "not enough memory");
  if (send->tlvs)
    memcpy(send->tlvs, tlvs, send->tlvs_size = size);
  lua_pop(L, 1);
}

static int read_value(const struct option *option, lua_State *L, void *field, struct error *error) {
  switch (option->kind) {
  case OPTION_BOOLEAN:
    *(bool *)field = lua_toboolean(L, -1);
    return 0;
  case OPTION_INTEGER:
    *(int *)field = (int)lua_tonumber(L, -1);
    return 0;
  case OPTION_UNSIGNED:
    *(unsigned *)field = (unsigned)lua_tonumber(L, -1);
    return 0;
  case OPTION_WIDE:
    *(uint64_t *)field = (uint64_t)lua_tonumber(L, -1);
    return 0;
  case OPTION_WORD:
    *(unsigned *)field = (unsigned)luaL_checkoption(L, -1, NULL, option->words);
    return 0;
  case OPTION_SLOT:
    *(int *)field = (int)lua_tointeger(L, -1) - 1; /* Lua counts from 1, and leaves out what isn't there */
    return 0;
  case OPTION_TEXT:
    read_text(L, field);
    return 0;
  case OPTION_TEXTS:
    read_texts(L, field);
    return 0;
  case OPTION_IP_SET:
    return read_ip_set(L, field, error);
  case OPTION_LIMIT:
    read_limit(L, field);
    return 0;
  case OPTION_KEEP_ALIVE:
    read_keep_alive(L, field);
    return 0;
  case OPTION_PROXY_SEND:
    read_proxy_send(L, field);
    return 0;
  }
  return 0;
}

/* Pushes what stands in the normal form, or nil. */
static void option_push(const struct option *option, lua_State *L, int t) {
  lua_pushvalue(L, t);
  for (const char *const *key = option->keys; *key && lua_istable(L, -1); key++) {
    lua_getfield(L, -1, *key);
    lua_remove(L, -2);
  }
}

int options_read(const struct options *options, lua_State *L, int t, void *record, struct error *error) {
  const struct option *at_fault = NULL;
  int status = 0;
  struct error further;
  for (size_t i = 0; i < options->count; i++) {
    const struct option *option = &options->options[i];
    option_push(option, L, t);
    bool is_said = !lua_isnil(L, -1) || option->kind == OPTION_SLOT;
    void *field = (char *)record + option->offset;
    int result = is_said ? read_value(option, L, field, at_fault ? &further : error) : 0;
    lua_pop(L, 1);
    if (result < 0 && !at_fault) {
      at_fault = option;
      status = result;
    }
  }
  if (status < 0 && status != -ENOMEM)
    error_set_place(error, "%s", at_fault->path);
  return status;
}

uint64_t options_digest(const struct options *options, lua_State *L, int t) {
  uint64_t digest = 0;
  for (size_t i = 0; i < options->count; i++) {
    if (!options->options[i].is_compared)
      continue;
    option_push(&options->options[i], L, t);
    digest = digest_of_value(L, -1, digest + i);
    lua_pop(L, 1);
  }
  return digest;
}
