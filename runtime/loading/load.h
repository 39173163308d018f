/* SPDX-License-Identifier: MIT
 *
 * Loading: the config and the route files, from text to compiled routes. User code runs here, each file in a state
 * of its own under the watchdog; what it returns is copied, as plain data with marks where functions stand, into the
 * loader's trusted state, where the schema (lua/moongate/schema.lua) checks and normalises it. Runs on a thread that
 * carries no traffic.
 *
 * The loader remembers what is live (loader_commit()), and loads only what has changed since: what has not is given out
 * again as it is, with its records, states and upvalues. */
#pragma once

#include "connection/worker.h"
#include "core/error.h"
#include "core/log.h"
#include "routing/policy.h"
#include "routing/table.h"
#include "script/shared.h"

#include <stdbool.h>
#include <stddef.h>

/* One thing that is wrong: {"file","line","route","field","message"}. Empty strings where it does not apply. */
struct fault {
  char *file;
  int line;
  char *route;
  char *field;
  char *message;
};

struct fault_list {
  struct fault *faults;
  size_t count, room;
};

void fault_list_clear(struct fault_list *list);

/* Appends a fault; strings are copied, NULL is "". 0 or -ENOMEM. */
int fault_list_add(struct fault_list *list, const char *file, int line, const char *route, const char *field,
                   const char *message);

/* Appends copies. 0 or -ENOMEM. */
int fault_list_append(struct fault_list *list, const struct fault_list *more);

/* A list in an order in which its faults are found, as long as it stays as it is. NULL without memory. */
struct value; /* script/value.h */
struct fault_index;
struct fault_index *fault_index_by_file(const struct fault_list *list);
struct fault_index *fault_index_by_content(const struct fault_list *list);
void fault_index_free(struct fault_index *index); /* NULL is nothing */

/* By file: those of that file, in the order of the list; what is there is valid up to *count. */
const struct fault *const *fault_index_of_file(const struct fault_index *index, const char *file, size_t *count);

/* By content: is one there that says the same? */
bool fault_index_has(const struct fault_index *index, const struct fault *fault, bool at_any_line);

/* "routes/site.lua:3: route "api": match.ports: …", without what does not apply. */
void fault_format(const struct fault *fault, char *text, size_t size);

/* The config's `diagnose`. */
struct diagnose_settings {
  uint64_t every_ms;           /* 0: never looked by itself */
  uint32_t connections, spike; /* 0: off */
  uint64_t old_ms;
  unsigned keep; /* files */
};

struct admin_settings {
  char *listen; /* "127.0.0.1:9090"; NULL: off */
  char *token;  /* NULL: reading needs none, and writing calls are answered on the control socket only */
  char *hosts;  /* names that Host may say, with commas between; NULL: none */
  bool write, public_metrics;
};

struct log_settings {
  enum log_level level;
  enum log_format format;
};

/* Those of `limits` that are the control thread's and the loader's. */
struct limit_settings {
  unsigned addresses, old_versions, gone_routes, log_lines, timers, open_files;
  uint64_t load_time_ms;
};

/* What the schema declares stands under the name that it has there (routing/option.h). */
struct config {
  char *path;       /* NULL: there is no file, all defaults */
  uint64_t hash;    /* of the file's text */
  uint64_t digest;  /* of what it says to route files: they are loaded anew when it changes */
  char *routes;     /* directory */
  const char *only; /* of it this file alone is looked at (`check`); the caller's. NULL: all */
  unsigned workers; /* 1 to 256 */
  char *control;    /* the socket, the default place if none is named; NULL: this user has none (no XDG_RUNTIME_DIR) */
  char *state;      /* the directory, likewise; NULL: this user has none (no HOME) */
  char *user, *group; /* whom to become; NULL: nobody else */
  bool has_nftables;  /* the file has a table of that name: CAP_NET_ADMIN is kept */
  struct admin_settings admin;
  struct log_settings log;
  struct route_timeouts timeouts;
  struct route_keep_alive keep_alive; /* without a function */
  struct route_proxy_send proxy_send; /* proxy_protocol.send: the version alone */
  struct policy *policy;              /* one reference */
  struct limit_settings limits;
  struct shared_limits shared;
  char *defaults;  /* the schema's own text of `defaults`, the partial route under every route; NULL: none */
  char *inherited; /* … and of what else routes take from the config */
  struct diagnose_settings diagnose;
  struct worker_settings settings;
  char **jit_files; /* base names of route files that run compiled */
  size_t jit_file_count;
  struct fault_list warnings; /* what is accepted and has no effect in this version */
};

struct config_overrides { /* from the command line; NULL or 0: not given */
  const char *config;
  const char *routes;
  unsigned workers;
};

struct loader;
struct blocking;
struct pace;

enum { ROUTE_FILE_NAME_LONGEST = 128 };

/* Whether a file of that name in the directory of routes is one: "site.lua"; not hidden ones, nor what editors leave
 * behind ("site.lua~", "#site.lua#", ".#site.lua"). */
bool route_file_is_read(const char *name);

/* Whether one of that name may be put or deleted: letters, digits, "-", "_" and "." only, and not too long. */
bool route_file_is_writable(const char *name);

/* One thread at a time may use it, each thread may. It keeps versions alive until it goes, which is after the workers
 * have gone. `library`: see script_options. */
struct loader *loader_new(const struct log *log, const char *library, struct error *error);
void loader_free(struct loader *loader);

/* Who uses it from now on. `pace` (may be NULL): it works in short stretches, on a thread that shares its core with
 * others. `blocking` (may be NULL): the thread can be given up while it runs the user's code; what it called returns
 * -ECANCELED then, when it comes back. Both outlive the use. */
void loader_use(struct loader *loader, struct pace *pace, struct blocking *blocking);

/* What a thread has been given up in. */
enum loader_loss { LOSS_FILE, LOSS_CANDIDATE, LOSS_CONFIG, LOSS_STORE, LOSS_OTHER };

/* The thread turns to what is no loading, `subject` for people, and may be given up in it (LOSS_OTHER): it uses the
 * loader no more until it has come back. The thread's; NULL: it can't be given up. */
struct blocking *loader_turn_from(struct loader *loader, const char *subject);

/* The thread that uses it is away and does not come back (as `take` of blocking_give_up()): the loader is the caller's.
 * A file is at fault with `message` from now on; the others are for the caller to tell. */
enum loader_loss loader_give_up(struct loader *loader, const char *message);

/* After that: nothing is being run. By the thread that uses it, which may be given up in it. */
void loader_unmark(struct loader *loader);

/* Keeps a mark under `state` on what is being run (loading/load_mark.h): what has ended an earlier process is at fault
 * from now on. 0, or a negative errno and `error`: then it does without. */
int loader_keep_mark(struct loader *loader, const char *state, struct error *error);

/* The same on its own thread, which may be given up in it. Also -ECANCELED. */
int loader_keep_mark_away(struct loader *loader, const char *state, struct error *error);

/* Is there one that can be written? */
bool loader_has_mark(const struct loader *loader);

/* The same in a file of the caller's, which outlives the loader. 0 or -ENOMEM. */
int loader_keep_mark_at(struct loader *loader, int fd);

/* The process is ended while files are loaded, and by none of them. Any thread. */
void loader_withdraw_mark(struct loader *loader);

/* Its thread's, for what else it does; NULL: no traffic waits. */
struct pace *loader_pace(const struct loader *loader);

/* What the states that it makes have in common; the loader's. */
struct script_shared *loader_shared(struct loader *loader);

/* Reads and checks the config. 0 and `config` filled (config_clear() releases it), or -EINVAL with `faults` (appended
 * to; nothing to release in `config` then), or -ENOMEM. Like all that runs files: -ECANCELED, see loader_use(). */
int loader_read_config(struct loader *loader, const struct config_overrides *overrides, struct config *config,
                       struct fault_list *faults);

/* The same, but when it fails `config` is filled all the same, for checking route files by, unless config->routes is
 * NULL: defaults stand in the place of what is wrong, and what a route leaves out is no fault where nobody knows the
 * config's `defaults`. config_clear() in each case. */
int loader_read_config_leniently(struct loader *loader, const struct config_overrides *overrides, struct config *config,
                                 struct fault_list *faults);
void config_clear(struct config *config);

/* Makes `config` what a reload makes of it: it takes of `next` what need not wait for the next start, and leaves it the
 * rest and what it had itself. */
void config_take(struct config *config, struct config *next);

/* What is served in the place of a file that is at fault. */
enum file_stand_in {
  FILE_NOTHING,
  FILE_LIVE,      /* the version that was committed last */
  FILE_LAST_GOOD, /* the copy that an earlier run left under `state` */
};

struct file_version;

/* What became of one file. What stands here belongs to `known`, of which this is a reference. */
struct loaded_file {
  char *file; /* base name */
  char *path;
  bool ok;           /* what is in the directory is what is served */
  bool same;         /* as committed: nothing of it has changed. Also of a live stand-in */
  bool fault_is_old; /* not ok, for the same reason as in the load before, from the same bytes */
  bool inherits;     /* not the same, since the config says something else, and no other version of the file */
  bool waits;        /* not ok, and it goes live as it is when it can (loader_exclude_file()) */
  bool vanished;     /* it is not in the directory, and served for a moment yet (loader_keep_vanished()) */
  enum file_stand_in stands_in; /* when not ok */
  struct file_version *good;    /* the rest is its; NULL, and the rest 0, when nothing is served for the file */
  struct route **routes;
  size_t route_count;
  struct script_version *version; /* NULL without functions */
  unsigned version_number;        /* counts what has been committed under this file name: 1 is the first */
  uint64_t hash;                  /* of its bytes */
  size_t size;                    /* in bytes */
  size_t function_count;
  double loaded_at;           /* seconds since the epoch */
  struct fault_list warnings; /* its own: about what is served, whenever that was loaded */
};

struct loaded_routes {
  struct loaded_file *files; /* in the order of their names */
  size_t file_count;
  bool listed;          /* the directory could be read: a file that is not here is gone */
  uint64_t vanished_ms; /* in so long the first of those that have vanished is gone; 0: there are none */
  char **gone;          /* base names of files that were committed and are not here any more */
  size_t gone_count;
  struct fault_list faults;   /* of all files, and between files (names that stand twice); of one file: by its path */
  struct fault_list warnings; /* that are new: of the files that were run by this load */
  char **module_files;        /* the modules that the files require, or would if they were there */
  size_t module_file_count;
};

typedef void loaded_number_of(void *context, const char *name, unsigned *number, struct route_shared **shared);

/* Loads every *.lua of the directory (no hidden files, no editors' backups), with states for `workers` workers (0: to
 * check only). A file is as committed, and is not run, when its bytes, those of the modules that it requires while it
 * is loaded, and what the config says to files are; a route without functions that says what it said keeps its record
 * in a file that has changed.
 *
 * A file at fault keeps what is live of it, or, when nothing is, the copy of its last good version under config->state;
 * its fault is told again by each load, but it is only run again when something of it has changed
 * (loader_look_anew()). A directory that can't be read is a fault, and all that is live stays. Of two files that
 * name a route alike, the one that has changed is at fault; when both have, the one that did not have the name; else
 * the later one.
 *
 * `number_of` gives a route's name its number for statistics and what its records share; NULL when only checking, or
 * for loaded_routes_number() to do it. 0 when there is no fault, else -EINVAL, or -ENOMEM (then only to be cleared).
 * `loaded` is filled and to be cleared in each case. */
int loader_load_routes(struct loader *loader, const struct config *config, unsigned workers,
                       loaded_number_of *number_of, void *context, struct loaded_routes *loaded);
void loaded_routes_clear(struct loaded_routes *loaded); /* any thread */

/* The place of the file of that base name; loaded->file_count: there is none. */
size_t loaded_routes_find(const struct loaded_routes *loaded, const char *file);

/* The line of a field ("match.ports") of a route of the file, as it was loaded last or is committed; 0: not known. */
int loader_find_line(struct loader *loader, const struct loaded_file *file, const char *route, const char *field);

struct script_state;

/* A value in the state of a spec, as `reference` in its registry. */
struct script_given {
  struct script_state *state;
  int reference;
  const char *path; /* what messages call it, as if it were a file */
  const char *text; /* where the lines of faults are looked up; NULL: nowhere */
};

/* Loads what a spec gives as if a file had returned it; its functions stay in the spec's state and run there, so that
 * worker 1, on the same thread, is the only one (`workers` 1, or 0 to check only). As loader_load_routes() otherwise,
 * but nothing is remembered. */
int loader_load_value(struct loader *loader, const struct config *config, const struct script_given *given,
                      unsigned workers, loaded_number_of *number_of, void *context, struct loaded_routes *loaded);

/* The config, likewise; as loader_read_config(). */
int loader_take_config(struct loader *loader, const struct script_given *given, struct config *config,
                       struct fault_list *faults);

/* Numbers the routes that have no number yet: those that no table has seen. */
void loaded_routes_number(struct loaded_routes *loaded, loaded_number_of *number_of, void *context);

/* What was loaded is live now: it is what the next load compares with. 0 or -ENOMEM, when nothing has happened. */
int loader_commit(struct loader *loader, const struct loaded_routes *loaded);

/* Writes a copy of what is live of each good file under `state`/last-good, with the modules that it required, where the
 * one that is there differs; removes those of files that are gone. A copy is whole or the one before, whenever the
 * process dies. After loader_commit(). 0 or a negative errno and `error`, of the first that failed; the others are
 * written all the same, and it in the next call. After `most_ms` (0: however long it takes) it stops and returns 1: the
 * next call goes on, for the disk takes its time with thousands of files, and what is to be loaded waits meanwhile. */
int loader_store_last_good(struct loader *loader, const char *state, uint64_t most_ms, struct error *error);

/* Until the next commit, loads take the file (base name) as being at fault with `message`, for the route (may be NULL):
 * a port can't be opened. Told once, its stand-in is served; told twice, nothing is. `waits`: it goes live without
 * being changed, once what it asks for can be had. 0 or -ENOMEM. */
int loader_exclude_file(struct loader *loader, const char *file, const char *route, const char *field,
                        const char *message, bool waits);

/* As a commit does. */
void loader_forget_exclusions(struct loader *loader);

/* Appends why files were at fault that were run and have not changed since. 0 or -ENOMEM. */
int loader_list_failures(const struct loader *loader, struct fault_list *faults);

/* From now on loads serve a file that is not there any more for so long yet, unless another has appeared with its
 * bytes, or says the name of a route of it. 0, as in the beginning: it is gone at once. */
void loader_keep_vanished(struct loader *loader, uint64_t ms);

/* Somebody asks for a reload: the next load reads all files, whatever the file system says of them, and runs those at
 * fault again, though nothing of them has changed, because what they read or ask may have. */
void loader_read_anew(struct loader *loader);

/* The line of a field of a route of the candidate that was checked last, while it has not gone live; 0: not known. */
int loader_find_candidate_line(struct loader *loader, const char *name, const char *route, const char *field);

/* Would `text` load as the file `name` ("site.lua"), beside what is live of the other files? Changes nothing. 0, or
 * -EINVAL with `faults` (appended to), or -ENOMEM. With 0, `*table` (`table` may be NULL) is one of its routes alone,
 * for looking at, not for workers; the caller unrefs it. What has been made of it is not made again when the next load
 * finds the same bytes in that file. */
int loader_check_candidate(struct loader *loader, const struct config *config, const char *name, const char *text,
                           size_t size, struct fault_list *faults, struct route_table **table);

/* Appends { file =, line =, route =, field =, message = } to `list` for each fault: those of one file (NULL: of all).
 */
void report_faults(struct value *list, const struct fault_list *faults, const char *file);

/* The same, for one that stands nowhere else. */
void report_fault(struct value *list, const char *file, int line, const char *route, const char *field,
                  const char *message);
