/* SPDX-License-Identifier: MIT
 *
 * Loading: the config and the route files, from text to compiled routes. User code runs here, each file in a state
 * of its own under the watchdog; what it returns is copied, as plain data with marks where functions stand, into the
 * loader's trusted state, where the schema (lua/moongate/schema.lua) checks and normalises it. Runs on a thread that
 * carries no traffic. */
#pragma once

#include "connection/worker.h"
#include "core/error.h"
#include "core/log.h"
#include "routing/table.h"

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
  size_t count;
};

void fault_list_clear(struct fault_list *list);

/* "routes/site.lua:3: route "api": match.ports: …", without what does not apply. */
void fault_format(const struct fault *fault, char *text, size_t size);

struct config {
  char *path;       /* NULL: there is no file, all defaults */
  char *routes;     /* directory */
  unsigned workers; /* 1 to 256 */
  char *control;    /* the socket, the default place if none is named; NULL: this user has none (no XDG_RUNTIME_DIR) */
  char *state;      /* the directory, likewise; NULL: this user has none (no HOME) */
  char *admin_listen; /* "127.0.0.1:9090"; NULL: off */
  char *admin_token;  /* NULL: writing calls only on the control socket */
  enum log_level log_level;
  enum log_format log_format;
  struct route_timeouts timeouts;
  struct worker_settings settings; /* splice_pipes is one worker's share */
  char *dns_servers;               /* what settings.dns.servers points to */
  char **jit_files;                /* base names of route files that run compiled */
  size_t jit_file_count;
  struct fault_list warnings; /* what is accepted and has no effect in this version */
};

struct config_overrides { /* from the command line; NULL or 0: not given */
  const char *config;
  const char *routes;
  unsigned workers;
};

struct loader;

/* `library`: see script_options. */
struct loader *loader_new(const struct log *log, const char *library, struct error *error);
void loader_free(struct loader *loader);

/* Reads and checks the config. 0 and `config` filled (config_clear() releases it), or -EINVAL with `faults` (appended
 * to; nothing to release in `config` then), or -ENOMEM. */
int loader_read_config(struct loader *loader, const struct config_overrides *overrides, struct config *config,
                       struct fault_list *faults);
void config_clear(struct config *config);

/* What became of one file. */
struct loaded_file {
  char *file; /* base name */
  char *path;
  bool ok;
  struct route **routes; /* one reference each; none when not ok */
  size_t route_count;
  struct script_version *version; /* one reference; NULL without functions */
};

struct loaded_routes {
  struct loaded_file *files; /* in the order of their names */
  size_t file_count;
  struct fault_list faults; /* of all files, and between files (names that stand twice) */
  struct fault_list warnings;
};

/* Loads every *.lua of the directory (no hidden files, no editors' backups), with states for `workers` workers (0: to
 * check only). `number_of` gives a route's name its number for statistics and its round-robin cursor; NULL when only
 * checking. A directory that can't be read is a fault. 0 when there is no fault, else -EINVAL (the files that are ok
 * are there all the same), or -ENOMEM. `loaded` is filled and to be cleared in each case. */
int loader_load_routes(struct loader *loader, const struct config *config, unsigned workers,
                       void (*number_of)(void *context, const char *name, unsigned *number, atomic_uint **cursor),
                       void *context, struct loaded_routes *loaded);
void loaded_routes_clear(struct loaded_routes *loaded);
