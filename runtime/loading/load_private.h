/* SPDX-License-Identifier: MIT
 *
 * What the files of the loader share: faults, reading text, running a user's file, copying what it returned, compiling
 * it. */
#pragma once

#include "core/file_stamp.h"
#include "loading/load.h"
#include "loading/load_mark.h"
#include "loading/load_memory.h"
#include "loading/load_modules.h"
#include "script/state.h"
#include "script/version.h"

#include <lua.h>

enum { LOAD_MAX_FILE = 8 * 1024 * 1024 };

/* A user's file, as it is being loaded. */
struct source {
  char *path; /* as people name it: "routes/site.lua" */
  char *text;
  size_t size;
  struct file_stamp stamp; /* of the file that it was read from */
};

/* What is loaded, and what for. */
enum load_kind {
  LOAD_NOTHING,
  LOAD_ROUTES,
  LOAD_COPY,
  LOAD_CANDIDATE,
  LOAD_CONFIG,
  LOAD_STORE,
  LOAD_MARK,
  LOAD_LIST,
  LOAD_OTHER,
};

/* What the thread that uses the loader is at: for who gives it up, while it is away (core/blocking.h). All of it is
 * that thread's. */
struct load_now {
  enum load_kind kind;
  const char *file, *path;     /* base name, and as people name it */
  const struct source *source; /* NULL: it is still being read */
  uint64_t key;                /* as in file_failure */
  const struct module_list *modules;
};

/* A config that a thread was lost in. */
struct config_loss {
  struct blocking *lost; /* the thread; NULL: none was */
  char *message;         /* as a fault; NULL: it was lost in reading the file, or there was no memory */
  struct file_stamp stamp;
  uint64_t hash;
};

struct loader {
  const struct log *log;
  char *library;
  struct script_state *trusted;
  struct pace *pace;         /* NULL: it does not give way */
  struct blocking *blocking; /* of the thread that uses it; NULL: that can't be given up */
  struct load_now now;
  struct load_mark *mark;     /* NULL: none is kept */
  struct blocking *list_lost; /* … in reading the directory of the route files */
  struct config_loss config_loss;
  struct blocking *store_lost;  /* the thread that was lost in writing last good versions; NULL: none */
  struct script_shared *shared; /* of the states that it makes */
  struct memory memory;
  char *routes; /* of the last load: the directory, from the root */
  char *module_path;
  int schema_versions; /* in the trusted registry: what the schema knows of the routes of each good version, by
                          schema_id */
  int index;           /* likewise: the routes of the files so far */
  unsigned last_schema_id;
  uint64_t last_lineage; /* of a route */
  char *candidate;       /* the file of the last candidate that would load: what is kept of it is one, whoever asks */
  uint64_t vanished_for_ms; /* loader_keep_vanished() */
  size_t lua_memory;        /* of the trusted state after its last collection, in bytes */
};

/* One load of all files, or of one candidate. */
struct load_run {
  struct loader *loader;
  struct blocking *blocking; /* our own thread's: the loader may be another's by the time that we come back */
  struct pace *pace;         /* likewise */
  enum load_kind kind;
  bool is_marked; /* the loader's mark has something */
  const struct config *config;
  unsigned workers;
  const char *module_path; /* the loader's */
  struct module_list cache;
  struct fault_list
      named; /* of the file that was run last, if it has faults: its routes, with the lines of their names */
  struct loaded_routes *loaded;
};

/* One route file on its way from text to compiled routes. */
struct file_load {
  struct load_run *run;
  const char *file;     /* base name */
  struct source source; /* borrowed */
  bool jit;
  unsigned workers;
  struct module_reader reader;
  struct script_state *state; /* the one that ran it first */
  bool is_borrowed;           /* … is the spec's */
  int root;                   /* in its registry: what the file returned */
  int status;                 /* of what ran protected */
  struct file_version *good;  /* what it becomes */
  struct script_function *functions;
  size_t function_count;
  struct fault_list *faults, *warnings;
};

/* 0 or -ENOMEM, when there is nothing to clear. */
int fault_make(struct fault *fault, const char *file, int line, const char *route, const char *field,
               const char *message);
void fault_clear(struct fault *fault);

/* Appends those of a list that the schema made ({ { route =, field =, message =, line = }, … }), at `index` of `L`.
 * Raises without memory. */
void fault_list_add_from(struct fault_list *list, const char *file, lua_State *L, int index);

/* Reads a regular file of at most LOAD_MAX_FILE bytes. `path` is copied. 0, or a negative errno and `error`, with
 * nothing to release. */
int source_read(struct source *source, const char *path, struct error *error);
void source_clear(struct source *source);

/* Runs the file in a user state, from within its script_protect(): leaves its first result on the stack of `L`, or adds
 * a fault and returns a negative errno; -ECANCELED, without a fault, when the thread has been given up meanwhile. */
int source_run(const struct source *source, struct script_state *state, lua_State *L, const struct log *log,
               struct blocking *blocking, struct fault_list *faults);

/* Copies the value at `index` of `from` on top of `to`, as plain data, in stretches of `pace` (or NULL); functions and
 * the like become marks (lua/moongate/schema/mark.lua). Raises in `to` only, where it runs protected; never calls what
 * is the user's. 0, or -EINVAL and `error`, its place the field that can't be copied; then `to` holds what it held. */
int transfer_value(lua_State *from, int index, lua_State *to, struct pace *pace, struct error *error);

/* The config that a spec gives as a table, on top of its state (checked as that of a file). 0, -EINVAL with faults, or
 * -ENOMEM. */
int load_config_value(struct loader *loader, struct script_state *state, struct config *config,
                      struct fault_list *faults);

/* Makes a route of its normal form (lua/moongate/schema/routes.lua) at `index` of `L`. `*compiled` is the caller's from
 * the first moment, also when Lua raises, as it does without memory. 0, or -EINVAL and `error`, its place the field. */
int compile_route(lua_State *L, int index, const char *file, struct route **compiled, struct error *error);

/* Has the schema check what the file returned, which stands on top of its state, and leaves the schema's answer on top
 * of `L`, of the trusted state; all between them goes through here. Raises without memory. 0, or -EINVAL and `error`.
 */
int schema_call_routes(const struct file_load *load, lua_State *L, struct error *error);

/* Keeps what the schema's answer at `answer` of `L` has for later under a new id. Raises without memory. */
void schema_keep_version(struct loader *loader, lua_State *L, int answer, unsigned *id);

/* Forgets what it kept of versions that the loader does not remember. 0 or -ENOMEM. */
int schema_sweep_versions(struct loader *loader);

/* Forgets what it kept of one version, which is not going to be committed. */
void schema_forget_version(struct loader *loader, unsigned id);

/* The line of a field ("match.ports") of a route; 0: not known. */
int schema_find_line(struct loader *loader, unsigned id, const char *route, const char *field);

/* What holds between files: schema_index_begin(), then schema_index_admit() for each, which enters its routes unless it
 * has a fault, because of those before it. 0 or a negative errno. */
int schema_index_begin(struct loader *loader);
int schema_index_admit(struct loader *loader, unsigned id, const char *path, struct fault_list *faults,
                       struct fault_list *warnings);

/* In the trusted state, while the load's state has what the file returned on its top: checks and compiles it; a light
 * userdata of the load is the argument, `status` the result. */
int load_check_value(lua_State *L);

/* Runs and compiles the file `file` from `source`, in the end `*known`. `given` (may be NULL) takes the place of
 * modules on the disk. 0, or a negative errno with faults added; then `tried` (may be NULL, else empty) has the
 * modules. -ECANCELED, from here and from all that calls it: the thread has been given up, and uses nothing any more
 * that is not its own, the loader least of all. */
int load_file(struct load_run *run, const char *file, const struct source *source, unsigned workers,
              const struct module_list *given, struct file_version **result, struct module_list *tried,
              struct fault_list *faults, struct fault_list *warnings);

/* The loader is at a file from now on, or at none. */
void load_now_begin(struct load_run *run, const struct load_now *now);
void load_now_end(struct load_run *run);

/* load_mark_set(), while the thread is away. 0 or -ECANCELED. */
int load_mark_away(struct load_run *run, const struct load_mark_text *text);
void load_now_store(struct loader *loader, const char *file);

/* What the config says to the file, as a number. */
uint64_t load_key(const struct load_run *run, const char *file, const char *path);

/* … and of that what a state is made by. */
uint64_t load_state_key(const struct load_run *run, const char *file, const char *path);
uint64_t load_defaults_sum(const struct config *config);

/* Serves the file as it is committed, its routes made anew from another config. 1; 0: it is another file, or can't be;
 * or a negative errno. */
int load_inherit(struct load_run *run, struct file_memory *memory, struct loaded_file *file,
                 const struct source *source, uint64_t key);

/* Is `good` (NULL is not) what loading `source` now would give? 1, 0, or -ECANCELED: the thread was given up. */
int load_is_same(struct load_run *run, const struct file_version *good, const struct loaded_file *file,
                 const struct source *source, uint64_t key);

/* Are the modules of the file, or of its copy, as they are on the disk? Likewise. */
int load_modules_are_same(struct load_run *run, enum load_kind kind, const struct loaded_file *file,
                          const struct module_list *modules);

/* It need not be made again when the same bytes are loaded next. */
void load_keep_fresh(struct file_memory *memory, struct file_version *good);

/* Makes the version of a file with functions: states for the further workers, the functions resolved in each. Takes
 * over the first state and the list of functions. 0 and known->version, or a negative errno with a fault. */
int file_load_states(struct file_load *load, unsigned workers);

/* The list of functions and the state, as far as file_load_states() has not taken them. False: the thread has been
 * given up meanwhile. */
bool file_load_release(struct file_load *load);

/* Decides what is served for the file, and runs it if need be. 0 or a negative errno; -ENOENT when it is gone. */
int load_one(struct load_run *run, struct loaded_file *file);

/* Lets go of what is served for the file, and has the next best stand in: what is live, a copy, nothing. `source` is
 * what failed (NULL: not known): a copy that is the same is no help. 0 or -ENOMEM. */
int load_stand_in(struct load_run *run, struct loaded_file *file, const struct source *source);

/* Serves `known` (NULL: nothing) for the file; takes over the reference. */
void loaded_file_serve(struct loaded_file *file, struct file_version *good);

/* Adds the files that have vanished a moment ago. 0 or -ENOMEM. */
int load_keep_vanished(struct load_run *run);

/* Adds a fault for each route of a file with faults that is named as one of another file. 0 or -ENOMEM. */
int load_tell_taken_names(struct load_run *run);

/* Finds the names that stand in two files, and has one of both stand back until there are none. 0 or -ENOMEM. */
int load_resolve_conflicts(struct load_run *run);

/* Marks the files that are new and name a route as another file's that is live: they `takes` a name. 0 or -ENOMEM. */
int load_mark_takers(const struct load_run *run, bool *takes);

/* Quick looks before that: false is certain. */
bool load_names_may_clash(const struct load_run *run);
bool load_matches_may_clash(const struct load_run *run);

/* Fills loaded->module_files. 0 or -ENOMEM. */
int load_list_modules(struct load_run *run);

/* Reads the copy of a file under run->config->state. 0 (`text` is malloc'ed), -ENOENT, -ECANCELED, or another negative
 * errno and `error`. */
int last_good_read(const struct load_run *run, const char *file, char **text, size_t *size, struct module_list *modules,
                   struct error *error);

/* Where it is: malloc'ed, NULL without memory. */
char *last_good_path(const char *state, const char *file);

/* Sets the loader's places, and the run up. 0 or -ENOMEM. */
int load_run_init(struct load_run *run, struct loader *loader, const struct config *config, unsigned workers,
                  struct loaded_routes *loaded);
int load_run_deinit(struct load_run *run, int status); /* that of the load; returns it, or -ECANCELED */

/* "directory/name"; NULL without memory. */
char *path_join(const char *directory, const char *name);

/* A state for user code as the config says, for a route file (`jit`) or the config itself. */
struct script_state *loader_user_state(const struct loader *loader, const struct config *config,
                                       const char *module_path, bool jit, struct error *error);

/* Pushes a function of a module of the library on `L`, of the trusted state. 0, or -EINVAL and `error`. */
int loader_push_function(const struct loader *loader, lua_State *L, const char *module, const char *function,
                         struct error *error);

/* dirname(3) that allocates; NULL without memory. */
char *path_directory(const char *path);
