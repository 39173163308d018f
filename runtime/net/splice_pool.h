/* SPDX-License-Identifier: MIT
 *
 * Kernel pipes for splice(2): pooled, because making one costs more than what it saves on a short transfer, and capped,
 * because without CAP_SYS_RESOURCE a user has 16,384 pages of them in all (pipe(7)). One thread owns a pool. */
#pragma once

#include "core/loop.h"

#include <stdbool.h>

struct splice_pool;

struct splice_pipe {
  struct splice_pipe *next;
  int read_fd, write_fd;
  clock_ms last_used;
};

enum { SPLICE_POOL_KEEP_MS = 5000 };

/* At most `limit` pipes exist at a time; one that nobody has used for SPLICE_POOL_KEEP_MS is closed. NULL without
 * memory. */
struct splice_pool *splice_pool_new(struct loop *loop, unsigned limit);
void splice_pool_free(struct splice_pool *pool); /* after all pipes were put back; NULL is nothing */

/* NULL when there is none to be had: then copy. */
struct splice_pipe *splice_pool_get(struct splice_pool *pool);

/* `empty`: all that went in came out; else the pipe is closed. */
void splice_pool_put(struct splice_pool *pool, struct splice_pipe *pipe, bool empty);

/* How many exist, in use or kept. */
unsigned splice_pool_count(const struct splice_pool *pool);
