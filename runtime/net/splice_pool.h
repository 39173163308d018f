/* SPDX-License-Identifier: MIT
 *
 * Kernel pipes for splice(2): pooled, because making one costs more than what it saves on a short transfer, and capped,
 * because without CAP_SYS_RESOURCE a user has 16,384 pages of them in all (pipe(7)). One thread owns a pool. */
#pragma once

#include "core/list.h"
#include "core/loop.h"

#include <stdbool.h>

struct splice_pool;

struct splice_pipe {
  struct splice_pipe *next;   /* in the pool's list of free ones */
  struct list_node place;     /* among those in use */
  struct splice_pipe **owner; /* of one in use: what points to it */
  int read_fd, write_fd;
  clock_ms last_used; /* who uses it writes here when bytes go in */
};

enum { SPLICE_POOL_KEEP_MS = 5000 };

/* At most `limit` pipes exist at a time, of descriptors below `descriptors` (0: any); one that nobody has used for
 * SPLICE_POOL_KEEP_MS is closed, also where it is held, if it is empty: what is quiet keeps none from what is not. NULL
 * without memory. */
struct splice_pool *splice_pool_new(struct loop *loop, unsigned limit, int descriptors);
void splice_pool_free(struct splice_pool *pool); /* after all pipes were put back; NULL is nothing */

/* Fills `*owner`, which stays where it is until the pipe is put back; NULL when there is none to be had: then copy.
 * From a timer of the loop it becomes NULL again when the pipe was not used for a while. */
void splice_pool_get(struct splice_pool *pool, struct splice_pipe **owner);

/* `empty`: all that went in came out; else the pipe is closed. */
void splice_pool_put(struct splice_pool *pool, struct splice_pipe *pipe, bool empty);

/* How many exist, in use or kept. */
unsigned splice_pool_count(const struct splice_pool *pool);
