/* SPDX-License-Identifier: MIT
 *
 * What the loader remembers of each file: the version that is live, with all that it was made of, and why the file
 * failed last. */
#pragma once

#include "loading/load.h"
#include "loading/load_claims.h"
#include "loading/load_modules.h"
#include "routing/route.h"
#include "script/version.h"

/* A good version of a file. Immutable once it is made, but for `key`, `stamp`, `stored` and `is_copy`. Shared with what
 * was loaded. */
struct file_version {
  atomic_uint references;
  char *file;
  char *text;
  size_t size;
  uint64_t hash;          /* of the text */
  uint64_t key;           /* of what the config says to it */
  uint64_t state_key;     /* … and of that what its functions can see: what its states are made by */
  uint64_t defaults_sum;  /* … and of `defaults` */
  uint64_t functions_sum; /* of the names of its functions, in the order of their slots */
  struct module_list modules;
  struct route **routes;
  size_t route_count;
  struct claims claims; /* of the routes */
  size_t function_count;
  struct script_version *version;
  unsigned number;
  double loaded_at;
  unsigned schema_id;         /* what the schema knows of its routes (schema_call.c) */
  struct fault_list warnings; /* about it alone */
  struct file_stamp stamp;    /* of the file: the loader's */
  bool stored;                /* its copy is under `state` … */
  bool is_copy;               /* … and is what it was read from, as the file was at fault */
};

/* Why a file failed, and from what. */
struct file_failure {
  bool is_known; /* false: it is run again, whatever has changed; `modules` stands all the same */
  size_t size;
  uint64_t hash, key;
  struct module_list modules;
  struct fault_list faults;
  struct fault_list named; /* its routes, with the lines of their names */
  struct blocking *lost;   /* the thread that it did not come back to; NULL: none */
};

/* A file that was told to be at fault (loader_exclude_file()). */
struct exclusion {
  unsigned times; /* 0: it was not */
  bool waits;
  struct fault fault; /* its file is empty */
};

struct file_memory {
  char *file;
  struct file_version *committed; /* NULL: none */
  struct file_version *fresh;     /* what a load has made of it that has not been committed; NULL: none */
  struct file_failure failure;
  uint64_t fault_sum;        /* the sum of the faults that the last load told; 0: none */
  uint64_t warning_sum;      /* the sum of the warnings about it and other files … */
  struct fault_list between; /* … and they */
  struct exclusion exclusion;
  uint64_t vanished_ms; /* by the monotonic clock: a load did not find it then, for the first time; 0: it is there */
  bool copy_is_lost;    /* its last good version did not come back either */
};

struct memory {
  struct file_memory *files; /* in the order of their names */
  size_t count;
};

void memory_clear(struct memory *memory);
void memory_clear_exclusions(struct memory *memory);

/* NULL: nothing is known of it. */
struct file_memory *memory_find(const struct memory *memory, const char *file);

/* As memory_find(), but makes it. NULL without memory. Moves the others. */
struct file_memory *memory_enter(struct memory *memory, const char *file);

/* Lets go of what is fresh of the file, and of the file when nothing else is known of it. */
void memory_forget_fresh(struct memory *memory, const char *file);

/* Leaves only the files of `loaded`. */
void memory_retain(struct memory *memory, const struct loaded_routes *loaded);

const struct exclusion *memory_exclusion(const struct memory *memory, const char *file); /* NULL: none */

void file_failure_clear(struct file_failure *failure);

/* One reference. NULL without memory. */
struct file_version *file_version_new(const char *file);
struct file_version *file_version_ref(struct file_version *good);
void file_version_unref(struct file_version *good); /* NULL is nothing */

/* Puts the records of `before` in the place of those in `known` that say the same. */
void file_version_share_routes(struct file_version *good, const struct file_version *before);
