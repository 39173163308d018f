/* SPDX-License-Identifier: MIT
 *
 * What the files of the loader share: faults, reading text, running a user's file, copying what it returned, compiling
 * it. */
#pragma once

#include "script/load.h"
#include "script/state.h"
#include "script/version.h"

#include <lua.h>

enum { LOAD_MAX_FILE = 8 * 1024 * 1024 };

/* A user's file, as it is being loaded. */
struct source {
  char *path; /* as people name it: "routes/site.lua" */
  char *text;
  size_t size;
};

struct loader {
  const struct log *log;
  char *library;
  struct script_state *trusted;
};

/* One route file on its way from text to compiled routes. */
struct file_load {
  const struct loader *loader;
  const struct config *config;
  const char *module_path;
  struct source source;
  bool jit;
  int names;                  /* in the trusted state's registry: which names are taken, and where */
  struct script_state *state; /* the one that ran it first */
  int root;                   /* in its registry: what the file returned */
  int status;                 /* of what ran protected */
  struct loaded_file *file;
  struct script_function *functions;
  size_t function_count;
  struct fault_list *faults, *warnings;
};

/* Appends a fault; strings are copied, NULL is "". 0 or -ENOMEM. */
int fault_list_add(struct fault_list *list, const char *file, int line, const char *route, const char *field,
                   const char *message);

/* Appends those of a list that the schema made ({ { route =, field =, message = }, … }), at `index` of `L`. Raises
 * without memory. */
void fault_list_add_from(struct fault_list *list, const char *file, lua_State *L, int index);

/* Reads a regular file of at most LOAD_MAX_FILE bytes. `path` is copied. 0, or a negative errno and `error`, with
 * nothing to release. */
int source_read(struct source *source, const char *path, struct error *error);
void source_clear(struct source *source);

/* Runs the file in a user state, from within its script_protect(): leaves its first result on the stack of `L`, or adds
 * a fault and returns a negative errno. */
int source_run(const struct source *source, struct script_state *state, lua_State *L, const struct log *log,
               struct fault_list *faults);

/* Copies the value at `index` of `from` on top of `to`, as plain data; functions and the like become marks
 * (lua/moongate/schema/mark.lua). Raises in `to` only, where it runs protected; never calls what is the user's. 0, or
 * -EINVAL and `error`, its place the field that can't be copied; then `to` holds what it held. */
int transfer_value(lua_State *from, int index, lua_State *to, struct error *error);

/* Makes a route of its normal form (lua/moongate/schema/routes.lua) at `index` of `L`. `*compiled` is the caller's from
 * the first moment, also when Lua raises, as it does without memory. 0, or -EINVAL and `error`, its place the field. */
int compile_route(lua_State *L, int index, const char *file, struct route **compiled, struct error *error);

/* The `timeouts` of a normal config or route at the absolute `index` of `L`. Raises without memory. */
void compile_timeouts(lua_State *L, int index, struct route_timeouts *timeouts);

/* Makes the version of a file with functions: states for the further workers, the functions resolved in each. Takes
 * over the first state and the list of functions. 0 and file->version, or a negative errno with a fault. */
int file_load_states(struct file_load *load, unsigned workers);

/* A state for user code as the config says, for a route file (`jit`) or the config itself. */
struct script_state *loader_user_state(const struct loader *loader, const struct config *config,
                                       const char *module_path, bool jit, struct error *error);

/* Pushes the function `check` of a module of the schema on `L`, of the trusted state. 0, or -EINVAL and `error`. */
int loader_push_check(const struct loader *loader, lua_State *L, const char *module, struct error *error);

/* dirname(3) that allocates; NULL without memory. */
char *path_directory(const char *path);
