/* SPDX-License-Identifier: MIT
 *
 * How the schema (lua/moongate/schema/routes.lua) is asked about route files. routes.check(value, options) is about one
 * file: `options` has file, path, source (its text), inherited and defaults (the config's, as config.lua wrote
 * them), names (empty), refused (why there is no value) and breathe. routes.admit(known, names) is about several:
 * `known` is what check's answer had for it, kept here in the trusted state, `names` the index of those before. */
#include "loading/load_private.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <string.h>

static int breathe(lua_State *L) {
  pace_breathe(lua_touserdata(L, lua_upvalueindex(1)));
  return 0;
}

static void push_options(lua_State *L, const struct file_load *load) {
  const struct config *config = load->run->config;
  lua_newtable(L);
  lua_pushstring(L, load->file);
  lua_setfield(L, -2, "file");
  lua_pushstring(L, load->source.path);
  lua_setfield(L, -2, "path");
  lua_pushlstring(L, load->source.text, load->source.size);
  lua_setfield(L, -2, "source");
  lua_pushstring(L, config->inherited);
  lua_setfield(L, -2, "inherited");
  lua_pushstring(L, config->defaults);
  lua_setfield(L, -2, "defaults");
  lua_newtable(L);
  lua_setfield(L, -2, "names");
  if (load->run->loader->pace) {
    lua_pushlightuserdata(L, load->run->loader->pace);
    lua_pushcclosure(L, breathe, 1);
    lua_setfield(L, -2, "breathe");
  }
}

int schema_call_routes(const struct file_load *load, lua_State *L, struct error *error) {
  struct script_state *trusted = load->run->loader->trusted;
  struct error refused;
  int status = loader_push_function(load->run->loader, L, "moongate.schema.routes", "check", error);
  if (status < 0)
    return status;
  bool has_value = transfer_value(load->state->L, -1, L, load->run->pace, &refused) == 0;
  if (!has_value)
    lua_pushnil(L);
  push_options(L, load); /* [check, value, options] */
  if (!has_value) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, refused.place);
    lua_setfield(L, -2, "place");
    lua_pushstring(L, refused.message);
    lua_setfield(L, -2, "message");
    lua_setfield(L, -2, "refused");
  }
  return script_call(trusted, L, 2, 1, error); /* [answer] */
}

void schema_keep_version(struct loader *loader, lua_State *L, int answer, unsigned *id) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, loader->schema_versions);
  lua_getfield(L, answer, "known"); /* [knowns, known] */
  *id = ++loader->last_schema_id;
  lua_rawseti(L, -2, (int)*id);
  lua_pop(L, 1);
}

/* [loader, knowns, left] */
static void schema_keep(lua_State *L, const struct file_version *good) {
  if (!good)
    return;
  lua_rawgeti(L, 2, (int)good->schema_id);
  lua_rawseti(L, 3, (int)good->schema_id);
}

static int sweep(lua_State *L) {
  struct loader *loader = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, loader->schema_versions);
  lua_newtable(L); /* [loader, knowns, left] */
  for (size_t i = 0; i < loader->memory.count && lua_istable(L, 2); i++) {
    schema_keep(L, loader->memory.files[i].committed);
    schema_keep(L, loader->memory.files[i].fresh);
  }
  if (loader->schema_versions == LUA_NOREF)
    loader->schema_versions = luaL_ref(L, LUA_REGISTRYINDEX);
  else
    lua_rawseti(L, LUA_REGISTRYINDEX, loader->schema_versions);
  return 0;
}

int schema_sweep_versions(struct loader *loader) { return script_protect(loader->trusted, sweep, loader); }

struct forgetting {
  struct loader *loader;
  unsigned id;
};

static int forget_version(lua_State *L) {
  const struct forgetting *forgetting = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, forgetting->loader->schema_versions);
  lua_pushnil(L);
  lua_rawseti(L, -2, (int)forgetting->id);
  return 0;
}

void schema_forget_version(struct loader *loader, unsigned id) {
  struct forgetting forgetting = {loader, id};
  script_protect(loader->trusted, forget_version, &forgetting); /* without memory the next load forgets it */
}

struct line_search {
  struct loader *loader;
  unsigned id;
  const char *route, *field;
  int line;
};

static int find_field_line(lua_State *L) {
  struct line_search *search = lua_touserdata(L, 1);
  struct error error;
  if (loader_push_function(search->loader, L, "moongate.schema.packed", "line", &error) < 0)
    return 0;
  lua_rawgeti(L, LUA_REGISTRYINDEX, search->loader->schema_versions);
  lua_rawgeti(L, -1, (int)search->id);
  lua_remove(L, -2);
  if (!lua_istable(L, -1))
    return 0;
  lua_pushstring(L, search->route);
  lua_pushstring(L, search->field); /* [search, line, kept, route, field] */
  if (script_call(search->loader->trusted, L, 3, 1, &error) == 0)
    search->line = (int)lua_tointeger(L, -1);
  return 0;
}

int schema_find_line(struct loader *loader, unsigned id, const char *route, const char *field) {
  struct line_search search = {.loader = loader, .id = id, .route = route, .field = field};
  script_protect(loader->trusted, find_field_line, &search);
  return search.line;
}

int loader_find_line(struct loader *loader, const struct loaded_file *file, const char *route, const char *field) {
  return file->good ? schema_find_line(loader, file->good->schema_id, route, field) : 0;
}

static int begin_index(lua_State *L) {
  struct loader *loader = lua_touserdata(L, 1);
  lua_newtable(L);
  if (loader->index == LUA_NOREF)
    loader->index = luaL_ref(L, LUA_REGISTRYINDEX);
  else
    lua_rawseti(L, LUA_REGISTRYINDEX, loader->index);
  return 0;
}

int schema_index_begin(struct loader *loader) { return script_protect(loader->trusted, begin_index, loader); }

struct admission {
  struct loader *loader;
  unsigned id;
  const char *path;
  struct fault_list *faults, *warnings;
  int status;
};

static int schema_admit(lua_State *L) {
  struct admission *admission = lua_touserdata(L, 1);
  struct error error;
  admission->status =
      loader_push_function(admission->loader, L, "moongate.schema.routes", "admit", &error); /* [admission, admit] */
  if (admission->status == 0) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, admission->loader->schema_versions);
    lua_rawgeti(L, -1, (int)admission->id);
    lua_remove(L, -2);
    assert(lua_istable(L, -1));
    lua_rawgeti(L, LUA_REGISTRYINDEX, admission->loader->index); /* [admission, admit, known, index] */
    admission->status = script_call(admission->loader->trusted, L, 2, 1, &error);
  }
  if (admission->status < 0) {
    fault_list_add(admission->faults, admission->path, 0, NULL, NULL, error.message);
    return 0;
  }
  int result = lua_gettop(L);
  lua_getfield(L, result, "faults");
  lua_getfield(L, result, "warnings");
  fault_list_add_from(admission->faults, admission->path, L, result + 1);
  fault_list_add_from(admission->warnings, admission->path, L, result + 2);
  return 0;
}

int schema_index_admit(struct loader *loader, unsigned id, const char *path, struct fault_list *faults,
                       struct fault_list *warnings) {
  struct admission admission = {.loader = loader, .id = id, .path = path, .faults = faults, .warnings = warnings};
  int status = script_protect(loader->trusted, schema_admit, &admission);
  return status < 0 ? -ENOMEM : admission.status == -ENOMEM ? -ENOMEM : 0;
}
