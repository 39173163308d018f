/* SPDX-License-Identifier: MIT
 *
 * A loaded version of a route file: its routes, and, where it has functions, a Lua state of its own for each worker
 * with the functions resolved by key. Reference-counted: the table holds one, a connection holds none (a running
 * handler pins its state). */
#pragma once

#include "script/state.h"

#include <lua.h>
#include <stdatomic.h>
#include <stddef.h>

/* Where a function stands: "route name" and "action.handler". Slots of routes (routing/route.h) are indices of these.
 */
struct script_function {
  char *route;
  char *field;
};

struct script_version {
  atomic_uint references;
  atomic_uint living; /* of its states, those that have retired and still run tasks. Any thread may look */
  char *file;         /* base name: "site.lua" */
  char *path;
  uint64_t hash;   /* of its bytes */
  unsigned number; /* counts the file's versions (loaded_file.version_number) */
  struct script_function *functions;
  size_t function_count;
  unsigned state_count;         /* one a worker; 0 without functions */
  bool is_borrowed;             /* its state is the spec's own, which outlives it (load_value.c) */
  struct script_state **states; /* by worker number - 1. Touched by that worker only, once the version is live */
  int **references_of;          /* [worker - 1][slot]: registry references of the functions */
  uint32_t *use_of;             /* by worker number - 1, and its: the place in script_worker.uses, plus 1 */
  uint64_t generation;          /* the control thread's: of the last table that had it */
};

struct script_version *script_version_ref(struct script_version *version);

/* The last reference frees it: only when no worker uses its states any more (they unref the states on their own threads
 * first, script_version_retire()). */
void script_version_unref(struct script_version *version);

/* Worker number `worker`'s state; NULL when there is none, or none any more. */
struct script_state *script_version_state(const struct script_version *version, unsigned worker);

/* On a worker's thread: it is done with the version; its state goes when its last task has ended. */
void script_version_retire(struct script_version *version, unsigned worker);

/* Pushes function `slot` on `L`, a coroutine of that worker's state. */
void script_version_push(struct script_version *version, unsigned worker, int slot, lua_State *L);
